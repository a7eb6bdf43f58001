package main

import (
	"context"
	"io"
	"log/slog"
)

// newHandler makes the log's handler: lines for people, or JSON.
func newHandler(w io.Writer, opt *options) slog.Handler {
	level := slog.LevelInfo
	switch {
	case opt.quiet:
		level = slog.LevelError
	case opt.verbose:
		level = slog.LevelDebug
	}
	if opt.json {
		return slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level})
	}
	return &plain{w: w, level: level}
}

// plain writes log lines as commands do: "replay: warning: message key=value".
type plain struct {
	w     io.Writer
	level slog.Level
	attrs []slog.Attr
}

// Enabled implements slog.Handler.
func (p *plain) Enabled(_ context.Context, l slog.Level) bool { return l >= p.level }

// Handle implements slog.Handler. A record is one call of Write.
func (p *plain) Handle(_ context.Context, r slog.Record) error {
	line := "replay: "
	if r.Level >= slog.LevelWarn && r.Level < slog.LevelError {
		line += "warning: "
	}
	line += r.Message
	add := func(a slog.Attr) bool {
		line += " " + a.String()
		return true
	}
	for _, a := range p.attrs {
		add(a)
	}
	r.Attrs(add)
	_, err := io.WriteString(p.w, line+"\n")
	return err
}

// WithAttrs implements slog.Handler.
func (p *plain) WithAttrs(attrs []slog.Attr) slog.Handler {
	q := *p
	q.attrs = append(q.attrs[:len(q.attrs):len(q.attrs)], attrs...)
	return &q
}

// WithGroup implements slog.Handler. Groups aren't used here.
func (p *plain) WithGroup(string) slog.Handler { return p }

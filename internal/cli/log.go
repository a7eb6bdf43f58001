package cli

import (
	"context"
	"io"
	"log/slog"

	"btcsniff/internal/legible"
)

// NewLogger makes a command's log: lines for people, or JSON.
func (f *Flags) NewLogger(program string, w io.Writer) *slog.Logger {
	level := slog.LevelInfo
	switch {
	case f.Quiet:
		level = slog.LevelError
	case f.Verbose:
		level = slog.LevelDebug
	}
	if f.JSON {
		return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level}))
	}
	return slog.New(&plain{program: program, w: w, level: level})
}

// plain writes log lines as commands do: "sniff: warning: message key=value".
type plain struct {
	program string
	w       io.Writer
	level   slog.Level
	attrs   []slog.Attr
}

// Enabled implements slog.Handler.
func (p *plain) Enabled(_ context.Context, l slog.Level) bool { return l >= p.level }

// Handle implements slog.Handler. A record is one call of Write.
func (p *plain) Handle(_ context.Context, r slog.Record) error {
	line := p.program + ": "
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
	_, err := io.WriteString(p.w, legible.Text(line)+"\n") // names of files are in it, and what servers and peers said
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

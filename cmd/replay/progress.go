package main

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"btcsniff/record"
)

const refresh = 200 * time.Millisecond // between two pictures of the progress line

// A sample is how far a run has come.
type sample struct {
	begun, files int   // files that a packet was read from, all files
	bytes, total int64 // of files on disk; total is 0 where it isn't known
	records      uint64
	elapsed      time.Duration

	follow bool  // files are followed: begun, bytes and records are what was read until now
	latest int64 // capture time of the latest packet, nanoseconds since the Unix epoch; 0 without one
}

// String is the progress line: files, bytes, MB/s, records/s, time left.
func (s sample) String() string {
	if s.follow {
		line := fmt.Sprintf("following  %s read  %.1f MB  %s records", plural(s.begun, "file"), float64(s.bytes)/1e6, count(s.records))
		if s.latest != 0 {
			line += fmt.Sprintf("  latest packet %v", record.FromNanos(s.latest))
		}
		return line
	}
	seconds := max(s.elapsed.Seconds(), 1e-3)
	rate := float64(s.bytes) / seconds
	line := fmt.Sprintf("%d/%d files  %.1f MB", s.begun, s.files, float64(s.bytes)/1e6)
	if s.total > 0 {
		line = fmt.Sprintf("%d/%d files  %.1f/%.1f MB  %d %%", s.begun, s.files, float64(s.bytes)/1e6, float64(s.total)/1e6, min(s.bytes*100/s.total, 100))
	}
	line += fmt.Sprintf("  %.1f MB/s  %s records/s", rate/1e6, count(uint64(float64(s.records)/seconds)))
	switch left := s.total - s.bytes; {
	case s.total > 0 && left <= 0:
		line += "  writing the rest"
	case s.total > 0 && rate > 0:
		d := time.Duration(float64(left) / rate * float64(time.Second)).Round(time.Second)
		line += fmt.Sprintf("  %d:%02d left", int(d.Minutes()), int(d.Seconds())%60)
	}
	return line
}

// A progress draws one line at the bottom of a terminal, below whatever else is written through it. Its methods may be called by
// several goroutines.
type progress struct {
	mu    sync.Mutex
	w     io.Writer
	on    bool
	shown bool
}

// newProgress writes to w. If it is not on, no line is drawn.
func newProgress(w io.Writer, on bool) *progress { return &progress{w: w, on: on} }

// Write writes b where the line is; the next draw puts the line below.
func (p *progress) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.erase()
	return p.w.Write(b)
}

func (p *progress) erase() {
	if p.shown {
		io.WriteString(p.w, "\r\x1b[K")
		p.shown = false
	}
}

// draw replaces the line.
func (p *progress) draw(s sample) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.erase()
	io.WriteString(p.w, s.String())
	p.shown = true
}

// watch draws what look returns again and again, until stop is called. stop waits for the last picture and removes it.
func (p *progress) watch(look func() sample) (stop func()) {
	if !p.on {
		return func() {}
	}
	done, gone := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(gone)
		tick := time.NewTicker(refresh)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				p.draw(look())
			case <-done:
				p.mu.Lock()
				p.erase()
				p.mu.Unlock()
				return
			}
		}
	}()
	return func() {
		close(done)
		<-gone
	}
}

// isTerminal says whether w is a terminal that understands how a line is erased.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok || os.Getenv("TERM") == "" || os.Getenv("TERM") == "dumb" {
		return false
	}
	fi, err := f.Stat()
	if err != nil || fi.Mode()&os.ModeCharDevice == 0 {
		return false
	}
	null, err := os.Stat(os.DevNull) // a character device, too
	return err != nil || !os.SameFile(fi, null)
}

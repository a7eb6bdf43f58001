package cli

import (
	"io"
	"sync"
	"time"
)

// A Progress draws one line at the bottom of a terminal, below whatever else is written through it. Its methods may be called by
// several goroutines.
type Progress struct {
	mu    sync.Mutex
	w     io.Writer
	on    bool
	shown bool
}

// NewProgress writes to w. If it is not on, no line is drawn.
func NewProgress(w io.Writer, on bool) *Progress { return &Progress{w: w, on: on} }

// Write writes b where the line is; the next draw puts the line below.
func (p *Progress) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.erase()
	return p.w.Write(b)
}

func (p *Progress) erase() {
	if p.shown {
		io.WriteString(p.w, "\r\x1b[K")
		p.shown = false
	}
}

// draw replaces the line.
func (p *Progress) draw(line string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.erase()
	io.WriteString(p.w, "\x1b[?7l"+line+"\x1b[?7h") // DECAWM off: a narrow terminal cuts what would go on in a second line, which erase would leave
	p.shown = true
}

// Watch draws the line that look returns, again and again, until stop is called. stop waits for the last picture and removes it.
func (p *Progress) Watch(every time.Duration, look func() string) (stop func()) {
	if !p.on {
		return func() {}
	}
	done, gone := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(gone)
		tick := time.NewTicker(every)
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

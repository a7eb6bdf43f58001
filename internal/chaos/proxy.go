package chaos

import (
	"bytes"
	"errors"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// A Proxy stands between clients and a Server. It passes on what is said, until it is told to cut a connection.
type Proxy struct {
	Dir string // of its socket

	to     string
	listen net.Listener
	wait   sync.WaitGroup

	mu    sync.Mutex
	conns map[net.Conn]bool
	cut   cut
	held  chan struct{} // closed when connections go on; nil: they are not held
}

const socket = ".s.PGSQL.5432"

// A cut says when connections are cut.
type cut struct {
	armed  bool
	bytes  int  // that clients may still send
	commit bool // at the next COMMIT, instead
	after  bool // once the server has answered, which the client never hears
}

// NewProxy starts a proxy, which ends with the test.
func NewProxy(t testing.TB, s *Server) *Proxy {
	t.Helper()
	dir, err := os.MkdirTemp("", "proxy")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{Dir: dir, to: filepath.Join(s.Dir, socket), conns: map[net.Conn]bool{}}
	if p.listen, err = net.Listen("unix", filepath.Join(dir, socket)); err != nil {
		t.Fatal(err)
	}
	p.wait.Go(p.accept)
	t.Cleanup(func() {
		p.Go()
		p.listen.Close()
		p.Cut()
		p.wait.Wait()
		os.RemoveAll(dir)
	})
	return p
}

// URL names the server's database, through the proxy.
func (p *Proxy) URL() string { return "postgres://postgres@/postgres?sslmode=disable&host=" + p.Dir }

func (p *Proxy) accept() {
	for {
		client, err := p.listen.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		} else if err != nil {
			continue
		}
		server, err := net.Dial("unix", p.to)
		if err != nil {
			client.Close()
			continue
		}
		p.mu.Lock()
		p.conns[client] = true
		p.mu.Unlock()
		p.wait.Go(func() { p.pass(server, client, p.cuts) })
		p.wait.Go(func() {
			p.pass(client, server, nil)
			p.mu.Lock()
			delete(p.conns, client)
			p.mu.Unlock()
		})
	}
}

// pass passes on what comes from one side, until either is closed, or cuts says that it should end.
func (p *Proxy) pass(to, from net.Conn, cuts func(b []byte) (n int, end, after bool)) {
	defer to.Close()
	defer from.Close()
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			p.holds()
			b, end, after := buf[:n], false, false
			if cuts != nil {
				n, end, after = cuts(b)
				b = b[:n]
			}
			if after {
				from.Close() // before the answer comes
			}
			if _, err := to.Write(b); err != nil {
				return
			}
			if after {
				_, _ = to.Read(buf[:1]) // the answer to a COMMIT, or the end of the connection
			}
			if end {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// cuts says how much of what a client says is passed on, and whether its connection is cut then.
func (p *Proxy) cuts(b []byte) (n int, end, after bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := &p.cut
	switch {
	case !c.armed:
		return len(b), false, false
	case c.commit && bytes.Contains(b, []byte("COMMIT")):
		c.armed = false
		if c.after {
			return len(b), true, true
		}
		return 0, true, false
	case !c.commit && len(b) >= c.bytes:
		c.armed = false
		return c.bytes, true, false
	}
	c.bytes -= len(b)
	return len(b), false, false
}

// CutAfter cuts the connection on which clients have sent so many bytes more in all.
func (p *Proxy) CutAfter(bytes int) { p.arm(cut{armed: true, bytes: bytes}) }

// CutAtCommit cuts the connection on which the next COMMIT is sent: before the server gets it, or after, before the client gets the
// answer.
func (p *Proxy) CutAtCommit(after bool) { p.arm(cut{armed: true, commit: true, after: after}) }

func (p *Proxy) arm(c cut) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = c
}

// Cut cuts all connections now.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		c.Close()
	}
}

// Hold lets nothing through until Go is called, as a network that swallows packets.
func (p *Proxy) Hold() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.held == nil {
		p.held = make(chan struct{})
	}
}

// Go ends what Hold began.
func (p *Proxy) Go() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.held != nil {
		close(p.held)
		p.held = nil
	}
}

func (p *Proxy) holds() {
	p.mu.Lock()
	held := p.held
	p.mu.Unlock()
	if held != nil {
		<-held
	}
}

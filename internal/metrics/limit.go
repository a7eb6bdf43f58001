package metrics

import (
	"net"
	"sync"
)

// maxClients is how many connections are answered at a time. Those beyond wait, so that no crowd of clients takes the memory and the files
// that capturing needs.
const maxClients = 32

// limited is a listener with at most so many open connections.
type limited struct {
	net.Listener
	places chan struct{} // one for each connection; when it is full, Accept waits
	closed chan struct{}
	once   sync.Once
}

func limit(l net.Listener) net.Listener {
	return &limited{Listener: l, places: make(chan struct{}, maxClients), closed: make(chan struct{})}
}

// Accept is net.Listener's.
func (l *limited) Accept() (net.Conn, error) {
	select {
	case l.places <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.places
		return nil, err
	}
	return &client{Conn: c, leave: sync.OnceFunc(func() { <-l.places })}, nil
}

// Close is net.Listener's.
func (l *limited) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

// A client is a connection that gives its place back.
type client struct {
	net.Conn
	leave func()
}

// Close is net.Conn's.
func (c *client) Close() error {
	err := c.Conn.Close()
	c.leave()
	return err
}

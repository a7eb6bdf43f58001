package chaos_test

import (
	"syscall"
	"testing"

	"btcsniff/internal/chaos"
)

// A test has a server of its own, and a proxy through which its program reaches it.
func Example() {
	test := func(t *testing.T) {
		s := chaos.NewServer(t)
		p := chaos.NewProxy(t, s)
		p.CutAtCommit(true) // whoever writes through p.URL() now won't hear that it is stored
		s.Stop(t, syscall.SIGQUIT)
		s.Wait(t)
	}
	_ = test
}

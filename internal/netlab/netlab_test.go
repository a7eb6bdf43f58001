package netlab_test

import (
	"net"
	"os"
	"testing"

	"btcsniff/capture"
	"btcsniff/internal/netlab"
)

func TestMain(m *testing.M) { os.Exit(netlab.Run(m)) }

func TestPair(t *testing.T) {
	netlab.Need(t)
	all, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range all {
		if i.Flags&net.FlagUp != 0 {
			t.Errorf("interface %s is up in a namespace of our own", i.Name)
		}
	}
	netlab.Pair(t, "left", "right")
	netlab.Send(t, "left", []capture.Packet{{Data: make([]byte, 60)}, {Data: make([]byte, 60_000)}})
}

// ExampleRun shows the TestMain of a package whose tests need a network.
func ExampleRun() {
	testMain := func(m *testing.M) { os.Exit(netlab.Run(m)) }
	_ = testMain
}

// Package netlab gives tests a network of their own: a network namespace in which nothing passes but what the test sends. It
// needs root, or the right to make user namespaces, and the program ip. What is captured there it leaves to the tests.
package netlab

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"btcsniff/capture"
)

// inside says to the test program whether it runs in a namespace of its own: "yes", or why it does not.
const inside = "BTCSNIFF_NETLAB"

// Run runs the tests in a new network namespace: it starts the test program again, in there. Where that is not permitted it runs
// them as they are, and Need skips those that need it. It is called by TestMain, and returns the exit code.
func Run(m *testing.M) int {
	if os.Getenv(inside) != "" {
		return m.Run()
	}
	var failed error
	for _, attr := range attrs() {
		cmd := exec.Command(os.Args[0], os.Args[1:]...)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
		cmd.Env = append(os.Environ(), inside+"=yes")
		cmd.SysProcAttr = attr
		err := cmd.Run()
		var exit *exec.ExitError
		switch {
		case err == nil:
			return 0
		case errors.As(err, &exit):
			return max(exit.ExitCode(), 1)
		}
		failed = err
	}
	if err := os.Setenv(inside, "no namespace: "+failed.Error()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// attrs are the ways to make a namespace: as root, else as root of a user namespace, in which only the present user exists.
func attrs() []*syscall.SysProcAttr {
	if os.Geteuid() == 0 {
		return []*syscall.SysProcAttr{{Cloneflags: syscall.CLONE_NEWNET}}
	}
	return []*syscall.SysProcAttr{{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}}
}

// Need skips a test where Run could not make a network, and says why.
func Need(t testing.TB) {
	t.Helper()
	if state := os.Getenv(inside); state != "yes" {
		t.Skipf("needs a network namespace of its own: %s", state)
	}
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("needs the program ip (Debian: iproute2)")
	}
}

// IP runs the program ip, as in IP(t, "link set lo up").
func IP(t testing.TB, args string) {
	t.Helper()
	if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
		t.Fatalf("ip %s: %v: %s", args, err, out)
	}
}

// Pair makes two interfaces that are connected: what is sent on one comes in on the other, and nothing else. Both are up, take
// packets of any size, and are removed when the test ends.
func Pair(t testing.TB, a, b string) {
	t.Helper()
	// Without IPv6 the kernel has nothing to say on them.
	if err := os.WriteFile("/proc/sys/net/ipv6/conf/default/disable_ipv6", []byte("1"), 0); err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	IP(t, fmt.Sprintf("link add %s mtu 65535 type veth peer name %s mtu 65535", a, b))
	t.Cleanup(func() { _ = exec.Command("ip", "link", "del", a).Run() }) // the test may have done so
	IP(t, "link set dev "+a+" up")
	IP(t, "link set dev "+b+" up")
}

// How fast Send sends.
const (
	burst = 32 // packets
	pause = time.Millisecond
)

// Send sends Ethernet packets on an interface, at most 32 in a millisecond. Their times mean nothing.
func Send(t testing.TB, iface string, packets []capture.Packet) {
	t.Helper()
	i, err := net.InterfaceByName(iface)
	if err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd) //nolint:errcheck // nothing hangs on it
	to := &unix.SockaddrLinklayer{Ifindex: i.Index}
	for n := range packets {
		if n%burst == burst-1 {
			<-time.After(pause)
		}
		if err := unix.Sendto(fd, packets[n].Data, 0, to); err != nil {
			t.Fatalf("send packet %d of %d bytes on %s: %v", n, len(packets[n].Data), iface, err)
		}
	}
}

package chaos

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"btcsniff/capture"
	"btcsniff/internal/netlab"
	"btcsniff/internal/pcaptest"
)

// TestLive sends what 3,000 peers say, 90,000 announcements a second, as it comes, and has sniff store it in Postgres on the same machine:
// no packet is dropped and no record is lost, also if the database is away for a third of the time. `make live` runs it for minutes.
func TestLive(t *testing.T) {
	netlabNeed(t) // alone: nothing else runs meanwhile
	d := lasts(t, liveVar, 2*time.Second)
	path := filepath.Join(t.TempDir(), "bulk.pcap")
	truth := map[string]uint64{}
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := pcaptest.Bulk(f, pcaptest.BulkConfig{Seed: 3, Duration: d}, func(r *pcaptest.Record) { truth[r.Kind.String()]++ }); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		away bool
	}{{"healthy", false}, {"away for a third of the time", true}} {
		t.Run(tt.name, func(t *testing.T) { liveRun(t, path, truth, d, tt.away) })
	}
}

// liveRun sends the capture of that path, which lasts d, and compares what is stored with the truth.
func liveRun(t *testing.T, path string, truth map[string]uint64, d time.Duration, away bool) {
	src, err := capture.Open([]string{path}, capture.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	s := NewServer(t)
	url := schema(t, s.Connect(t), s.URL(), "live")
	netlab.Pair(t, "far", "near")
	began := time.Now()
	sniff := start(t, "sniff", "-i", "near", "--sensor", "here", "--local", "192.0.2.10", "--local", "2001:db8::10", "--spool", t.TempDir(), "--sink", url)
	sniff.expect("listening on")
	back := make(chan struct{})
	go func() {
		defer close(back)
		if away {
			<-time.After(d / 3)
			s.Kill(t)
			<-time.After(d / 3)
			s.Start(t)
		}
	}()
	before := cpu(t)
	sent, late := pace(t, "far", src)
	sender := cpu(t) - before
	<-back
	s.Wait(t)
	said := sniff.stop(0)
	if !strings.Contains(said, fmt.Sprintf("%s packets; dropped: 0 by the kernel, 0 by the interface", thousands(sent))) {
		t.Errorf("of %d packets sent, not all were captured:\n%s", sent, said)
	}
	if strings.Contains(said, "are kept in") != away {
		t.Errorf("records were kept on disk, or were not:\n%s", said)
	}
	liveStored(t, s, truth)
	usage, ok := sniff.cmd.ProcessState.SysUsage().(*syscall.Rusage)
	if !ok {
		t.Fatal("no usage")
	}
	took := sniff.cmd.ProcessState.UserTime() + sniff.cmd.ProcessState.SystemTime()
	t.Logf("%d packets, %d announcements in %v (%d a second); sniff: %v of processor time (%.1f %% of a core), %d MiB; sender: %v; latest by %v; load %s",
		sent, truth["inv"], d, int(float64(truth["inv"])/d.Seconds()), took.Round(10*time.Millisecond), 100*took.Seconds()/time.Since(began).Seconds(),
		usage.Maxrss>>10, sender.Round(10*time.Millisecond), late.Round(time.Millisecond), load(t))
}

// liveStored compares the numbers of records in the database with the truth.
func liveStored(t *testing.T, s *Server, truth map[string]uint64) {
	t.Helper()
	db := s.Connect(t)
	for kind, query := range map[string]string{
		"inv":  "SELECT sum(cardinality(entry)) FROM live.inv_chunk", // the view unpacks all of them, which takes minutes
		"ping": "SELECT count(*) FROM live.ping", "pong": "SELECT count(*) FROM live.pong", "tx": "SELECT count(*) FROM live.tx",
		"version": "SELECT count(*) FROM live.version", "blind": "SELECT count(*) FROM live.blind",
	} {
		var n uint64
		if err := db.QueryRow(t.Context(), query).Scan(&n); err != nil {
			t.Fatal(err)
		}
		if n != truth[kind] {
			t.Errorf("%d %s records are stored, %d were sent", n, kind, truth[kind])
		}
	}
}

// pace sends a capture's packets on an interface at the intervals of their times. It returns how many there were, and how late the latest
// was.
func pace(t *testing.T, iface string, src capture.Source) (sent uint64, late time.Duration) {
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
	began, first := time.Now(), int64(0)
	for {
		var p capture.Packet
		if err := src.Next(t.Context(), &p); errors.Is(err, io.EOF) {
			return sent, late
		} else if err != nil {
			t.Fatal(err)
		}
		if first == 0 {
			first = p.Time
		}
		due := began.Add(time.Duration(p.Time - first))
		if wait := time.Until(due); wait > time.Millisecond {
			<-time.After(wait)
		} else if wait < 0 {
			late = max(late, -wait)
		}
		for err = unix.ENOBUFS; errors.Is(err, unix.ENOBUFS); {
			err = unix.Sendto(fd, p.Data, 0, to)
		}
		if err != nil {
			t.Fatalf("send packet %d: %v", sent, err)
		}
		sent++
	}
}

// cpu is the processor time that this process has taken.
func cpu(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func load(t *testing.T) string {
	t.Helper()
	f, err := os.Open("/proc/loadavg")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	text, err := bufio.NewReader(f).ReadString(' ')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(text)
}

// thousands writes n as the summary does.
func thousands(n uint64) string {
	s := strconv.FormatUint(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

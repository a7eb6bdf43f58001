package chaos

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"btcsniff/internal/netlab"
)

// TestBlind stops sniff until the kernel has to drop packets, and takes the interface down for a while: both times are in the database
// and in JSON lines, and the packets are those of the summary.
func TestBlind(t *testing.T) {
	t.Parallel()
	netlabNeed(t)
	s := NewServer(t)
	w, iface := newTraffic(t, 14)
	lines := filepath.Join(t.TempDir(), "records.jsonl")
	url := schema(t, s.Connect(t), s.URL(), "live")
	sniff := start(t, "sniff", "-i", iface, "-B", "64", "--sensor", "here", "--local", local, "--spool", t.TempDir(), "--sink", url, "--sink", "jsonl:"+lines)
	sniff.expect("listening on")
	db := s.Connect(t)
	wait := func(what string, f func() bool) {
		t.Helper()
		for deadline := time.Now().Add(patience); !f(); <-time.After(20 * time.Millisecond) {
			w.send(1)
			if time.Now().After(deadline) {
				t.Fatalf("never %s:\n%s", what, sniff.text())
			}
		}
	}
	wait("made its tables", func() bool {
		var ok bool
		if err := db.QueryRow(t.Context(), "SELECT to_regclass('live.ping') IS NOT NULL").Scan(&ok); err != nil {
			t.Fatal(err)
		}
		return ok
	})
	wait("stored something", func() bool { return len(nonces(t, db, "live", "here")) > 0 })
	before := time.Now()
	if err := sniff.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	w.send(3000)
	if err := sniff.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	rows := func(reason string) (n int, packets uint64, from, to time.Time) {
		t.Helper()
		if err := db.QueryRow(t.Context(), `SELECT count(*), coalesce(sum(packets), 0)::bigint, coalesce(min(from_at), now()), coalesce(max(to_at), now())
			FROM live.blind WHERE reason = $1`, reason).Scan(&n, &packets, &from, &to); err != nil {
			t.Fatal(err)
		}
		return n, packets, from, to
	}
	wait("told of drops", func() bool { n, _, _, _ := rows("kernel drops"); return n > 0 })
	after := time.Now()
	netlab.IP(t, "link set dev "+iface+" down")
	sniff.expect("is down; it goes on when it is up again")
	down := time.Now()
	<-time.After(100 * time.Millisecond)
	up := time.Now()
	netlab.IP(t, "link set dev "+iface+" up")
	sniff.expect("is back")
	wait("told of the interface", func() bool { n, _, _, to := rows("interface down"); return n > 0 && to.After(up) })
	said := sniff.stop(0)

	n, packets, from, to := rows("kernel drops")
	if n != 1 || packets == 0 || from.After(before) || to.Before(before) || to.After(after.Add(2*time.Second)) {
		t.Errorf("%d blind times of %d packets from %v to %v, want one around %v", n, packets, from, to, before)
	}
	if want := fmt.Sprintf("dropped: %s by the kernel", thousands(packets)); !strings.Contains(said, want) {
		t.Errorf("the summary doesn't say %q:\n%s", want, said)
	}
	if n, _, from, to := rows("interface down"); n != 1 || from.After(down) || to.Before(up) {
		t.Errorf("%d times down, from %v to %v, want one that spans %v to %v", n, from, to, down, up)
	}
	_, blind := written(t, lines)
	found := map[string]uint64{}
	for _, text := range blind {
		var b struct {
			Reason          string
			Packets         uint64
			Sensor, Capture string
		}
		if err := json.Unmarshal([]byte(text), &b); err != nil {
			t.Fatal(err)
		}
		if b.Sensor != "here" || b.Capture != iface {
			t.Errorf("line of another capture: %s", text)
		}
		found[b.Reason] += b.Packets + 1
	}
	if found["kernel drops"] != packets+1 || found["interface down"] != 1 {
		t.Errorf("lines: %q, want one of %d packets and one of the interface", blind, packets)
	}
}

// TestLeft ends sniff while the database is away: it says what is left, and the next run stores it.
func TestLeft(t *testing.T) {
	t.Parallel()
	netlabNeed(t)
	s := NewServer(t)
	w, iface := newTraffic(t, 15)
	dir := t.TempDir()
	lines := filepath.Join(dir, "records.jsonl")
	url := schema(t, s.Connect(t), s.URL(), "live")
	args := []string{"-i", iface, "--sensor", "here", "--local", local, "--spool", filepath.Join(dir, "spool"), "--sink"}
	s.Stop(t, syscall.SIGINT)
	sniff := start(t, "sniff", append(args, url, "--sink", "jsonl:"+lines)...)
	sniff.expect("until it can be reached")
	w.send(1000)
	if said := sniff.stop(1); !strings.Contains(said, "kept on disk for the next run") || !strings.Contains(said, "start sniff again with the same --sink and --spool") {
		t.Errorf("sniff doesn't say what is left:\n%s", said)
	}
	s.Wait(t)
	other := start(t, "sniff", append(args, schema(t, s.Connect(t), s.URL(), "other"))...)
	other.expect("which is no --sink of this run: start sniff with that sink to store them")
	other.stop(0)
	next := start(t, "sniff", append(args, url)...)
	next.expect("has all that was kept in spool")
	if said := next.stop(0); !strings.Contains(said, "that an earlier run had kept on disk") {
		t.Errorf("the summary doesn't tell of what was stored:\n%s", said)
	}
	want, _ := written(t, lines)
	equal(t, "records", want, stored(t, s.Connect(t), "live"))
	var complete bool
	if err := s.Connect(t).QueryRow(t.Context(), "SELECT complete FROM live.capture").Scan(&complete); err != nil || !complete {
		t.Errorf("the capture's end is stored: %v, %v", complete, err)
	}
}

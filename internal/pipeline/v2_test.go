package pipeline_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"btcsniff/capture"
	"btcsniff/internal/pcaptest"
	"btcsniff/internal/pipeline"
	"btcsniff/v2"
)

// keys reads the secrets of the recorded v2 session.
func keys(t *testing.T) *v2.Keys {
	t.Helper()
	f, err := os.Open(filepath.Join(pcaps, "v2-keys/core-28.1.keys"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	k, err := v2.ParseKeys(f)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// summary says in a few words what each record is: who sent it, its kind, and what tells it from others.
func summary(t *testing.T, lines []byte) (out []string) {
	t.Helper()
	for _, line := range strings.Split(strings.TrimSpace(string(lines)), "\n") {
		var r struct{ Record, From, Nonce, Transport, Network string }
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatal(err)
		}
		out = append(out, strings.Join(strings.Fields(fmt.Sprint(r.From, " ", r.Record, " ", r.Transport, " ", r.Network, " ", r.Nonce)), " "))
	}
	return out
}

// TestV2Keys decrypts a recorded session of two Bitcoin Core nodes: the records are like any others.
func TestV2Keys(t *testing.T) {
	path := filepath.Join(pcaps, "v2-keys/core-28.1.pcap")
	got, res := replay(t, open(t, path), pipeline.Config{V2Keys: keys(t)})
	l := res.Total()
	counts := map[string]uint64{}
	for name, c := range l.Messages {
		counts[name] = c.Messages
	}
	if diff := cmp.Diff(map[string]uint64{
		"version": 2, "verack": 2, "wtxidrelay": 2, "sendaddrv2": 2, "sendcmpct": 2, "ping": 2, "pong": 2, "getheaders": 2,
		"feefilter": 2, "headers": 2, "getaddr": 1,
	}, counts); diff != "" {
		t.Errorf("messages (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{
		"127.0.0.1:38454 version regtest", "127.0.0.1:28555 version regtest",
		"127.0.0.1:28555 ping regtest 12477870890968565435", "127.0.0.1:38454 ping regtest 5526454501096046303",
		"127.0.0.1:28555 pong regtest 5526454501096046303", "127.0.0.1:38454 pong regtest 12477870890968565435",
		"127.0.0.1:38454 conn v2 regtest",
	}, summary(t, got)); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
}

// TestV2KeysMidstream begins to capture the session at every packet, and cuts one packet out: what can be decrypted is a
// subset of the whole session's records, with the same times.
func TestV2KeysMidstream(t *testing.T) {
	path := filepath.Join(pcaps, "v2-keys/core-28.1.pcap")
	all := packets(t, path)
	cfg := pipeline.Config{V2Keys: keys(t), Sensor: "s"}
	whole, _ := replay(t, open(t, path), cfg)
	known := map[string]bool{}
	for _, line := range bytes.Split(whole, []byte("\n")) {
		known[withoutConn(string(line))] = true
	}
	for i := range all {
		for name, part := range map[string][]capture.Packet{
			"from": all[i:], "without": append(append([]capture.Packet(nil), all[:i]...), all[i+1:]...),
		} {
			file := pcaptest.Format{}.Append(nil, part)
			got, _ := replay(t, capture.NewReader(bytes.NewReader(file), "x"), cfg)
			for _, line := range strings.Split(string(got), "\n") {
				if !strings.Contains(line, `"record":"conn"`) && !known[withoutConn(line)] && !strings.Contains(line, `"record":"pong"`) {
					t.Errorf("%s packet %d: false record %s", name, i, line)
				}
			}
		}
	}
}

// withoutConn cuts a record's connection id out, which depends on when the capture began.
func withoutConn(line string) string {
	before, rest, _ := strings.Cut(line, `"conn":"`)
	_, after, _ := strings.Cut(rest, `"`)
	return before + after
}

package chaos

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"btcsniff/internal/netlab"
)

const (
	programs  = "BTCSNIFF_CHAOS_PROGRAMS" // folder of the commands, set by TestMain
	roundsVar = "BTCSNIFF_CHAOS_ROUNDS"   // of each test; 30
	seedVar   = "BTCSNIFF_CHAOS_SEED"     // of what happens when
	soakVar   = "BTCSNIFF_CHAOS_SOAK"     // how long TestSoak takes; 3s
	liveVar   = "BTCSNIFF_CHAOS_LIVE"     // how long TestLive sends; 2s
)

func TestMain(m *testing.M) {
	if os.Getenv(programs) != "" {
		// Tests wait, mostly: as many at once as there are.
		flag.Parse()
		if err := flag.Set("test.parallel", "8"); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(netlab.Run(m))
	}
	dir, err := os.MkdirTemp("", "programs")
	if err == nil {
		err = os.Setenv(programs, dir)
	}
	if err == nil {
		cmd := exec.Command("go", "build", "-o", dir+"/", "btcsniff/cmd/sniff", "btcsniff/cmd/replay")
		cmd.Stderr = os.Stderr
		err = cmd.Run()
	}
	code := 1
	if err == nil {
		code = netlab.Run(m)
	} else {
		fmt.Fprintln(os.Stderr, err)
	}
	os.RemoveAll(dir)
	os.Exit(code)
}

// rounds is how often a test breaks something.
func rounds(t *testing.T) int {
	t.Helper()
	n, err := strconv.Atoi(os.Getenv(roundsVar))
	if os.Getenv(roundsVar) == "" {
		n, err = 30, nil
	}
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// lasts is how long something is done, as a variable says.
func lasts(t *testing.T, name string, otherwise time.Duration) time.Duration {
	t.Helper()
	if os.Getenv(name) == "" {
		return otherwise
	}
	d, err := time.ParseDuration(os.Getenv(name))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// random says when what happens in a test, and logs how to repeat that.
func random(t *testing.T) *rand.Rand {
	t.Helper()
	seed := rand.Uint64()
	if s := os.Getenv(seedVar); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%s=%d %s=%d", seedVar, seed, roundsVar, rounds(t))
	return rand.New(rand.NewPCG(seed, 1))
}

// upTo waits for a random time.
func upTo(r *rand.Rand, d time.Duration) { <-time.After(time.Duration(r.Int64N(int64(d)))) }

// A process is a running command.
type process struct {
	t    *testing.T
	cmd  *exec.Cmd
	done chan struct{}

	mu   sync.Mutex
	said bytes.Buffer
}

func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.said.Write(b)
}

func (p *process) text() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.said.String()
}

func start(t *testing.T, name string, args ...string) *process {
	t.Helper()
	p := &process{t: t, cmd: exec.Command(filepath.Join(os.Getenv(programs), name), args...), done: make(chan struct{})}
	p.cmd.Stderr = p
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.done)
		_ = p.cmd.Wait() // ProcessState has it
	}()
	t.Cleanup(p.kill)
	return p
}

// expect waits until the process has said something.
func (p *process) expect(text string) {
	p.t.Helper()
	for deadline := time.Now().Add(patience); !strings.Contains(p.text(), text); <-time.After(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			p.t.Fatalf("%s said no %q:\n%s", p.cmd.Path, text, p.text())
		}
	}
}

func (p *process) kill() {
	_ = p.cmd.Process.Kill() // it may have ended
	<-p.done
}

// end waits for the end, and checks the exit code.
func (p *process) end(code int) string {
	p.t.Helper()
	select {
	case <-p.done:
	case <-time.After(2 * patience):
		p.t.Fatalf("%s doesn't end:\n%s", p.cmd.Path, p.text())
	}
	if got := p.cmd.ProcessState.ExitCode(); got != code {
		p.t.Errorf("%s: exit code %d, want %d:\n%s", p.cmd.Path, got, code, p.text())
	}
	return p.text()
}

// stop ends the process as an operator does.
func (p *process) stop(code int) string {
	p.t.Helper()
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	return p.end(code)
}

// schema makes an empty schema, and returns the URL with it.
func schema(t *testing.T, db *pgx.Conn, url, name string) string {
	t.Helper()
	if _, err := db.Exec(context.Background(), "CREATE SCHEMA "+name); err != nil {
		t.Fatal(err)
	}
	return url + "&search_path=" + name
}

// keyQueries give a line for each record, which a line of JSON has, too. Numbers that only tell rows apart are not in them.
var keyQueries = map[string]string{
	"inv":     `SELECT 'inv ' || %s || index || ' ' || count || ' ' || type || ' ' || encode(hash, 'hex') FROM inv`,
	"ping":    `SELECT 'ping ' || %s || nonce FROM ping`,
	"pong":    `SELECT 'pong ' || %s || nonce || ' ' || coalesce(rtt_us, -1) FROM pong`,
	"tx":      `SELECT 'tx ' || %s || encode(txid, 'hex') || ' ' || encode(wtxid, 'hex') || ' ' || size FROM tx`,
	"block":   `SELECT 'block ' || %s || via || ' ' || encode(hash, 'hex') || ' ' || encode(prev, 'hex') FROM block`,
	"version": `SELECT 'version ' || %s || protocol || ' ' || start_height || ' ' || user_agent FROM version`,
	"addr":    `SELECT 'addr ' || %s || address || ' ' || port || ' ' || services FROM addr`,
	"conn": `SELECT 'conn ' || (extract(epoch FROM closed_at) * 1000000)::bigint || ' ' || (extract(epoch FROM opened_at) * 1000000)::bigint
		|| ' ' || id || ' ' || transport || ' ' || a_bytes + b_bytes FROM connection WHERE closed_at IS NOT NULL`,
}

const keyTimes = `(extract(epoch FROM seen_at) * 1000000)::bigint || ' ' || (extract(epoch FROM first_byte_at) * 1000000)::bigint || ' ' || conn || ' '`

// stored returns a line for each record in a schema, sorted.
func stored(t *testing.T, db *pgx.Conn, schema string) (lines []string) {
	t.Helper()
	ctx := context.Background()
	if _, err := db.Exec(ctx, "SET search_path = "+schema); err != nil {
		t.Fatal(err)
	}
	for kind, query := range keyQueries {
		if kind != "conn" {
			query = fmt.Sprintf(query, keyTimes)
		}
		rows, err := db.Query(ctx, query)
		if err != nil {
			t.Fatal(err)
		}
		list, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			t.Fatalf("%s: %v", kind, err)
		}
		lines = append(lines, list...)
	}
	slices.Sort(lines)
	return lines
}

// key is the record's line, as stored gives it.
func key(t *testing.T, text []byte) string {
	t.Helper()
	var r struct {
		Record     string                `json:"record"`
		Seen       time.Time             `json:"seen_at"`
		First      time.Time             `json:"first_byte_at"`
		Opened     time.Time             `json:"opened_at"`
		Closed     time.Time             `json:"closed_at"`
		Conn       string                `json:"conn"`
		Hash       string                `json:"hash"`
		Nonce      string                `json:"nonce"`
		TxID       string                `json:"txid"`
		WTxID      string                `json:"wtxid"`
		Via        string                `json:"via"`
		Prev       string                `json:"prev"`
		Transport  string                `json:"transport"`
		UserAgent  string                `json:"user_agent"`
		Address    string                `json:"address"`
		Services   string                `json:"services"`
		Index      int64                 `json:"index"`
		Count      int64                 `json:"count"`
		Type       int64                 `json:"type"`
		Size       int64                 `json:"size"`
		Protocol   int64                 `json:"protocol"`
		Height     int64                 `json:"start_height"`
		Port       int64                 `json:"port"`
		RTT        *int64                `json:"rtt_us"`
		FromCounts struct{ Bytes int64 } `json:"from_sent"`
		ToCounts   struct{ Bytes int64 } `json:"to_sent"`
	}
	if err := json.Unmarshal(text, &r); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	head := fmt.Sprintf("%s %d %d %s ", r.Record, r.Seen.UnixMicro(), r.First.UnixMicro(), r.Conn)
	switch r.Record {
	case "inv":
		return head + fmt.Sprint(r.Index, " ", r.Count, " ", r.Type, " ", r.Hash)
	case "ping":
		return head + r.Nonce
	case "pong":
		rtt := int64(-1)
		if r.RTT != nil {
			rtt = *r.RTT
		}
		return head + fmt.Sprint(r.Nonce, " ", rtt)
	case "tx":
		return head + fmt.Sprint(r.TxID, " ", r.WTxID, " ", r.Size)
	case "block":
		return head + r.Via + " " + r.Hash + " " + r.Prev
	case "version":
		return head + fmt.Sprint(r.Protocol, " ", r.Height, " ", r.UserAgent)
	case "addr":
		return head + fmt.Sprint(r.Address, " ", r.Port, " ", r.Services)
	case "conn":
		return fmt.Sprint("conn ", r.Closed.UnixMicro(), " ", r.Opened.UnixMicro(), " ", r.Conn, " ", r.Transport, " ", r.FromCounts.Bytes+r.ToCounts.Bytes)
	}
	return ""
}

// written returns a line for each record in a file of JSON lines, sorted, and the blind times as they are.
func written(t *testing.T, path string) (keys, blind []string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for text := range bytes.Lines(b) {
		if bytes.HasPrefix(text, []byte(`{"record":"blind"`)) {
			blind = append(blind, string(text))
		} else {
			keys = append(keys, key(t, text))
		}
	}
	slices.Sort(keys)
	return keys, blind
}

// equal compares sorted lines, and shows the first that differ.
func equal(t *testing.T, what string, want, got []string) {
	t.Helper()
	i := 0
	for i < len(want) && i < len(got) && want[i] == got[i] {
		i++
	}
	if len(want) < 100 {
		t.Errorf("%s: only %d records to compare with", what, len(want))
	}
	if i < len(want) || i < len(got) {
		t.Errorf("%s: %d records, want %d; from %d on (-want +got):\n%s", what, len(got), len(want), i,
			cmp.Diff(want[i:min(i+4, len(want))], got[i:min(i+4, len(got))]))
	}
}

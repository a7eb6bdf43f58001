package main

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/btcsuite/btcd/wire/v2"

	"btcsniff/analyze"
	"btcsniff/capture"
	"btcsniff/internal/cli"
	"btcsniff/internal/pcaptest"
	"btcsniff/internal/pipeline"
	"btcsniff/record"
	"btcsniff/sink"
	"btcsniff/sink/duckdb"
	"btcsniff/sink/postgres"
)

// A payments is a script of peers that tell a node of transactions which spend each other.
type payments struct {
	*pcaptest.Script
	conns  map[string]*pcaptest.Conn
	places map[string]string // of each address, but where it is unknown
}

// newPayments connects peers ("198.51.100.1:8333" to its place, "": unknown) to the node, in the order of their addresses.
func newPayments(places map[string]string) *payments {
	p := &payments{&pcaptest.Script{}, map[string]*pcaptest.Conn{}, map[string]string{}}
	peers := make([]string, 0, len(places))
	for peer := range places {
		peers = append(peers, peer)
	}
	slices.Sort(peers)
	for _, peer := range peers {
		c := p.Conn(peer, "192.0.2.10:8333").Open()
		p.conns[peer] = c
		c.A.Send(pcaptest.Regtest.Ping(uint64(len(p.conns))))
		if places[peer] != "" {
			p.places[netip.MustParseAddrPort(peer).Addr().String()] = places[peer]
		}
	}
	return p
}

// announce sends an announcement of tx, by txid or by wtxid.
func (p *payments) announce(peer string, tx *pcaptest.Tx, wtxid bool) {
	v := record.InvVect{Type: record.InvTx, Hash: tx.TxID}
	if wtxid {
		v = record.InvVect{Type: record.InvWTx, Hash: tx.WTxID}
	}
	p.conns[peer].A.Send(pcaptest.Regtest.Inv(v))
}

// send sends tx itself.
func (p *payments) send(peer string, tx *pcaptest.Tx) {
	p.conns[peer].A.Send(pcaptest.Regtest.Tx(tx.MsgTx))
}

// A payment is an output to be made.
type payment struct {
	value int64
	to    byte // names an address
	kind  byte // 'w' P2WPKH, 'p' P2PKH, 'd' data
}

// newTx makes a transaction that spends outputs of others. salt makes it differ from others of the same kind.
func newTx(salt uint32, from []wire.OutPoint, outputs ...payment) *pcaptest.Tx {
	tx := wire.NewMsgTx(2)
	tx.LockTime = salt
	for _, o := range from {
		tx.AddTxIn(&wire.TxIn{PreviousOutPoint: o, Sequence: 0xfffffffd, Witness: wire.TxWitness{bytes.Repeat([]byte{1}, 71), bytes.Repeat([]byte{2}, 33)}})
	}
	var types []string
	for _, o := range outputs {
		hash := bytes.Repeat([]byte{o.to}, 20)
		switch o.kind {
		case 'w':
			tx.AddTxOut(&wire.TxOut{Value: o.value, PkScript: append([]byte{0, 20}, hash...)})
			types = append(types, "witness_v0_keyhash")
		case 'p':
			tx.AddTxOut(&wire.TxOut{Value: o.value, PkScript: slices.Concat([]byte{0x76, 0xa9, 20}, hash, []byte{0x88, 0xac})})
			types = append(types, "pubkeyhash")
		default:
			tx.AddTxOut(&wire.TxOut{Value: o.value, PkScript: append([]byte{0x6a, 20}, hash...)})
			types = append(types, "nulldata")
		}
	}
	return pcaptest.NewTx(tx, types)
}

// out is an output of tx.
func out(tx *pcaptest.Tx, n uint32) wire.OutPoint {
	return wire.OutPoint{Hash: tx.MsgTx.TxHash(), Index: n}
}

// elsewhere is an output that no record has.
func elsewhere(n uint32) wire.OutPoint { return wire.OutPoint{Hash: [32]byte{0xee}, Index: n} }

// store replays the script into the databases, and returns its records as JSON lines.
func (p *payments) store(t *testing.T, databases ...testDatabase) []byte {
	t.Helper()
	file := filepath.Join(t.TempDir(), "a.pcap")
	b := pcaptest.Format{}.AppendHeader(nil, p.Layer.LinkType())
	for _, packet := range p.Packets() {
		b = pcaptest.Format{}.AppendPacket(b, &packet, 0)
	}
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	lines := replayInto(t, file, databases...)
	for _, db := range databases {
		db.setPlaces(t, p.places)
	}
	return lines
}

// replayInto replays a capture into databases, and returns its records as JSON lines.
func replayInto(t *testing.T, path string, databases ...testDatabase) []byte {
	t.Helper()
	ctx := context.Background()
	var lines bytes.Buffer
	queues := []*sink.Queue{sink.NewQueue(ctx, sink.NewJSON(&lines), sink.QueueOptions{Mixed: true})}
	for _, db := range databases {
		target, err := cli.ParseTarget(db.url)
		if err != nil {
			t.Fatal(err)
		}
		s, err := target.Open(ctx, io.Discard, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		queues = append(queues, sink.NewQueue(ctx, s, sink.QueueOptions{}))
	}
	src, err := capture.Open([]string{path}, capture.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	local := []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32"), netip.MustParsePrefix("192.0.2.10/32"), netip.MustParsePrefix("2001:db8::10/128")}
	if _, err := pipeline.Run(ctx, src, pipeline.Config{Outputs: queues, Local: local}); err != nil {
		t.Fatal(err)
	}
	for _, q := range queues {
		if err := q.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return lines.Bytes()
}

// A testDatabase is an empty one of a test's own.
type testDatabase struct {
	name, url string
}

// testDatabases returns one of each system: of Postgres only where there is a server for tests.
func testDatabases(t *testing.T) []testDatabase {
	t.Helper()
	all := []testDatabase{{"duckdb", filepath.Join(t.TempDir(), "test.duckdb")}}
	base := os.Getenv("BTCSNIFF_TEST_DATABASE_URL")
	if base == "" {
		t.Log("BTCSNIFF_TEST_DATABASE_URL is not set: DuckDB only")
		return all
	}
	name := fmt.Sprintf("firstseen_%016x", rand.Uint64())
	execute := func(text string) {
		db, err := sql.Open("pgx", base)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		if _, err := db.Exec(text); err != nil {
			t.Fatal(err)
		}
	}
	execute("CREATE SCHEMA " + name)
	t.Cleanup(func() { execute("DROP SCHEMA " + name + " CASCADE") })
	u, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Set("options", "-c search_path="+name)
	u.RawQuery = strings.ReplaceAll(q.Encode(), "+", "%20")
	return append(all, testDatabase{"postgres", u.String()})
}

// open opens the database, to be changed if write. It is closed by the test's end.
func (d testDatabase) open(t *testing.T, write bool) *analyze.DB {
	t.Helper()
	var db *sql.DB
	var err error
	dialect := analyze.DuckDB
	if d.name == "postgres" {
		dialect = analyze.Postgres
		db, err = postgres.OpenDB(t.Context(), d.url, postgres.DBOptions{Write: write, Timeout: time.Minute})
	} else {
		db, err = duckdb.OpenDB(t.Context(), d.url, write)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return &analyze.DB{DB: db, Dialect: dialect}
}

// setPlaces says where peers are, instead of what was stored.
func (d testDatabase) setPlaces(t *testing.T, places map[string]string) {
	t.Helper()
	db := d.open(t, true)
	defer db.Close()
	var values []string
	for address, place := range places {
		kind, country := "internet", "'"+place+"'"
		if len(place) > 2 {
			kind, country = place, "NULL"
		}
		values = append(values, fmt.Sprintf("('%s', '%s', %s)", address, kind, country))
	}
	for _, text := range []string{"DELETE FROM place", "INSERT INTO place (host, kind, country) VALUES " + strings.Join(values, ", ")} {
		if _, err := db.Exec(text); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
}

// A told is what JSON lines say of transactions, read without a database.
type told struct {
	inputs   map[string]map[string][]int64 // txid: previous txid: outputs of it that are spent
	values   map[string][]int64            // txid: of its outputs
	sighted  map[string]map[string]sighted // txid: connection: first sighting
	captured map[string][]record.Time      // txid: when the tx messages were seen
}

type sighted struct {
	at   record.Time
	conn uint64
	peer string // address
}

// readTold reads JSON lines.
func readTold(t *testing.T, lines []byte) *told {
	t.Helper()
	type line struct {
		Record, From, Conn, Hash, TxID, WTxID string
		SeenAt                                time.Time `json:"seen_at"`
		Outbound                              bool
		Type                                  uint32
		Inputs                                []struct {
			TxID string
			Vout int64
		}
		Outputs []struct{ Value int64 }
	}
	all := &told{map[string]map[string][]int64{}, map[string][]int64{}, map[string]map[string]sighted{}, map[string][]record.Time{}}
	byHash := map[string]string{}
	var records []line
	for text := range bytes.Lines(lines) {
		var l line
		if err := json.Unmarshal(text, &l); err != nil {
			t.Fatal(err)
		}
		records = append(records, l)
		if l.Record != "tx" {
			continue
		}
		byHash[l.TxID], byHash[l.WTxID] = l.TxID, l.TxID
		all.captured[l.TxID] = append(all.captured[l.TxID], record.Time(l.SeenAt.UnixMicro()))
		all.inputs[l.TxID], all.values[l.TxID] = map[string][]int64{}, nil
		for _, in := range l.Inputs {
			all.inputs[l.TxID][in.TxID] = append(all.inputs[l.TxID][in.TxID], in.Vout)
		}
		for _, o := range l.Outputs {
			all.values[l.TxID] = append(all.values[l.TxID], o.Value)
		}
	}
	for _, l := range records {
		hash := l.TxID
		if l.Record == "inv" && (l.Type == 1 || l.Type == 5 || l.Type == 1<<30|1) {
			hash = byHash[l.Hash]
		}
		if hash == "" || l.Outbound {
			continue
		}
		if all.sighted[hash] == nil {
			all.sighted[hash] = map[string]sighted{}
		}
		was, ok := all.sighted[hash][l.Conn]
		if at := record.Time(l.SeenAt.UnixMicro()); !ok || at < was.at {
			s := sighted{at: at, peer: netip.MustParseAddrPort(l.From).Addr().String()}
			if _, err := fmt.Sscan(l.Conn, &s.conn); err != nil {
				t.Fatal(err)
			}
			all.sighted[hash][l.Conn] = s
		}
	}
	return all
}

// first is the first sighting of a transaction.
func (all *told) first(txid string) sighted {
	var list []sighted
	for _, s := range all.sighted[txid] {
		list = append(list, s)
	}
	if len(list) == 0 {
		return sighted{}
	}
	return slices.MinFunc(list, func(a, b sighted) int {
		return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.conn, b.conn))
	})
}

// spends is what txid spends of outputs of from, in satoshi; ok is false if it spends none that was captured. An output can't be spent
// twice by one transaction, whatever a hostile peer writes.
func (all *told) spends(txid, from string) (value int64, ok bool) {
	for i, n := range all.inputs[txid][from] {
		if n < int64(len(all.values[from])) && !slices.Contains(all.inputs[txid][from][:i], n) {
			value, ok = value+all.values[from][n], true
		}
	}
	return value, ok
}

// crossings are all crossings up to a number of hops, as lines "FROM TO places hops value", in order. Of several chains of the same
// length, the value is that of the one that can carry most.
func (all *told) crossings(places map[string]string, hops int) (lines []string) {
	for to := range all.captured {
		reached := map[string]bool{}
		level := map[string]int64{to: 1<<63 - 1}
		for n := 1; n <= hops; n++ {
			next := map[string]int64{}
			for txid, most := range level {
				for from := range all.inputs[txid] {
					if value, ok := all.spends(txid, from); ok {
						next[from] = max(next[from], min(most, value))
					}
				}
			}
			for from, value := range next {
				x, y := places[all.first(from).peer], places[all.first(to).peer]
				if !reached[from] && x != y && len(x) == 2 && len(y) == 2 {
					lines = append(lines, fmt.Sprintf("%s %s %s %s %d %d", from, to, x, y, n, value))
				}
				reached[from] = true
			}
			level = next
		}
	}
	slices.Sort(lines)
	return lines
}

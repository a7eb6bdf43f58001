package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"btcsniff/analyze"
	"btcsniff/geo"
	"btcsniff/internal/cli"
	"btcsniff/record"
)

// nodeFlags are the flags of firstseen nodes.
type nodeFlags struct {
	analyze.NodeQuery
	format  string
	resolve bool
	geoip   []string
}

var nodesCommand = command{
	name:  "nodes",
	about: "Lists the nodes that were peers of the observed node, and those that its peers told of",
	more: `--format bitnodes writes what Bitnodes exports: one JSON array with an array for each node, of address, port, protocol version, user
agent, connected since (seconds since 1970; for a node that was no peer, when others saw it last), services, height, hostname, city,
country, latitude, longitude, time zone, ASN, organisation. What is unknown is null, or 0.0 for coordinates; Bitnodes, which calls each
node, has no nodes without a protocol version, and --peers leaves out most of these.`,
	setup: func(fs *flag.FlagSet) func(context.Context, *call) error {
		f := &nodeFlags{}
		fs.StringVar(&f.format, "format", "", "`FORMAT` is bitnodes, csv or jsonl (as --csv and --json)")
		timeFlags(fs, &f.Since, &f.Until, "nodes connected to, or told of,")
		fs.StringVar(&f.Network, "network", "", "only the nodes of network `NAME`, as mainnet")
		fs.BoolVar(&f.PeersOnly, "peers", false, "only peers of the observed node")
		fs.Func("geoip", "look up addresses of which the database knows no country in `FILE`, in MaxMind's format; may be given more than once", func(s string) error {
			f.geoip = append(f.geoip, s)
			return nil
		})
		fs.BoolVar(&f.resolve, "resolve", false, "ask the DNS for the names of addresses: this tells others which these are")
		return func(ctx context.Context, c *call) error {
			if err := f.check(c); err != nil {
				return err
			}
			places, err := geo.Open(f.geoip...)
			if err != nil {
				return err
			}
			defer places.Close() //nolint:errcheck // it was only read
			db, err := c.open(ctx)
			if err != nil {
				return err
			}
			defer db.Close()
			return printNodes(ctx, c, db, f, places, net.DefaultResolver)
		}
	},
}

// check compares flags with each other, and sets the call's format.
func (f *nodeFlags) check(c *call) error {
	switch f.format {
	case "", "bitnodes":
	case "csv":
		c.csv, c.format = true, asCSV
	case "jsonl":
		c.json, c.format = true, asJSON
	default:
		return cli.UsageError{Err: fmt.Errorf("--format %s: want bitnodes, csv or jsonl", f.format)}
	}
	if c.json && c.csv || f.format == "bitnodes" && (c.json || c.csv) {
		return cli.UsageError{Err: errors.New("--format contradicts --json or --csv: give one")}
	}
	return nil
}

func printNodes(ctx context.Context, c *call, db *analyze.DB, f *nodeFlags, places *geo.DB, dns *net.Resolver) error {
	w := c.nodeWriter(f)
	names := &resolver{dns: dns}
	found := 0
	var waiting []analyze.Node
	flush := func() error {
		found += len(waiting)
		hosts := make([]string, len(waiting))
		if f.resolve {
			hosts = names.resolve(ctx, waiting)
		}
		for i := range waiting {
			if err := w.write(&waiting[i], hosts[i]); err != nil {
				return fmt.Errorf("write nodes: %w", err)
			}
		}
		waiting = waiting[:0]
		return nil
	}
	if err := db.Nodes(ctx, f.NodeQuery, func(n *analyze.Node) error {
		if n.Place.Country == "" && len(f.geoip) > 0 {
			n.Place = places.Place(n.Address)
		}
		if waiting = append(waiting, *n); len(waiting) < 1000 {
			return nil
		}
		return flush()
	}); err != nil {
		return err
	}
	if err := errors.Join(flush(), places.Err()); err != nil {
		return err
	}
	if found == 0 && f.format != "bitnodes" {
		c.none("no node: none is recorded that fits")
	}
	return w.close()
}

// A nodeWriter writes nodes in one format.
type nodeWriter interface {
	write(n *analyze.Node, hostname string) error
	close() error
}

func (c *call) nodeWriter(f *nodeFlags) nodeWriter {
	if f.format == "bitnodes" {
		return &bitnodesWriter{w: bufio.NewWriter(c.stdout)}
	}
	columns := []column{
		{"network", "network"}, {"address", "address"}, {"port", "port"}, {"protocol", "protocol"}, {"user_agent", "user agent"},
		{"last_seen", "last seen"}, {"connected_since", ""}, {"connections", "connections"}, {"services", ""}, {"height", "height"},
		{"hostname", ""}, {"kind", ""}, {"city", ""}, {"country", "country"}, {"latitude", ""}, {"longitude", ""}, {"time_zone", ""},
		{"asn", "ASN"}, {"organisation", "organisation"},
	}
	return &nodeTable{c.table("", columns...)}
}

// A nodeTable is nodes as other commands print rows.
type nodeTable struct{ *table }

func (t *nodeTable) write(n *analyze.Node, hostname string) error {
	p := &n.Place
	var latitude, longitude any
	if p.Located {
		latitude, longitude = p.Latitude, p.Longitude
	}
	var services any
	if n.Services != 0 || n.Protocol != 0 || n.Connections == 0 {
		services = fmt.Sprint(n.Services) // of 64 bits, as in records: a string
	}
	t.row(word(n.Network), n.Address, number(n.Port), number(n.Protocol), word(n.UserAgent), n.LastSeen, n.ConnectedSince, n.Connections,
		services, height(n.Height), word(hostname), word(string(p.Kind)), word(p.City), word(p.Country), latitude, longitude,
		word(p.TimeZone), number(int(p.ASN)), word(p.Organisation))
	return t.err
}

// number is a number that is nil where it is 0.
func number(n int) any {
	if n == 0 {
		return nil
	}
	return n
}

// height is a height that is nil where it isn't known.
func height(n int64) any {
	if n < 0 {
		return nil
	}
	return n
}

// A bitnodesWriter writes the array that Bitnodes exports. Source: Bitnodes' export.py and resolve.py, of which the order of fields, the
// forms of unknown values and those of Tor's are, and the API's description at https://bitnodes.io/api/.
type bitnodesWriter struct {
	w *bufio.Writer
	n int
}

func (b *bitnodesWriter) write(n *analyze.Node, hostname string) error {
	p := &n.Place
	asn, organisation := any(nil), word(p.Organisation)
	if p.ASN != 0 {
		asn = fmt.Sprintf("AS%d", p.ASN)
	}
	if p.Kind == record.PlaceTor {
		asn, organisation = "TOR", "Tor network"
	}
	since := n.ConnectedSince
	if since == 0 {
		since = n.LastSeen
	}
	var seconds any
	if since != 0 {
		seconds = since.Std().Unix()
	}
	row := []any{
		n.Address, number(n.Port), number(n.Protocol), word(n.UserAgent), seconds, n.Services, height(n.Height), word(hostname),
		word(p.City), word(p.Country), degrees(p.Latitude), degrees(p.Longitude), word(p.TimeZone), asn, organisation,
	}
	text := "[["
	if b.n > 0 {
		text = ",\n ["
	}
	b.n++
	for i, v := range row {
		if i > 0 {
			text += ", "
		}
		value, err := jsonValue(v)
		if err != nil {
			return err
		}
		text += string(value)
	}
	_, err := b.w.WriteString(text + "]")
	return err
}

// degrees is a coordinate, always with a point, as 0.0.
func degrees(v float64) json.RawMessage {
	text := fmt.Sprint(v)
	if !strings.ContainsAny(text, ".e") {
		text += ".0"
	}
	return json.RawMessage(text)
}

func (b *bitnodesWriter) close() error {
	text := "]\n"
	if b.n == 0 {
		text = "[]\n"
	}
	if _, err := io.WriteString(b.w, text); err != nil {
		return fmt.Errorf("write nodes: %w", err)
	}
	if err := b.w.Flush(); err != nil {
		return fmt.Errorf("write nodes: %w", err)
	}
	return nil
}

// A resolver asks the DNS for the names of addresses, each once.
type resolver struct {
	dns   *net.Resolver
	known map[string]string
}

const (
	askers     = 32              // questions at a time
	answerTime = 5 * time.Second // for one; Debian's resolv.conf(5) waits as long for a server
)

// resolve returns the name of each node's address: "" where there is none. Addresses that only look like IPv6's are not asked for.
func (r *resolver) resolve(ctx context.Context, nodes []analyze.Node) []string {
	if r.known == nil {
		r.known = map[string]string{}
	}
	questions := make(chan netip.Addr)
	var mu sync.Mutex
	var wait sync.WaitGroup
	for range askers {
		wait.Go(func() {
			for a := range questions {
				if name := r.ask(ctx, a); name != "" {
					mu.Lock()
					r.known[a.String()] = name
					mu.Unlock()
				}
			}
		})
	}
	asked := map[netip.Addr]bool{}
	for i := range nodes {
		a, err := netip.ParseAddr(nodes[i].Address)
		mu.Lock()
		_, known := r.known[nodes[i].Address]
		mu.Unlock()
		kind, _ := record.Reserved(a)
		if err != nil || known || asked[a] || kind == record.PlaceTor || kind == record.PlaceCJDNS || ctx.Err() != nil {
			continue
		}
		asked[a] = true
		questions <- a
	}
	close(questions)
	wait.Wait()
	names := make([]string, len(nodes))
	for i := range nodes {
		names[i] = r.known[nodes[i].Address]
	}
	return names
}

// ask returns an address's name without its last dot.
func (r *resolver) ask(ctx context.Context, a netip.Addr) string {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	names, err := r.dns.LookupAddr(ctx, a.String())
	if err != nil || len(names) == 0 {
		return ""
	}
	return strings.TrimSuffix(names[0], ".")
}

package sinktest

import (
	"fmt"
	"testing"

	"btcsniff/record"
	"btcsniff/sink"
)

// A locator is a sink that stores places of databases.
type locator interface {
	Locate(where func(host string) record.Place)
}

// openLocated opens a sink that asks where.
func (e *env) openLocated(where func(host string) record.Place) {
	e.t.Helper()
	e.open()
	l, ok := e.sink.(locator)
	if !ok {
		e.t.Fatalf("%T has no Locate", e.sink)
	}
	l.Locate(where)
}

const day record.Time = 86_400_000_000

// lab is what a database says that was built at asOf: 192.0.2.7 is in country, 192.0.2.8 in none of its networks.
func lab(asOf record.Time, country string) func(string) record.Place {
	return func(host string) record.Place {
		switch host {
		case "192.0.2.7":
			return record.Place{Kind: record.PlaceInternet, Country: country, City: "K\u00f6ln\x00'", Latitude: 50.9375, Longitude: -6.5, Located: true,
				TimeZone: "Europe/Berlin", ASN: 4_294_967_295, Organisation: "Example \xff Net", AsOf: asOf}
		case "192.0.2.8":
			return record.Place{Kind: record.PlaceUnknown, AsOf: asOf}
		case "192.0.2.9":
			return record.Place{Kind: record.PlaceUnknown}
		}
		return record.PlaceOf(host)
	}
}

// places stores connections of peers in all kinds of places: each has one row in peer_place, and storing them again, or with no
// database, changes nothing.
func places(t *testing.T, e *env) {
	c := newCapture("lab")
	b := newBatch(c, 0)
	peer := func(i int, address, name string) {
		conn := newConn(c, address, int64(i))
		if name != "" {
			conn.SetPeerName(name)
		}
		b.Inv(sent(conn, int64(1000+i), 0), []record.InvVect{{Type: record.InvWTx, Hash: hashOf(uint64(i))}})
	}
	peer(0, "192.0.2.7:51234", "")
	peer(1, "192.0.2.7:51235", "")
	peer(2, "192.0.2.8:51234", "")
	peer(3, "192.0.2.9:51234", "")
	peer(4, "198.51.100.1:51234", "")
	peer(5, "127.0.0.1:9050", "expyuzz4wqqyqhjn.onion:8333")
	peer(6, "127.0.0.1:9050", "[fc12::1]:8333")
	peer(7, "127.0.0.1:9050", "example.i2p:0")
	peer(8, "127.0.0.1:9050", "192.0.2.7:8333")
	peer(9, "127.0.0.1:9050", "\x1b[2J\x00'.onion:8333")
	closed := newConn(c, "192.0.2.8:51235", 10)
	b.Conn(record.ConnEnd{Conn: closed, ClosedAt: start + 5000, HandshakeRTT: -1})

	at := start - day
	e.openLocated(lab(at, "DE"))
	e.begin(c, 0)
	e.write(b, uint64(b.Len()))
	e.close()

	full := "internet DE " + sink.Text("K\u00f6ln\x00'") + " 50.9375 -6.5 Europe/Berlin 4294967295 " + sink.Text("Example \xff Net") + " " + at.String() + " DE"
	nowhere := " null null null null null null null "
	want := []string{
		full, full,
		"unknown" + nowhere + at.String() + " null",
		"unknown" + nowhere + "null null",
		"private" + nowhere + "null private",
		"tor" + nowhere + "null tor",
		"cjdns" + nowhere + "null cjdns",
		"i2p" + nowhere + "null i2p",
		full,
		"unknown" + nowhere + "null null",
		"unknown" + nowhere + at.String() + " null",
	}
	const query = "SELECT p.kind, p.country, city, latitude, longitude, time_zone, asn, organisation, as_of, place FROM peer_place p JOIN connection k ON k.id = p.conn ORDER BY k.opened_at"
	e.want(query, want...)
	e.want("SELECT count(*), count(DISTINCT host) FROM place", "6 6")
	e.want("SELECT country FROM announcement ORDER BY seen_at", "DE", "DE", "null", "null", "private", "tor", "cjdns", "i2p", "DE", "null")
	e.want("SELECT country FROM first_seen ORDER BY first_seen", "DE", "DE", "null", "null", "private", "tor", "cjdns", "i2p", "DE", "null")
	e.want("SELECT count(*) FROM first_seen WHERE country = 'DE'", "3")
	e.want(fmt.Sprintf("SELECT kind FROM peer_place WHERE conn = %d", closed.ID), "unknown")

	e.run([]*record.Batch{b}, uint64(b.Len()), 0)
	e.openLocated(lab(start+day, "FR"))
	e.begin(c, uint64(b.Len()))
	e.write(b, 0)
	e.close()
	e.want(query, want...)
	e.want("SELECT count(*) FROM place", "6")
}

// placesByDate stores a peer's place of two dates: a connection has the latest of before it opened, else the earliest. What an
// address tells without a database holds only where no database was asked.
func placesByDate(t *testing.T, e *env) {
	first, second := start+10_000_000, start+20_000_000
	store := func(c *record.Capture, us int64, where func(string) record.Place) {
		t.Helper()
		b := newBatch(c, 0)
		b.Ping(record.Ping{Meta: sent(newConn(c, "192.0.2.7:51234", us), us+1, 0)})
		e.openLocated(where)
		e.begin(c, 0)
		e.write(b, 1)
		e.close()
	}
	one := func(sensor string) *record.Capture { return newCapture(sensor) }
	const query = "SELECT s.name, p.country, p.as_of, p.place FROM peer_place p JOIN connection k ON k.id = p.conn " +
		"JOIN capture c ON c.id = k.capture JOIN sensor s ON s.id = c.sensor ORDER BY s.name"
	store(one("a"), 0, record.PlaceOf)
	e.want(query, "a null null private")
	store(one("b"), 20_000_000, lab(second, "FR"))
	e.want(query, "a FR "+second.String()+" FR", "b FR "+second.String()+" FR")
	store(one("c"), 9_999_999, lab(first, "DE"))
	store(one("d"), 10_000_000, lab(first, "DE"))
	store(one("e"), 19_999_999, lab(first, "XX")) // the first answer of that date stays
	e.want(query, "a DE "+first.String()+" DE", "b FR "+second.String()+" FR", "c DE "+first.String()+" DE",
		"d DE "+first.String()+" DE", "e DE "+first.String()+" DE")
	e.want("SELECT host, as_of, country FROM place ORDER BY as_of", "192.0.2.7 "+first.String()+" DE", "192.0.2.7 "+second.String()+" FR",
		"192.0.2.7 null null")
	e.want("SELECT count(*) FROM peer_place", "5")
}

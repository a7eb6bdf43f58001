package page

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"unicode/utf8"

	"btcsniff/analyze"
	"btcsniff/record"
)

// load returns what summarize makes of the range that r asks for, as far as anything was recorded.
func (s *site) load(ctx context.Context, r *http.Request, summarize func(summaryKey) (*overview, error)) (*overview, error) {
	e, err := s.cfg.DB.Extent(ctx)
	if err != nil {
		return nil, err
	}
	if e.First == 0 && e.Last == 0 {
		return &overview{Empty: true}, nil
	}
	in, links, err := chosen(r.URL.Query(), e)
	if err != nil {
		return nil, err
	}
	o, err := summarize(summaryKey{in, e.State})
	if err != nil {
		return nil, err
	}
	o.Ranges, o.InSince, o.InUntil = links, fieldTime(o.Since), fieldTime(o.Until)
	return o, nil
}

func (s *site) overview(ctx context.Context, r *http.Request) (string, view, error) {
	o, err := s.load(ctx, r, func(key summaryKey) (*overview, error) {
		sum, err := s.summaries.get(ctx, s.cfg.DB, key)
		if err != nil {
			return nil, err
		}
		return newOverview(sum), nil
	})
	return "overview", view{Title: "Overview", Body: o}, err
}

func (s *site) about(ctx context.Context, r *http.Request) (string, view, error) {
	q := r.URL.Query()
	if len(q) == 0 {
		r.URL.RawQuery = "span=all"
	}
	o, err := s.load(ctx, r, func(key summaryKey) (*overview, error) {
		sum, err := s.cfg.DB.SummarizeCaptures(ctx, key.Range)
		if err != nil {
			return nil, err
		}
		return &overview{Summary: sum, Ledger: ledgerLines(&sum.Ledger)}, nil
	})
	return "about", view{Title: "Captures and ledger", Body: o}, err
}

// transactionBody is the body of a transaction's page.
type transactionBody struct {
	*analyze.Transaction
	Scenes []scene
}

// A scene is what one sensor saw, in words.
type scene struct {
	analyze.Scene
	Verdict []string // sentences
	Shown   []announcer
	Left    int // announcers that are not shown
	Chart   *chart
}

// An announcer is a row of a transaction's page.
type announcer struct {
	analyze.Announcer
	Host string // to look for
	How  string
	Mark string // likely origin, tied with the first
}

const maxAnnouncers = 500 // rows of a page

func (s *site) transaction(ctx context.Context, r *http.Request) (string, view, error) {
	hash := strings.ToLower(r.PathValue("hash"))
	if !hashDigits.MatchString(hash) {
		return "", view{}, failure{http.StatusBadRequest, "That is no txid or wtxid: want 64 hexadecimal digits."}
	}
	tx, err := s.cfg.DB.Tx(ctx, hash, analyze.Model{})
	if err != nil {
		if errors.Is(err, analyze.ErrNoHash) {
			err = failure{http.StatusBadRequest, "That is no txid or wtxid: want 64 hexadecimal digits."}
		}
		return "", view{}, err
	}
	if len(tx.Sensors) == 0 {
		return "", view{}, failure{http.StatusNotFound, "No peer told of a transaction with this txid or wtxid. (It may have been seen before the recording began, or on an encrypted connection.)"}
	}
	body := transactionBody{Transaction: tx}
	for i, sensor := range tx.Sensors {
		body.Scenes = append(body.Scenes, newScene(sensor, i))
	}
	return "transaction", view{Title: "Transaction", Query: hash, Body: body}, nil
}

// newScene puts in words what the i-th sensor saw.
func newScene(in analyze.Scene, i int) scene {
	sc := scene{Scene: in}
	v := in.Verdict
	for k, a := range in.Announcers {
		if k == maxAnnouncers {
			sc.Left = len(in.Announcers) - k
			break
		}
		row := announcer{Announcer: a, Host: analyze.PeerHost(a.Peer), How: a.Via}
		if a.Via == "inv" {
			row.How = map[int64]string{1: "inv txid", 5: "inv wtxid"}[a.Type]
		}
		switch {
		case k == v.Peer && v.Probability >= 0.5:
			row.Mark = "likely origin"
		case k == v.Corrected:
			row.Mark = "first, latency taken off"
		case contains(v.Ties, k):
			row.Mark = "tied"
		}
		sc.Shown = append(sc.Shown, row)
	}
	sc.Verdict = sentences(&in)
	sc.Chart = arrivalChart(fmt.Sprintf("arrivals-%d", i), in.Announcers)
	return sc
}

func contains(list []int, k int) bool {
	for _, x := range list {
		if x == k {
			return true
		}
	}
	return false
}

// sentences says what follows from the announcements, and how sure that is.
func sentences(in *analyze.Scene) (out []string) {
	v, first := in.Verdict, in.Announcers[0]
	say := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	if len(in.Announcers) == 1 {
		say("%s alone told of it, at %s.", clean(first.Peer), formatTime(first.SeenAt))
	} else {
		say("%s was first, at %s, %s before the next of %s peers.", clean(first.Peer), formatTime(first.SeenAt), formatSpan(in.Lead), formatCount(len(in.Announcers)))
	}
	if v.Corrected >= 0 && v.Corrected != v.First {
		say("With latency taken off, %s was first.", clean(in.Announcers[v.Corrected].Peer))
	}
	if len(in.Announcers) > 1 {
		say("The lead is %s with latency taken off, and may be off by %s: %s tied with it.", formatSpan(v.Lead), formatSpan(v.LeadError), plural(len(v.Ties), "peer is", "peers are", "no peer is"))
	}
	c := in.Coverage
	text := fmt.Sprintf("%s watched then", plural(int(c.Watched), "peer was", "peers were", "no peer was"))
	if c.Unreadable > 0 {
		text += fmt.Sprintf(", and the encrypted traffic of %s could not be read", plural(int(c.Unreadable), "more", "more", ""))
	}
	text += "."
	if c.Blind > 0 {
		text += fmt.Sprintf(" The sensor was blind for %s within a minute of it (%s).", formatSpan(c.Blind), clean(strings.Join(c.Reasons, ", ")))
	}
	say("%s", text)
	if v.Peer >= 0 {
		say("That it began at %s has a probability of %s; that it began at none of these peers, %s.", clean(in.Announcers[v.Peer].Peer), chance(v.Probability), chance(v.Elsewhere))
	}
	if v.Place != "" {
		say("Where it began, most likely: %s, with a confidence of %s.", placeName(v.Place), chance(v.Confidence))
	}
	for _, a := range v.Assumed {
		say("Assumed: %s.", clean(a))
	}
	return out
}

func chance(p float64) string { return fmt.Sprintf("%.0f %%", 100*p) }

func plural(n int, one, many, none string) string {
	switch n {
	case 0:
		return none
	case 1:
		return "1 " + one
	}
	return formatCount(n) + " " + many
}

// arrivalChart draws, over the time since the first, how many peers had told.
func arrivalChart(id string, list []analyze.Announcer) *chart {
	c := newChart(id, "How it spread", "How many peers had told of the transaction, over the time since the first.")
	if len(list) < 3 {
		return nil
	}
	limit := max(1, list[(len(list)*99+99)/100-1].Behind.Microseconds())
	y := c.upward(float64(len(list)), axisCount)
	x := c.afterward(limit)
	points := [][2]num{{x(0), y(0)}}
	every := len(list)/200 + 1
	for i := 0; i < len(list); i += every {
		us := list[i].Behind.Microseconds()
		if us > limit {
			break
		}
		points = append(points, [2]num{x(us), points[len(points)-1][1]}, [2]num{x(us), y(float64(i + 1))})
	}
	c.Curves = append(c.Curves, curve{path(points), "c0"})
	c.Table = table{Columns: []string{"Share of the peers", "After the first"}, Text: 1}
	for _, p := range []int{10, 25, 50, 75, 90, 100} {
		c.Table.Rows = append(c.Table.Rows, []string{fmt.Sprintf("%d %%", p), formatSpan(list[max(0, (len(list)*p+99)/100-1)].Behind)})
	}
	return c
}

// peerBody is the body of a peer's page.
type peerBody struct {
	Name string
	List []analyze.Connection
	More bool
}

func (s *site) peer(ctx context.Context, r *http.Request) (string, view, error) {
	name := analyze.PeerHost(r.URL.Query().Get("name"))
	switch {
	case name == "":
		return "", view{}, failure{http.StatusBadRequest, "Which peer? Give its address, or the name that a proxy was asked for."}
	case len(name) > 300:
		return "", view{}, failure{http.StatusBadRequest, "That is too long for a peer's name."}
	case !plain(name):
		return "", view{}, failure{http.StatusBadRequest, "That is no peer's name."}
	}
	list, more, err := s.cfg.DB.Connections(ctx, name)
	if err != nil {
		return "", view{}, err
	}
	if len(list) == 0 {
		return "", view{}, failure{http.StatusNotFound, "There is no connection to a peer of this name or address: " + clean(name)}
	}
	return "peer", view{Title: "Peer", Query: name, Body: peerBody{name, list, more}}, nil
}

// listBody is the body of a list of transactions.
type listBody struct {
	Rows         []txRow
	Peer, Place  string
	Since, Until string // as the form holds them
	Older        string // link to what comes before; "": there is nothing
	Empty        bool   // nothing was recorded
}

const (
	listRows = 50     // on a page
	maxSkip  = 10_000 // transactions of one microsecond that are paged through
)

func (s *site) transactions(ctx context.Context, r *http.Request) (string, view, error) {
	q := r.URL.Query()
	e, err := s.cfg.DB.Extent(ctx)
	if err != nil {
		return "", view{}, err
	}
	body := listBody{Peer: strings.TrimSpace(q.Get("peer")), Place: strings.TrimSpace(q.Get("place")), Since: q.Get("since"), Until: q.Get("until"), Empty: e.First == 0 && e.Last == 0}
	ask := analyze.ListQuery{Peer: body.Peer, Place: placeCode(body.Place), Limit: listRows}
	for _, x := range []struct {
		text string
		to   *record.Time
	}{{body.Since, &ask.Since}, {body.Until, &ask.Until}} {
		if x.text == "" {
			continue
		}
		if *x.to, err = parseTime(x.text); err != nil {
			return "", view{}, failure{http.StatusBadRequest, fmt.Sprintf("The time “%s” can't be read: want one as in 2026-11-22 10:00:00, in UTC.", clean(x.text))}
		}
	}
	if ask.Since != 0 && ask.Until != 0 && ask.Until <= ask.Since {
		return "", view{}, failure{http.StatusBadRequest, "The range of time ends before it begins."}
	}
	for _, text := range []string{body.Peer, body.Place} {
		if len(text) > 300 || !plain(text) {
			return "", view{}, failure{http.StatusBadRequest, "That is no peer's name, or no place."}
		}
	}
	skip := 0
	if text := q.Get("skip"); text != "" {
		if skip, err = strconv.Atoi(text); err != nil || skip < 0 || skip > maxSkip {
			return "", view{}, failure{http.StatusBadRequest, "That page of the list can't be shown: give a time."}
		}
	}
	ask.Limit += skip
	list, err := s.cfg.DB.List(ctx, ask)
	if err != nil {
		return "", view{}, err
	}
	body.Rows = txRows(list[min(skip, len(list)):], true)
	if len(list) == ask.Limit {
		last := list[len(list)-1].SeenAt
		same := 0 // as a message tells of many at once
		for _, f := range list {
			if f.SeenAt == last {
				same++
			}
		}
		q.Set("until", fieldTime(last+1))
		q.Set("skip", strconv.Itoa(same))
		body.Older = "/transactions?" + q.Encode()
	}
	body.Since, body.Until = fieldTime(ask.Since), fieldTime(ask.Until)
	return "transactions", view{Title: "Transactions", Body: body}, nil
}

// plain says whether text can be asked for: no database takes NUL or what is no UTF-8.
func plain(text string) bool { return utf8.ValidString(text) && !strings.ContainsRune(text, 0) }

// txRows puts transactions in words; link makes them lead to their pages.
func txRows(list []analyze.First, link bool) (rows []txRow) {
	for _, f := range list {
		lead := "–"
		if f.Lead >= 0 {
			lead = formatSpan(f.Lead)
		}
		rows = append(rows, txRow{Hash: f.Hash, FirstSeen: f.SeenAt, Peer: f.Peer, Host: analyze.PeerHost(f.Peer), Place: f.Place, Lead: lead, Peers: formatCount(f.Peers), Link: link})
	}
	return rows
}

// placeCode is a place as the database has it.
func placeCode(text string) string {
	if len(text) == 2 {
		return strings.ToUpper(text)
	}
	return strings.ToLower(text)
}

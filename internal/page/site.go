package page

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"btcsniff/analyze"
	"btcsniff/record"
)

// Config is what a site needs. Zero fields mean what their comments say.
type Config struct {
	DB      *analyze.DB
	Source  string        // what the database is called, without a password
	Hosts   []string      // names, beside localhost and loopback addresses, that the site may be asked for by
	Timeout time.Duration // for one page; 0: 30 s
	Queries int           // pages that may ask the database at once, the others wait; 0: 4
}

// A site answers requests.
type site struct {
	cfg       Config
	templates *template.Template
	slots     chan struct{} // holds a value for each page that asks the database; bounded, when full pages wait
	summaries summaries
	mux       *http.ServeMux
}

// New returns a handler that shows the database. It only reads, keeps nothing about who asks, and answers only requests by a name
// that can't be an attacker's web page's (DNS rebinding).
func New(cfg Config) (http.Handler, error) {
	t, err := parse()
	if err != nil {
		return nil, err
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = 30 * time.Second
	}
	if cfg.Queries <= 0 {
		cfg.Queries = 4
	}
	s := &site{cfg: cfg, templates: t, slots: make(chan struct{}, cfg.Queries), mux: http.NewServeMux()}
	for pattern, show := range map[string]func(context.Context, *http.Request) (string, view, error){
		"/{$}":          s.overview,
		"/transactions": s.transactions,
		"/tx/{hash}":    s.transaction,
		"/peer":         s.peer,
		"/about":        s.about,
	} {
		s.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) { s.page(w, r, show) })
	}
	s.mux.HandleFunc("/search", s.search)
	s.mux.HandleFunc("/style.css", s.file("style.css", "text/css; charset=utf-8"))
	s.mux.HandleFunc("/icon.svg", s.file("icon.svg", "image/svg+xml"))
	s.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		s.fail(w, r, failure{http.StatusNotFound, "There is no such page."})
	})
	return s, nil
}

// A failure is an answer other than a page. Its text is for people.
type failure struct {
	status int
	text   string
}

func (f failure) Error() string { return f.text }

// ServeHTTP answers a request.
func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
	switch {
	case !s.knows(r.Host):
		s.fail(w, r, failure{http.StatusMisdirectedRequest, "This site answers as localhost only. To open it by another name, start it with --host NAME."})
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		h.Set("Allow", "GET, HEAD")
		s.fail(w, r, failure{http.StatusMethodNotAllowed, "This site can only be read."})
	default:
		s.mux.ServeHTTP(w, r)
	}
}

// knows says whether host, with or without a port, is a name of this site. A web page elsewhere can make its own name lead here, and
// would then be allowed to read the answers, but it can't be called localhost or be an address.
func (s *site) knows(host string) bool {
	u := url.URL{Host: host}
	name := strings.TrimSuffix(strings.ToLower(u.Hostname()), ".")
	if a, err := netip.ParseAddr(name); err == nil && a.IsLoopback() {
		return true
	}
	return name == "localhost" || slices.ContainsFunc(s.cfg.Hosts, func(h string) bool { return strings.EqualFold(h, name) })
}

// page answers with what show makes, within the time and number of pages that are allowed.
func (s *site) page(w http.ResponseWriter, r *http.Request, show func(context.Context, *http.Request) (string, view, error)) {
	ctx, cancel := context.WithTimeout(r.Context(), s.cfg.Timeout)
	defer cancel()
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	case <-ctx.Done():
		w.Header().Set("Retry-After", "10")
		s.fail(w, r, failure{http.StatusServiceUnavailable, "Too many pages are being made at once: try again in a moment."})
		return
	}
	name, v, err := show(ctx, r)
	if err == nil {
		err = s.write(w, r, http.StatusOK, name, v)
	}
	if err == nil || r.Context().Err() != nil {
		return // or nobody waits for it any more
	}
	var f failure
	switch {
	case errors.As(err, &f):
	case ctx.Err() != nil:
		f = failure{http.StatusGatewayTimeout, fmt.Sprintf("The database did not answer within %v: ask for a shorter range of time, or start serve with more --timeout.", s.cfg.Timeout)}
	default:
		f = failure{http.StatusInternalServerError, "The database did not answer: " + err.Error()}
	}
	s.fail(w, r, f)
}

// write sends a page, whole or not at all.
func (s *site) write(w http.ResponseWriter, r *http.Request, status int, name string, v view) error {
	var b bytes.Buffer
	v.Nav, v.Source = true, s.cfg.Source
	if err := render(&b, s.templates, name, v); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(b.Bytes()) // fails when the browser has gone
	}
	return nil
}

// fail answers with an error page.
func (s *site) fail(w http.ResponseWriter, r *http.Request, f failure) {
	v := view{Title: http.StatusText(f.status), Query: r.URL.Query().Get("q"), Body: f.text}
	if err := s.write(w, r, f.status, "error", v); err != nil {
		http.Error(w, f.text, f.status)
	}
}

// file answers with one of the site's own files.
func (s *site) file(name, mime string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		b, err := fs.ReadFile(files, "templates/"+name)
		if err != nil {
			s.fail(w, r, failure{http.StatusNotFound, "There is no such file."})
			return
		}
		w.Header().Set("Content-Type", mime)
		w.Header().Set("Cache-Control", "max-age=300")
		_, _ = w.Write(b) // fails when the browser has gone
	}
}

var hashDigits = regexp.MustCompile(`^[0-9a-f]{64}$`)

// search leads to the page of what was asked for.
func (s *site) search(w http.ResponseWriter, r *http.Request) {
	q := strings.TrimSpace(r.URL.Query().Get("q"))
	to := "/peer?name=" + url.QueryEscape(q)
	switch hash := strings.ToLower(q); {
	case q == "":
		s.fail(w, r, failure{http.StatusBadRequest, "Search for what? Give a txid, a wtxid, a peer's address, or an onion address."})
		return
	case len(q) > 300:
		s.fail(w, r, failure{http.StatusBadRequest, "That is too long for a transaction or a peer."})
		return
	case hashDigits.MatchString(hash):
		to = "/tx/" + hash
	}
	http.Redirect(w, r, to, http.StatusSeeOther)
}

// spans are the ranges that a link leads to, back from the newest record.
var spans = []struct {
	name, text string
	d          time.Duration
}{
	{"10m", "last 10 minutes", 10 * time.Minute}, {"1h", "hour", time.Hour}, {"6h", "6 hours", 6 * time.Hour}, {"24h", "day", 24 * time.Hour},
	{"168h", "week", 7 * 24 * time.Hour}, {"all", "everything", 0},
}

// chosen is the range that a request asks for: since and until, or a span back from the newest record, by default an hour.
func chosen(q url.Values, e analyze.Extent) (in analyze.Range, links []rangeLink, err error) {
	in = analyze.Range{Since: e.First, Until: e.Last + 1}
	span := q.Get("span")
	given := q.Get("since") != "" || q.Get("until") != ""
	if span == "" && !given {
		span = "1h"
	}
	known := span == ""
	for _, x := range spans {
		links = append(links, rangeLink{x.text, x.name, x.name == span})
		if x.name == span {
			known = true
			if x.d > 0 {
				in.Since = max(in.Since, in.Until.Add(-x.d))
			}
		}
	}
	if !known {
		return in, nil, failure{http.StatusBadRequest, "There is no such span of time: want 10m, 1h, 6h, 24h, 168h or all."}
	}
	for _, x := range []struct {
		name string
		to   *record.Time
	}{{"since", &in.Since}, {"until", &in.Until}} {
		if text := q.Get(x.name); text != "" {
			if *x.to, err = parseTime(text); err != nil {
				return in, nil, failure{http.StatusBadRequest, fmt.Sprintf("The time “%s” can't be read: want one as in 2026-11-22 10:00:00, in UTC.", clean(text))}
			}
		}
	}
	if in.Until <= in.Since {
		return in, nil, failure{http.StatusBadRequest, "The range of time ends before it begins."}
	}
	return in, links, nil
}

// parseTime reads a time as a browser's form or a person writes it, in UTC.
func parseTime(text string) (record.Time, error) {
	text = strings.Replace(strings.TrimSuffix(strings.TrimSpace(text), "Z"), " ", "T", 1)
	for _, layout := range []string{"2006-01-02T15:04:05.999999", "2006-01-02T15:04", "2006-01-02"} {
		if t, err := time.Parse(layout, text); err == nil {
			return record.Time(t.UnixMicro()), nil
		}
	}
	return 0, errors.New("no time")
}

// fieldTime is a time for a form's field, and no more precise than it is; "" for none.
func fieldTime(t record.Time) string {
	if t == 0 {
		return ""
	}
	return t.Std().Format("2006-01-02 15:04:05.999999")
}

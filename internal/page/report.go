package page

import (
	"context"
	"io"

	"btcsniff/analyze"
	"btcsniff/record"
)

// A Report says what WriteReport writes.
type Report struct {
	Source       string      // what the database is called, without a password
	Since, Until record.Time // of capture time; 0: no limit
}

const reportRows = 25 // transactions that are listed

// WriteReport writes one page that needs no other file and no network. The same database and Report give the same bytes: the only times
// in it are the capture's.
func WriteReport(ctx context.Context, w io.Writer, db *analyze.DB, r Report) error {
	t, err := parse()
	if err != nil {
		return err
	}
	e, err := db.Extent(ctx)
	if err != nil {
		return err
	}
	body := &overview{Empty: true}
	if e.First != 0 || e.Last != 0 {
		in := analyze.Range{Since: e.First, Until: e.Last + 1}
		if r.Since != 0 {
			in.Since = r.Since
		}
		if r.Until != 0 {
			in.Until = r.Until
		}
		s, err := db.Summarize(ctx, in, 0)
		if err != nil {
			return err
		}
		body = newOverview(s)
		list, err := db.List(ctx, analyze.ListQuery{Since: s.Since, Until: s.Until, Limit: reportRows})
		if err != nil {
			return err
		}
		body.Tx = txRows(list, false)
	}
	return render(w, t, "report", view{Title: "First seen: a report", Source: r.Source, Body: body})
}

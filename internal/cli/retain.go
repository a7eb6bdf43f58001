package cli

import (
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"btcsniff/sink/postgres"
)

// An order is how a run that goes on for months has its Postgres database kept.
type order struct {
	retain time.Duration // 0: for ever
}

// DeclareRetain declares --retain, for commands that may run for months. Order says that this one does.
func (f *Flags) DeclareRetain(fs *flag.FlagSet) {
	f.order = &order{}
	fs.Func("retain", "drop what is older than `D`, as in 90d, from the Postgres database: whole days, counted back from the newest record, when recording begins "+
		"and once a day; default: everything is kept", func(s string) (err error) {
		f.order.retain, err = parseDays(s)
		return err
	})
}

// Retains says whether there was a --retain.
func (f *Flags) Retains() bool { return f.order != nil && f.order.retain > 0 }

// Order has Postgres databases kept in order while the run writes: see postgres.Upkeep. It comes before OpenOutputs.
func (f *Flags) Order() {
	for i := range f.Targets {
		f.Targets[i].order = f.order
	}
}

// checkRetain looks whether there is something that --retain is about.
func (f *Flags) checkRetain() error {
	if f.Retains() && !slices.ContainsFunc(f.Targets, func(t Target) bool { return t.kind == toPostgres }) {
		return UsageError{errors.New("--retain is about Postgres databases, which drop a day at once: give it a --sink of postgres://..., too")}
	}
	return nil
}

// upkeep is the Postgres sink's, nil for none.
func (t *Target) upkeep(log *slog.Logger) *postgres.Upkeep {
	if t.order == nil {
		return nil
	}
	return &postgres.Upkeep{
		Retain: t.order.retain,
		Dropped: func(days int, kept string) {
			log.Info(fmt.Sprintf("%s: dropped %s; what was seen from %s on is kept", t.Name, Plural(days, "day"), kept))
		},
		Failed: func(err error) {
			log.Warn(fmt.Sprintf("%s: %v; trying again every minute, records are stored meanwhile", t.Name, RedactErr(err)))
		},
	}
}

// parseDays reads a time of at least a day: days with a d behind them, or what Go's durations are.
func parseDays(s string) (time.Duration, error) {
	const day, most = 24 * time.Hour, 36_500 // days
	var d time.Duration
	if digits, ok := strings.CutSuffix(s, "d"); ok {
		n, err := strconv.ParseUint(digits, 10, 32)
		if err != nil || n > most {
			return 0, errors.New("want a number of days, as in 90d")
		}
		d = time.Duration(n) * day
	} else if x, err := time.ParseDuration(s); err == nil {
		d = x
	}
	if d < day || d > most*day {
		return 0, errors.New("want at least one day, as in 90d")
	}
	return d, nil
}

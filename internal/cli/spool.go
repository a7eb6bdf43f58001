package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"time"

	"btcsniff/sink"
	"btcsniff/sink/postgres"
	"btcsniff/sink/spool"
)

const (
	defaultSpool = "btcsniff.spool"
	reachWithin  = 5 * time.Second // for a database at the start, before records are kept on disk instead
)

// A spooling says where a target's records are kept while it takes none.
type spooling struct {
	dir  string
	size int64 // bytes; 0: they are not
}

// DeclareSpool declares the flags about records that are kept on disk while a database is away, for commands that can't read again
// what they have read.
func (f *Flags) DeclareSpool(fs *flag.FlagSet) {
	f.spool = &spooling{dir: defaultSpool, size: spool.DefaultSize}
	fs.StringVar(&f.spool.dir, "spool", defaultSpool, "while a Postgres database is away, keep records in this `DIR`, and store them when it is back; default "+
		defaultSpool+" in the working directory")
	fs.Func("spool-size", "how much may be kept there, as a `SIZE` in bytes or with k, M or G behind it; when it is full, records are dropped and counted; 0: "+
		"keep nothing, wait; default 2G", func(s string) (err error) {
		if f.spool.size = 0; s != "0" {
			f.spool.size, err = ParseSize(s)
		}
		return err
	})
}

// spooled says whether the target's records are kept on disk while it is away. Only Postgres needs it: files are where
// the disk is, and who reads lines from a pipe is waited for.
func (t *Target) spooled() bool { return t.kind == toPostgres && t.spool != nil && t.spool.size > 0 }

// openSpooled opens the database, with a spool in front of it. That the database can't be reached is then no error.
func (t *Target) openSpooled(reading, writing context.Context, log *slog.Logger) (sink.Sink, error) {
	var s *spool.Sink
	to, err := postgres.New(t.arg, postgres.Options{
		Patient: true, Upkeep: t.upkeep(log),
		Waiting: func(err error, wait time.Duration) {
			log.Debug(fmt.Sprintf("%v; trying again in %v", RedactErr(err), wait))
			s.Waiting(RedactErr(err), wait)
		},
	})
	if err != nil {
		return nil, err
	}
	reach, stop := context.WithTimeout(reading, reachWithin)
	defer stop()
	if err := to.Ready(reach); err != nil && !postgres.Away(err) {
		return nil, err
	} else if err != nil {
		log.Warn(fmt.Sprintf("%v; until it can be reached, records are kept in %s", RedactErr(err), spool.Dir(t.spool.dir, to.Database())))
	}
	if t.where != nil {
		to.Locate(t.where)
	}
	db, ok := t.metered(to).(spool.Database)
	if !ok {
		return nil, errors.New("the database can't store blind times")
	}
	s, err = spool.Open(writing, db, spool.Options{
		Dir: t.spool.dir, Place: to.Database(), Size: t.spool.size,
		Alarm:   func(err error) { log.Error(err.Error()) },
		Problem: func(err error) { log.Warn(err.Error()) },
		Notice:  func(text string) { log.Info(text) },
	})
	if err != nil {
		return nil, errors.Join(err, to.Close())
	}
	return s, nil
}

// warnOfLeft says which records wait on disk for databases that are none of this run's.
func warnOfLeft(targets []Target, log *slog.Logger) {
	var dir string
	var places []string
	for i := range targets {
		if t := &targets[i]; t.spooled() {
			dir = t.spool.dir
			if to, err := postgres.New(t.arg, postgres.Options{}); err == nil {
				places = append(places, to.Database())
			}
		}
	}
	if dir == "" {
		return
	}
	for _, l := range spool.Others(dir, places) {
		log.Warn(fmt.Sprintf("spool %s holds %s for %q, which is no --sink of this run: start sniff with that sink to store them", l.Dir,
			Plural(l.Records, "record"), l.Place))
	}
}

package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"btcsniff/record"
)

// Upkeep keeps a database in order while a run writes for months: the partitions of the next day are made before it begins, and those of
// days that are old enough are dropped. It has a goroutine and, while it works, a connection of its own, so that writing never waits for it
// longer than LockWait, and works when the first batch is written and at the beginning of each day of capture time.
type Upkeep struct {
	// Retain is for how long records are kept, in capture time, counted from the newest record; days that are older as a whole are dropped
	// (drop_before). A capture clock that is ahead of the database's drops nothing too early. 0: everything is kept.
	Retain time.Duration
	// Dropped, if not nil, is called when days were dropped: how many, and the first that is kept.
	Dropped func(days int, kept string)
	// Failed, if not nil, is called with what could not be done, once for each time that work begins; it is tried again.
	Failed func(error)
	// Again is after what time it is tried again; 0: a minute.
	Again time.Duration
}

// lockWait is how long upkeep waits for a lock, and others behind it. It is less than Postgres' deadlock_timeout (1 s), so that upkeep, and
// never a writer, gives way.
const lockWait = "800ms"

// A keeper is the goroutine of an Upkeep.
type keeper struct {
	up     Upkeep
	config *pgx.ConnConfig
	newest atomic.Int64    // capture time of the newest record written, in microseconds
	day    int32           // of newest; used by the sink's goroutine alone
	wake   chan struct{}   // a day has begun; a token is enough for all
	ctx    context.Context // ends when the sink is closed
	stop   context.CancelFunc
	wait   sync.WaitGroup
}

func newKeeper(up Upkeep, config *pgx.ConnConfig) *keeper {
	ctx, stop := context.WithCancel(context.Background())
	k := &keeper{up: up, config: config, day: -1, wake: make(chan struct{}, 1), ctx: ctx, stop: stop}
	k.up.Again = cmp.Or(up.Again, time.Minute)
	return k
}

// wrote says that a batch was committed whose newest record is of that time. It is called by the sink's goroutine.
func (k *keeper) wrote(newest record.Time) {
	if k == nil || int64(newest) <= k.newest.Load() {
		return
	}
	k.newest.Store(int64(newest))
	if day := dayOf(newest); day != k.day {
		if k.day < 0 {
			k.wait.Go(func() { k.run(k.ctx) })
		}
		k.day = day
		select {
		case k.wake <- struct{}{}:
		default:
		}
	}
}

func (k *keeper) close() {
	if k != nil {
		k.stop()
		k.wait.Wait()
	}
}

func (k *keeper) run(ctx context.Context) {
	for {
		select {
		case <-k.wake:
		case <-ctx.Done():
			return
		}
		said := false
		for {
			err := k.work(ctx)
			if err == nil || ctx.Err() != nil {
				break
			}
			if !said && k.up.Failed != nil {
				k.up.Failed(err)
				said = true
			}
			select {
			case <-time.After(k.up.Again):
			case <-ctx.Done():
				return
			}
		}
	}
}

// work does what is to be done at the present capture time.
func (k *keeper) work(ctx context.Context) error {
	db, err := pgx.ConnectConfig(ctx, k.config.Copy())
	if err != nil {
		return fmt.Errorf("upkeep: %w", err)
	}
	defer db.Close(context.WithoutCancel(ctx)) //nolint:errcheck // nothing depends on a farewell
	if _, err := db.Exec(ctx, `SET lock_timeout = '`+lockWait+`'`); err != nil {
		return fmt.Errorf("upkeep: %w", err)
	}
	newest := record.Time(k.newest.Load())
	if err := addTomorrow(ctx, db, newest); err != nil {
		return err
	}
	if k.up.Retain == 0 {
		return nil
	}
	return k.drop(ctx, db, newest)
}

// addTomorrow makes the partitions of the day after that of newest, unless that is far from the server's present: then it is no live
// capture.
func addTomorrow(ctx context.Context, db *pgx.Conn, newest record.Time) error {
	_, err := db.Exec(ctx, `SELECT add_day(day) FROM (SELECT ($1::timestamptz AT TIME ZONE 'UTC')::date + 1 AS day) d
		WHERE day BETWEEN (now() AT TIME ZONE 'UTC')::date AND (now() AT TIME ZONE 'UTC')::date + 2`, timestamp(newest))
	if err != nil {
		return fmt.Errorf("make the next day's partitions: %w", explainLock(err))
	}
	return nil
}

// drop drops the days that are old enough: each in a transaction of its own, the oldest first, so that locks are few and held shortly.
func (k *keeper) drop(ctx context.Context, db *pgx.Conn, newest record.Time) error {
	rows, err := db.Query(ctx, `
		WITH cut AS (SELECT ((least($1::timestamptz, now()) - make_interval(secs => $2)) AT TIME ZONE 'UTC')::date AS day)
		SELECT DISTINCT to_date(right(c.relname, 8), 'YYYYMMDD') + 1 AS till, cut.day::text
		FROM cut, pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
		WHERE i.inhparent = ANY (SELECT to_regclass(p) FROM unnest(partitioned()) p)
		  AND c.relname ~ '_\d{8}$' AND right(c.relname, 8) < to_char(cut.day, 'YYYYMMDD')
		ORDER BY till`, timestamp(newest), k.up.Retain.Seconds())
	if err != nil {
		return fmt.Errorf("look for old days: %w", err)
	}
	var kept string
	tills, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (till time.Time, err error) {
		return till, row.Scan(&till, &kept)
	})
	if err != nil {
		return fmt.Errorf("look for old days: %w", err)
	}
	dropped := 0
	for _, till := range tills {
		var days int
		if err = db.QueryRow(ctx, `SELECT drop_before($1)`, till).Scan(&days); err != nil {
			err = fmt.Errorf("drop days before %s: %w", till.Format(time.DateOnly), explainLock(err))
			break
		}
		dropped += days
	}
	if dropped > 0 && k.up.Dropped != nil {
		k.up.Dropped(dropped, kept)
	}
	return err
}

// explainLock says what to do about errors that upkeep alone has.
func explainLock(err error) error {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return err
	}
	switch pg.Code {
	case "55P03": // lock_not_available
		return fmt.Errorf("others use the tables: %w", err)
	case "42501": // insufficient_privilege
		return fmt.Errorf("%w: let its owner GRANT EXECUTE ON FUNCTION drop_before(date), or call it", err)
	}
	return err
}

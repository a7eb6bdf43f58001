package main

import (
	"context"
	"flag"
	"fmt"
	"time"

	"btcsniff/record"
)

var listCommand = command{
	name:  "list",
	about: "Lists transactions by the time at which they were first seen, with the peer that was first",
	setup: func(fs *flag.FlagSet) func(context.Context, *call) error {
		limit := fs.Int("limit", 20, "at most `N` rows; default 20")
		return func(ctx context.Context, c *call) error {
			db, err := c.open(ctx)
			if err != nil {
				return err
			}
			defer db.Close()
			rows, err := db.QueryContext(ctx, `SELECT hash, first_seen, peer_address, peer_port, lead_us FROM first_seen ORDER BY first_seen, hash LIMIT $1`, *limit)
			if err != nil {
				return fmt.Errorf("list: %w", err)
			}
			defer rows.Close()
			t := c.table("", column{"hash", "transaction"}, column{"first_seen", "first seen"}, column{"peer", "peer"}, column{"lead_us", "lead"})
			for rows.Next() {
				var hash, peer string
				var port int
				var seen time.Time
				var lead *micros
				if err := rows.Scan(&hash, &seen, &peer, &port, &lead); err != nil {
					return fmt.Errorf("list: %w", err)
				}
				t.row(hash, record.Time(seen.UnixMicro()), fmt.Sprintf("%s:%d", peer, port), lead)
			}
			if err := rows.Err(); err != nil {
				return fmt.Errorf("list: %w", err)
			}
			return t.close()
		}
	},
}

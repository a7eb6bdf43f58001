package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"btcsniff/internal/cli"
	"btcsniff/internal/legible"
	"btcsniff/internal/page"
)

var serveCommand = command{
	name:  "serve",
	about: "Shows the database as web pages on this machine: overview, search by transaction and peer, captures and ledger",
	pages: true,
	more: `Open http://127.0.0.1:8380/ in a browser. The pages run no script and load nothing from elsewhere; the database is only read. It ends at
SIGINT or SIGTERM, when the pages under way are written.

Nobody is asked for a password: whoever can reach the address can read the database. Let it listen on this machine only, and reach
it from another one through ssh -L 8380:127.0.0.1:8380. Behind a proxy that asks for one, give the proxy's name with --host.`,
	timeout: 30 * time.Second,
	setup: func(fs *flag.FlagSet) func(context.Context, *call) error {
		listen := fs.String("listen", "127.0.0.1:8380", "answer on `ADDR`; port 0 takes one that is free; default 127.0.0.1:8380")
		var hosts []string
		fs.Func("host", "answer also by the name `NAME`, and not as localhost only; may be given more than once", func(s string) error {
			hosts = append(hosts, strings.TrimSuffix(strings.TrimPrefix(s, "["), "]"))
			return nil
		})
		queries := fs.Int("queries", 4, "at most `N` pages ask the database at once, the others wait; default 4")
		return func(ctx context.Context, c *call) error {
			switch {
			case c.json || c.csv:
				return cli.UsageError{Err: errors.New("--json and --csv are not for pages")}
			case *queries < 1 || *queries > 100:
				return cli.UsageError{Err: fmt.Errorf("--queries %d: want a number from 1 to 100", *queries)}
			}
			host, _, err := net.SplitHostPort(*listen)
			if err != nil {
				return cli.UsageError{Err: fmt.Errorf("--listen %s: want an address with a port, as in 127.0.0.1:8380", *listen)}
			}
			if a, err := netip.ParseAddr(host); host != "localhost" && (err != nil || !a.IsLoopback()) {
				fmt.Fprintf(c.stderr, "firstseen: serve: %s can be reached from other machines: everybody there can read the database\n", legible.Text(*listen))
			}
			return serve(ctx, c, *listen, hosts, *queries)
		}
	},
}

// serve answers until ctx ends.
func serve(ctx context.Context, c *call, listen string, hosts []string, queries int) error {
	which, err := cli.ParseDatabase(c.db)
	if err != nil {
		return err
	}
	db, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer db.Close()
	db.SetMaxOpenConns(2 * queries) // a summary asks two questions at a time
	handler, err := page.New(page.Config{DB: db, Source: which.Name, Hosts: hosts, Timeout: c.timeout, Queries: queries})
	if err != nil {
		return err
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", listen)
	if err != nil {
		return fmt.Errorf("serve: %w: choose another --listen, or stop what uses it", err)
	}
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      c.timeout + 30*time.Second, // waiting for its turn and being made, then to be sent
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		// Pages under way may end after a signal; it is Shutdown that limits how long.
		BaseContext: func(net.Listener) context.Context { return context.WithoutCancel(ctx) },
	}
	fmt.Fprintf(c.stdout, "http://%s/\n", listener.Addr())
	stopped := make(chan error, 1) // of one value
	stop := context.AfterFunc(ctx, func() {
		limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		err := server.Shutdown(limited)
		if err != nil {
			err = server.Close()
		}
		stopped <- err
	})
	err = server.Serve(listener)
	if !stop() { // the signal came
		err = errors.Join(ignoreClosed(err), <-stopped)
	}
	if err != nil {
		return fmt.Errorf("serve: %w", err)
	}
	return nil
}

func ignoreClosed(err error) error {
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

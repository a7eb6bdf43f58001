package metrics

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Handler answers /metrics (Prometheus' text format), /healthz (200 if the run captures and commits, else 503 and what is wrong) and /readyz
// (200 once everything is open and each database was reached).
func Handler(cfg Config) http.Handler {
	reg := prometheus.NewRegistry()
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: prefix + "build_info", Help: "1; its label is btcsniff's version.", ConstLabels: prometheus.Labels{"version": cfg.Version},
	})
	info.Set(1)
	reg.MustRegister(newCollector(cfg.State), info, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(reg, promhttp.HandlerOpts{MaxRequestsInFlight: 4, Timeout: 10 * time.Second}))
	answer := func(path, good string, wrong func(*State) []string) {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) {
			ctx, cancel := context.WithTimeout(r.Context(), stateWithin)
			defer cancel()
			st := cfg.State(ctx)
			say(w, good, wrong(&st))
		})
	}
	answer("/healthz", "ok", (*State).Problems)
	answer("/readyz", "ready", (*State).unready)
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		say(w, "btcsniff: /metrics, /healthz, /readyz", nil)
	})
	return mux
}

// say answers with good, or with what is wrong.
func say(w http.ResponseWriter, good string, wrong []string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-store")
	text := good
	if len(wrong) > 0 {
		w.WriteHeader(http.StatusServiceUnavailable)
		text = strings.Join(wrong, "\n")
	}
	fmt.Fprintln(w, text)
}

// A Server serves a Handler until it is closed.
type Server struct {
	listener net.Listener
	http     *http.Server
	done     chan error
}

// CheckAddr returns an error unless addr is HOST:PORT or :PORT, which Listen can listen on.
func CheckAddr(addr string) error {
	host, port, err := net.SplitHostPort(addr)
	if err == nil {
		_, err = net.LookupPort("tcp", port)
	}
	if err == nil && host != "" && host != "localhost" {
		_, err = netip.ParseAddr(host)
	}
	if err != nil {
		return fmt.Errorf("want an address and a port, as in 127.0.0.1:9332, [::1]:9332, or :9332 for all addresses")
	}
	return nil
}

// Listen opens the port; Serve answers. Between them, connections wait. For port 0, one is chosen.
func Listen(addr string) (*Server, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("metrics on %s: %w: choose another address or port", addr, errors.Unwrap(err))
	}
	return &Server{listener: l}, nil
}

// URL is where the server is reached. Where it listens on all addresses, it names the loopback's.
func (s *Server) URL() string {
	a := s.listener.Addr().(*net.TCPAddr).AddrPort()
	host := a.Addr().Unmap()
	if host.IsUnspecified() {
		host = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	return "http://" + netip.AddrPortFrom(host, a.Port()).String()
}

// Open says whether others than this machine can reach the server.
func (s *Server) Open() bool {
	return !s.listener.Addr().(*net.TCPAddr).AddrPort().Addr().Unmap().IsLoopback()
}

// Serve begins to answer with h. Slow and idle clients are cut off.
func (s *Server) Serve(h http.Handler) {
	s.http = &http.Server{
		Handler: h, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second,
		IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10,
	}
	s.done = make(chan error, 1)
	go func() { s.done <- s.http.Serve(limit(s.listener)) }()
}

// Close ends the server: answers that are under way may take a second.
func (s *Server) Close() error {
	if s.http == nil {
		return s.listener.Close()
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if s.http.Shutdown(ctx) != nil {
		_ = s.http.Close() // who takes longer is cut off
	}
	if err := <-s.done; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("metrics: %w", err)
	}
	return nil
}

package cli

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"btcsniff/internal/metrics"
	"btcsniff/internal/pipeline"
)

// A Watch shows a run to those who ask: over HTTP, if there is a --metrics, and to the command's own status line.
type Watch struct {
	Monitor pipeline.Monitor // for the run's pipeline.Config

	now     func() time.Time
	version string
	memory  int64
	server  *metrics.Server // nil: there is none

	mu         sync.Mutex
	opened     time.Time // zero until Begin
	outs       []Output
	interfaces func() []metrics.Interface
	number     uint64    // of the latest progress
	stalled    time.Time // since when there was no new one, though it was asked for
}

// Watch opens the port of --metrics, if that is given, and answers there from now on; a port below 1024 may need root. It also has the
// targets' commits measured, so it comes before OpenOutputs. now reads the clock. Close ends it.
func (f *Flags) Watch(now func() time.Time, log *slog.Logger) (*Watch, error) {
	w := &Watch{now: now, version: Version(), memory: cmp.Or(f.Memory, pipeline.DefaultMemory)}
	if f.Metrics == "" {
		return w, nil
	}
	for i := range f.Targets {
		f.Targets[i].meter = metrics.NewMeter(now)
	}
	server, err := metrics.Listen(f.Metrics)
	if err != nil {
		return nil, err
	}
	w.server = server
	if server.Open() {
		log.Warn(fmt.Sprintf("--metrics %s: everybody who reaches this machine can read them: 127.0.0.1:PORT keeps them to it", f.Metrics))
	}
	log.Info(fmt.Sprintf("metrics on %s/metrics, health on /healthz and /readyz", server.URL()))
	server.Serve(w.Handler())
	return w, nil
}

// Handler answers what --metrics answers.
func (w *Watch) Handler() http.Handler {
	return metrics.Handler(metrics.Config{Version: w.version, State: w.state})
}

// Begin says that all is open, and what there is to watch. interfaces is nil if the run is not live.
func (w *Watch) Begin(outs []Output, interfaces func() []metrics.Interface) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.opened, w.outs, w.interfaces = w.now(), outs, interfaces
}

// Close ends the server.
func (w *Watch) Close() error {
	if w.server == nil {
		return nil
	}
	return w.server.Close()
}

// End is Close at the end of a function whose error is *err: what that is already counts more.
func (w *Watch) End(err *error) {
	if errClose := w.Close(); *err == nil {
		*err = errClose
	}
}

// state is what the run looks like now. It waits for the run's answer, at most until ctx is done.
func (w *Watch) state(ctx context.Context) metrics.State {
	asked := w.now()
	w.mu.Lock()
	s := metrics.State{Opened: w.opened, Memory: w.memory}
	outs, interfaces := w.outs, w.interfaces
	w.mu.Unlock()
	if s.Opened.IsZero() {
		s.Now = w.now()
		return s
	}
	p, answered := w.Monitor.Wait(ctx)
	s.Stalled = w.moved(&p, answered, asked)
	for _, c := range p.Captures {
		s.Captures = append(s.Captures, metrics.Capture{Sensor: c.Capture.Sensor, Name: c.Capture.Name, Ledger: &c.Ledger, Open: c.Open})
	}
	if interfaces != nil {
		s.Interfaces = interfaces()
	}
	for i := range outs {
		o := &outs[i] // not all of it: Err is set meanwhile
		k := metrics.Sink{Name: o.Target.Name, Stats: o.Queue.Stats()}
		if d, ok := o.Queue.Deferred(); ok {
			k.Deferred = &d
		}
		if o.Target.meter != nil {
			k.Meter = o.Target.meter.Commits()
		}
		s.Sinks = append(s.Sinks, k)
	}
	s.Now = w.now()
	return s
}

// moved notes whether the run has moved since it was asked last, and returns since when it has not.
func (w *Watch) moved(p *pipeline.Progress, answered bool, asked time.Time) (stalled time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case answered:
		w.stalled = time.Time{}
	case w.stalled.IsZero() || p.Number != w.number:
		w.stalled = asked
	}
	w.number = p.Number
	return w.stalled
}

package metrics

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"btcsniff/record"
	"btcsniff/sink"
)

// maxCaptures is how many captures have series of their own. A replay may have thousands; the rest are summed as one.
const maxCaptures = 64

// A gauge is a series of metrics about one thing of a State, with its kind of value.
type gauge[T any] struct {
	name, help string
	kind       prometheus.ValueType
	value      func(*State, *T) (v float64, ok bool) // not ok: there is no such value
}

var interfaces = []gauge[Interface]{
	{"interface_up", "1 if the interface is up and captured on, else 0.", prometheus.GaugeValue, func(_ *State, i *Interface) (float64, bool) {
		return number(!i.Down && i.Lost == ""), true
	}},
	{"interface_packets_total", "Packets read from the kernel.", prometheus.CounterValue, func(_ *State, i *Interface) (float64, bool) { return float64(i.Packets), true }},
	{"interface_kernel_drops_total", "Packets that the kernel dropped because its buffer was full.", prometheus.CounterValue,
		func(_ *State, i *Interface) (float64, bool) { return float64(i.Dropped), true }},
	{"interface_card_drops_total", "Packets that the interface or its driver dropped.", prometheus.CounterValue,
		func(_ *State, i *Interface) (float64, bool) { return float64(i.IfDropped), true }},
	{"interface_downs_total", "Times the interface was down, or gone.", prometheus.CounterValue, func(_ *State, i *Interface) (float64, bool) { return float64(i.Downs), true }},
	{"interface_reopened_total", "Times the interface was opened again.", prometheus.CounterValue, func(_ *State, i *Interface) (float64, bool) { return float64(i.Reopened), true }},
	{"interface_away_seconds_total", "For how long the interface was down or gone, without the present time.", prometheus.CounterValue,
		func(_ *State, i *Interface) (float64, bool) { return i.Away.Seconds(), true }},
}

var sinks = []gauge[Sink]{
	{"sink_records_made_total", "Records handed to the sink's queue.", prometheus.CounterValue, func(_ *State, s *Sink) (float64, bool) { return float64(s.Stats.Made), true }},
	{"sink_records_added_total", "Records that are new in the sink.", prometheus.CounterValue, func(_ *State, s *Sink) (float64, bool) { return float64(s.Stats.Added), true }},
	{"sink_records_already_stored_total", "Records that were stored already, by an earlier run.", prometheus.CounterValue,
		func(_ *State, s *Sink) (float64, bool) { return float64(s.Stats.Stored), true }},
	{"sink_records_lost_total", "Records made and not stored, because the sink failed or its spool had no room.", prometheus.CounterValue,
		func(_ *State, s *Sink) (float64, bool) { return float64(s.Stats.Lost), true }},
	{"sink_batches_total", "Batches that the queue has handed over.", prometheus.CounterValue, func(_ *State, s *Sink) (float64, bool) { return float64(s.Stats.Batches), true }},
	{"queue_batches", "Batches in the queue, with the one that is being written.", prometheus.GaugeValue, func(_ *State, s *Sink) (float64, bool) { return float64(s.Stats.Waiting), true }},
	{"queue_bytes", "Bytes that the records in the queue take, about.", prometheus.GaugeValue, func(_ *State, s *Sink) (float64, bool) { return float64(s.Stats.Bytes), true }},
	{"sink_commits_failed_total", "Batches that the sink could not commit.", prometheus.CounterValue, func(_ *State, s *Sink) (float64, bool) { return float64(s.Meter.Failed), true }},
	{"sink_last_commit_timestamp_seconds", "When the last batch was committed, by the clock; absent before the first.", prometheus.GaugeValue,
		func(_ *State, s *Sink) (float64, bool) { return seconds(s.Meter.Last), !s.Meter.Last.IsZero() }},
	{"sink_newest_record_timestamp_seconds", "Capture time of the newest record committed; absent before the first.", prometheus.GaugeValue,
		func(_ *State, s *Sink) (float64, bool) { return seconds(s.Meter.Newest.Std()), s.Meter.Newest != 0 }},
	{"sink_newest_record_age_seconds", "How long ago, by the clock, the newest record committed was captured; absent before the first.", prometheus.GaugeValue,
		func(st *State, s *Sink) (float64, bool) {
			return st.Now.Sub(s.Meter.Newest.Std()).Seconds(), s.Meter.Newest != 0
		}},
	{"sink_waiting_seconds", "For how long records have waited for a commit; 0 while none waits.", prometheus.GaugeValue,
		func(st *State, s *Sink) (float64, bool) { return s.waiting(st).Seconds(), true }},
	spool("spool_batches", "Batches that wait on disk, with ends of captures and blind times.", prometheus.GaugeValue, func(d *sink.Deferred) uint64 { return d.Batches }),
	spool("spool_records", "Records that wait on disk.", prometheus.GaugeValue, func(d *sink.Deferred) uint64 { return d.Records }),
	spool("spool_bytes", "Bytes of the files that records wait in.", prometheus.GaugeValue, func(d *sink.Deferred) uint64 { return d.Bytes }),
	spool("spool_limit_bytes", "Bytes that the files may take: --spool-size.", prometheus.GaugeValue, func(d *sink.Deferred) uint64 { return d.Limit }),
	spool("spool_dropped_records_total", "Records dropped because the spool was full.", prometheus.CounterValue, func(d *sink.Deferred) uint64 { return d.Dropped }),
	spool("spool_refused_records_total", "Records that the sink will never take, set aside in a file.", prometheus.CounterValue, func(d *sink.Deferred) uint64 { return d.Refused }),
	spool("spool_damaged_records_total", "Records of an earlier run that can't be read back.", prometheus.CounterValue, func(d *sink.Deferred) uint64 { return d.Damaged }),
	spool("spool_recovered_records_total", "Records that an earlier run had left on disk, and that are stored now.", prometheus.CounterValue,
		func(d *sink.Deferred) uint64 { return d.Recovered }),
	{"spool_oldest_record_timestamp_seconds", "Capture time of the oldest record that waits on disk; absent if none does.", prometheus.GaugeValue,
		func(_ *State, s *Sink) (float64, bool) {
			if s.Deferred == nil || s.Deferred.Oldest == 0 {
				return 0, false
			}
			return seconds(s.Deferred.Oldest.Std()), true
		}},
	spool("sink_away", "1 while the sink can't be reached, or takes nothing; its records are kept on disk.", prometheus.GaugeValue, func(d *sink.Deferred) uint64 { return one(d.Away) }),
	spool("spool_failed", "1 while nothing can be kept on disk.", prometheus.GaugeValue, func(d *sink.Deferred) uint64 { return one(d.Problem != "") }),
}

// spool is a metric of sinks that keep records on disk.
func spool(name, help string, kind prometheus.ValueType, value func(*sink.Deferred) uint64) gauge[Sink] {
	return gauge[Sink]{name, help, kind, func(_ *State, s *Sink) (float64, bool) {
		if s.Deferred == nil {
			return 0, false
		}
		return float64(value(s.Deferred)), true
	}}
}

var whole = []gauge[State]{
	{"memory_limit_bytes", "Bytes that all buffers together may take: --memory.", prometheus.GaugeValue, func(_ *State, s *State) (float64, bool) { return float64(s.Memory), true }},
	{"captures", "Captures that had a packet.", prometheus.GaugeValue, func(_ *State, s *State) (float64, bool) { return float64(len(s.Captures)), true }},
	{"up", "1 if /healthz finds nothing wrong, else 0.", prometheus.GaugeValue, func(_ *State, s *State) (float64, bool) { return number(len(s.Problems()) == 0), true }},
	{"stalled_seconds", "For how long the run has handled neither a packet nor a heartbeat, although it was asked; else 0.", prometheus.GaugeValue,
		func(_ *State, s *State) (float64, bool) { return s.stalled().Seconds(), true }},
}

const (
	prefix      = "btcsniff_"
	openName    = prefix + "connections_open"
	lossName    = prefix + "capture_loss_ratio"
	unreadName  = prefix + "unreadable_ratio"
	commitName  = prefix + "sink_commit_seconds"
	stateWithin = time.Second // that a scrape waits for a run that is busy
)

// A collector makes metrics of the State at the time of a scrape.
type collector struct {
	state func(context.Context) State
	descs map[string]*prometheus.Desc
	order []string
}

func newCollector(state func(context.Context) State) *collector {
	c := &collector{state: state, descs: map[string]*prometheus.Desc{}}
	ofCapture := []string{"sensor", "capture"}
	for _, f := range figures {
		labels := ofCapture
		if f.label != "" {
			labels = append(ofCapture[:2:2], f.label)
		}
		c.add(prefix+f.name, f.help, labels)
	}
	c.add(openName, "TCP connections that are followed, by transport: v1, v2 (encrypted), unknown.", append(ofCapture[:2:2], "transport"))
	c.add(lossName, "Estimated share of the streams' bytes that the capture itself missed since the start, from 0 to 1.", ofCapture)
	c.add(unreadName, "Share of the TCP bytes that could not be read since the start because they are encrypted, from 0 to 1.", ofCapture)
	for _, g := range interfaces {
		c.add(prefix+g.name, g.help, []string{"interface"})
	}
	for _, g := range sinks {
		c.add(prefix+g.name, g.help, []string{"sink"})
	}
	c.add(commitName, "How long the sink took to commit a batch, waiting for it included.", []string{"sink"})
	for _, g := range whole {
		c.add(prefix+g.name, g.help, nil)
	}
	return c
}

func (c *collector) add(name, help string, labels []string) {
	c.descs[name] = prometheus.NewDesc(name, help, labels, nil)
	c.order = append(c.order, name)
}

// Describe is prometheus.Collector's.
func (c *collector) Describe(out chan<- *prometheus.Desc) {
	for _, name := range c.order {
		out <- c.descs[name]
	}
}

// Collect is prometheus.Collector's.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), stateWithin)
	defer cancel()
	st := c.state(ctx)
	send := func(name string, kind prometheus.ValueType, v float64, labels ...string) {
		for i := range labels {
			labels[i] = sink.Text(labels[i]) // a command is a peer's choice, and a label has to be UTF-8
		}
		out <- prometheus.MustNewConstMetric(c.descs[name], kind, v, labels...)
	}
	for _, k := range few(st.Captures) {
		capture(send, &k)
	}
	for i := range st.Interfaces {
		for _, g := range interfaces {
			if v, ok := g.value(&st, &st.Interfaces[i]); ok {
				send(prefix+g.name, g.kind, v, st.Interfaces[i].Name)
			}
		}
	}
	for i := range st.Sinks {
		s := &st.Sinks[i]
		for _, g := range sinks {
			if v, ok := g.value(&st, s); ok {
				send(prefix+g.name, g.kind, v, s.Name)
			}
		}
		bounds := make(map[float64]uint64, len(buckets))
		for i, b := range buckets {
			bounds[b] = s.Meter.Buckets[i]
		}
		out <- prometheus.MustNewConstHistogram(c.descs[commitName], s.Meter.Count, s.Meter.Seconds, bounds, sink.Text(s.Name))
	}
	for _, g := range whole {
		if v, ok := g.value(&st, &st); ok {
			send(prefix+g.name, g.kind, v)
		}
	}
}

// capture sends a capture's metrics.
func capture(send func(name string, kind prometheus.ValueType, v float64, labels ...string), k *Capture) {
	for _, f := range figures {
		if f.label == "" {
			send(prefix+f.name, prometheus.CounterValue, float64(f.value(k.Ledger)), k.Sensor, k.Name)
			continue
		}
		sums := map[string]uint64{} // names that differ may be the same as text
		for by, n := range f.values(k.Ledger) {
			sums[sink.Text(by)] += n
		}
		for by, n := range sums {
			send(prefix+f.name, prometheus.CounterValue, float64(n), k.Sensor, k.Name, by)
		}
	}
	for transport, n := range k.Open {
		send(openName, prometheus.GaugeValue, float64(n), k.Sensor, k.Name, transport)
	}
	send(lossName, prometheus.GaugeValue, k.Ledger.CaptureLoss(), k.Sensor, k.Name)
	send(unreadName, prometheus.GaugeValue, k.Ledger.Unreadable(), k.Sensor, k.Name)
}

// few returns captures that have different names: those of the same are summed, and so are those beyond the first maxCaptures names.
func few(all []Capture) (out []Capture) {
	const others = "(others)"
	for _, k := range all {
		same := func(o Capture) bool { return o.Sensor == k.Sensor && o.Name == k.Name }
		i := slices.IndexFunc(out, same)
		if i < 0 && len(out) >= maxCaptures {
			k.Sensor, k.Name = others, others
			i = slices.IndexFunc(out, same)
		}
		if i < 0 {
			i = len(out)
			out = append(out, Capture{k.Sensor, k.Name, new(record.Ledger), map[string]uint64{}})
		}
		out[i].Ledger.Add(k.Ledger)
		for transport, n := range k.Open {
			out[i].Open[transport] += n
		}
	}
	slices.SortFunc(out, func(a, b Capture) int { return cmp.Or(cmp.Compare(a.Sensor, b.Sensor), cmp.Compare(a.Name, b.Name)) })
	return out
}

func seconds(t time.Time) float64 { return float64(t.UnixMicro()) / 1e6 }

func number(b bool) float64 { return float64(one(b)) }

func one(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

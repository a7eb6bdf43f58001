package cli

import (
	"context"

	"btcsniff/internal/metrics"
	"btcsniff/record"
	"btcsniff/sink"
	"btcsniff/sink/duckdb"
	"btcsniff/sink/postgres"
)

// metered has the target's meter measure the sink's commits. What else the sink can do stays.
func (t *Target) metered(s sink.Sink) sink.Sink {
	if t.meter == nil {
		return s
	}
	switch s := s.(type) {
	case *postgres.Sink:
		return &meteredPostgres{s, t.meter}
	case *duckdb.Sink:
		return &meteredDuckDB{s, t.meter}
	case *sink.JSON:
		return &meteredJSON{s, t.meter}
	case jsonFile:
		return &meteredFile{s, t.meter}
	}
	return &meteredOther{s, t.meter}
}

// Each of these is a sink whose Write is measured.
type (
	meteredPostgres struct {
		*postgres.Sink
		meter *metrics.Meter
	}
	meteredDuckDB struct {
		*duckdb.Sink
		meter *metrics.Meter
	}
	meteredJSON struct {
		*sink.JSON
		meter *metrics.Meter
	}
	meteredFile struct {
		jsonFile
		meter *metrics.Meter
	}
	meteredOther struct {
		sink.Sink
		meter *metrics.Meter
	}
)

// Write is sink.Sink's.
func (m *meteredPostgres) Write(ctx context.Context, b *record.Batch) (uint64, error) {
	return write(ctx, m.Sink, b, m.meter)
}

// Write is sink.Sink's.
func (m *meteredDuckDB) Write(ctx context.Context, b *record.Batch) (uint64, error) {
	return write(ctx, m.Sink, b, m.meter)
}

// Write is sink.Sink's.
func (m *meteredJSON) Write(ctx context.Context, b *record.Batch) (uint64, error) {
	return write(ctx, m.JSON, b, m.meter)
}

// Write is sink.Sink's.
func (m *meteredFile) Write(ctx context.Context, b *record.Batch) (uint64, error) {
	return write(ctx, m.jsonFile, b, m.meter)
}

// Write is sink.Sink's.
func (m *meteredOther) Write(ctx context.Context, b *record.Batch) (uint64, error) {
	return write(ctx, m.Sink, b, m.meter)
}

func write(ctx context.Context, s sink.Sink, b *record.Batch, meter *metrics.Meter) (added uint64, err error) {
	end := meter.Begin(b)
	added, err = s.Write(ctx, b)
	end(err)
	return added, err
}

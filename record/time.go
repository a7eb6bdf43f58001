package record

import "time"

// A Time is a moment of capture time: microseconds since the Unix epoch, UTC. Nanosecond
// captures are truncated towards the past. The zero Time means "not known".
type Time int64

// FromNanos truncates nanoseconds since the Unix epoch to the microsecond.
func FromNanos(ns int64) Time {
	us := ns / 1000
	if ns%1000 < 0 {
		us--
	}
	return Time(us)
}

// Std returns t as the standard library's type, in UTC.
func (t Time) Std() time.Time { return time.UnixMicro(int64(t)).UTC() }

// Sub returns the time from u to t.
func (t Time) Sub(u Time) time.Duration { return time.Duration(t-u) * time.Microsecond }

// Add returns t moved by d, which is truncated to the microsecond.
func (t Time) Add(d time.Duration) Time { return t + Time(d/time.Microsecond) }

// Layout is how a Time is written: RFC 3339, UTC, always six decimals.
const Layout = "2006-01-02T15:04:05.000000Z"

// Append appends t, written in Layout, to b.
func (t Time) Append(b []byte) []byte { return t.Std().AppendFormat(b, Layout) }

// String returns t in Layout.
func (t Time) String() string { return string(t.Append(nil)) }

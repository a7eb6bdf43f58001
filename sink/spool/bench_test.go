package spool

import (
	"testing"

	"btcsniff/sink/sinktest"
)

// BenchmarkSpool keeps busy traffic on disk, and reads it back. It is stated in announcements a second, and bytes of an announcement.
func BenchmarkSpool(b *testing.B) {
	for _, tt := range []struct {
		name    string
		traffic sinktest.Traffic
	}{{"busy", sinktest.Busy()}, {"hostile", sinktest.Hostile()}} {
		c := tt.traffic.Capture()
		b.Run(tt.name+"/keep", func(b *testing.B) {
			for b.Loop() {
				s, f := open(b, b.TempDir())
				for batch := range tt.traffic.Batches(c) {
					h, body, err := s.pack(&entry{batch: batch})
					if err != nil {
						b.Fatal(err)
					}
					if err := f.append(h, body, false); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(f.waiting().bytes)/float64(tt.traffic.Announcements()), "bytes/announcement")
			}
			b.ReportMetric(float64(tt.traffic.Announcements())*float64(b.N)/b.Elapsed().Seconds(), "announcements/s")
		})
		b.Run(tt.name+"/read", func(b *testing.B) {
			s, f := open(b, b.TempDir())
			n := 0
			for batch := range tt.traffic.Batches(c) {
				h, body, err := s.pack(&entry{batch: batch})
				if err != nil {
					b.Fatal(err)
				}
				if err := f.append(h, body, false); err != nil {
					b.Fatal(err)
				}
				if n += batch.Len(); n > 1_000_000 {
					break
				}
			}
			h, body, _, err := f.first()
			if err != nil {
				b.Fatal(err)
			}
			total := 0
			for b.Loop() {
				e, err := s.unpack(h, body)
				if err != nil {
					b.Fatal(err)
				}
				total += e.batch.Len()
			}
			b.ReportMetric(float64(total)/b.Elapsed().Seconds(), "announcements/s")
		})
	}
}

// open returns a Sink's compressors, and a folder's files.
func open(b *testing.B, dir string) (*Sink, *files) {
	b.Helper()
	l, err := Open(b.Context(), &store{}, Options{Dir: dir, Place: "lab"})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = l.Close() }) // nothing is left to be stored
	f, err := openFiles(dir+"/bench", "lab", 1<<32)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(f.close)
	return l, f
}

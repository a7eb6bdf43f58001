package pcaptest

import (
	"bytes"
	"crypto/sha256"
	"io"
	"testing"
	"time"

	"btcsniff/record"
)

func TestBulk(t *testing.T) {
	cfg := BulkConfig{Seed: 1, Peers: 200, Rate: 6000, Duration: 5 * time.Second}
	var file bytes.Buffer
	var kinds [record.NumKinds]int
	var last record.Time
	heard := map[record.InvVect]int{}
	if err := Bulk(&file, cfg, func(r *Record) {
		kinds[r.Kind]++
		if r.SeenAt < last || r.FirstByteAt > r.SeenAt {
			t.Fatalf("%+v after %v", r, last)
		}
		last = r.SeenAt
		heard[r.Vect]++
	}); err != nil {
		t.Fatal(err)
	}
	if n := kinds[record.KindInv]; n < 27_000 || n > 33_000 {
		t.Errorf("%d announcements, want about 30,000", n)
	}
	most := 0
	for _, n := range heard {
		most = max(most, n)
	}
	if most < 100 || most > 200 {
		t.Errorf("the best known transaction was announced %d times, want nearly 200", most)
	}
	var again bytes.Buffer
	if err := Bulk(&again, cfg, nil); err != nil {
		t.Fatal(err)
	}
	if sha256.Sum256(file.Bytes()) != sha256.Sum256(again.Bytes()) {
		t.Error("the same seed gave another capture")
	}
}

func BenchmarkBulk(b *testing.B) {
	for b.Loop() {
		n := new(counter)
		if err := Bulk(n, BulkConfig{Seed: 1, Duration: 3 * time.Second}, nil); err != nil {
			b.Fatal(err)
		}
		b.SetBytes(int64(*n))
	}
}

type counter int

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}

var _ io.Writer = (*counter)(nil)

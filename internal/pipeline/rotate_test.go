package pipeline_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"

	"btcsniff/capture"
	"btcsniff/internal/pcaptest"
	"btcsniff/internal/pipeline"
)

// packets reads all packets of a fixture.
func packets(t *testing.T, path string) []capture.Packet {
	t.Helper()
	src := open(t, path)
	var all []capture.Packet
	for {
		var p capture.Packet
		err := src.Next(context.Background(), &p)
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		p.Data = bytes.Clone(p.Data)
		all = append(all, p)
	}
}

// TestRotated cuts captures into files between any two packets, and at random places: the records, ids and times are those of
// the whole.
func TestRotated(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, name := range []string{
		"mainnet/mainnet-handshakes.pcap", "long/formats/capture.pcapng", "lossy/lossy.pcap",
		"midstream/midstream.pcap", "socks/lo.pcap", "long/formats/any-sll2.pcap",
	} {
		t.Run(name, func(t *testing.T) {
			all := packets(t, filepath.Join(pcaps, name))
			cfg := pipeline.Config{Sensor: "s"}
			want, _ := replay(t, open(t, filepath.Join(pcaps, name)), cfg)
			check := func(cuts ...int) {
				dir := t.TempDir()
				f := pcaptest.Format{Nanos: name == "long/formats/capture.pcapng"}
				if _, err := f.WriteRotated(dir, "eth0", all, cuts...); err != nil {
					t.Fatal(err)
				}
				got, _ := replay(t, open(t, dir), cfg)
				if !bytes.Equal(got, want) {
					t.Fatalf("cut before packets %v: records differ (-want +got):\n%s", cuts, firstDiff(want, got))
				}
			}
			step := 1
			if testing.Short() || len(all) > 400 {
				step = len(all) / 20
			}
			for i := 1; i < len(all); i += step {
				check(i)
			}
			for range 10 {
				var cuts []int
				for range 1 + rng.IntN(40) {
					cuts = append(cuts, 1+rng.IntN(len(all)-1))
				}
				slices.Sort(cuts)
				check(cuts...)
			}
		})
	}
}

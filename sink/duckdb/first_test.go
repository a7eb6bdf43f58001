package duckdb

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"btcsniff/record"
)

// pairText is a pair as text.
func pairText(p pair) string {
	if !p.two {
		return fmt.Sprint(p.item, p.first)
	}
	return fmt.Sprint(p.item, p.first, p.second)
}

// TestFirsts has the sightings of one item, in the order in which they are decoded, and the pair that they make.
func TestFirsts(t *testing.T) {
	for _, tt := range []struct {
		name string
		of   []sighting
		want pair
	}{
		{"one", []sighting{{5, 1}}, pair{first: sighting{5, 1}}},
		{"one connection again", []sighting{{5, 1}, {6, 1}}, pair{first: sighting{5, 1}}},
		{"one connection earlier", []sighting{{5, 1}, {4, 1}}, pair{first: sighting{4, 1}}},
		{"two", []sighting{{5, 1}, {6, 2}}, pair{first: sighting{5, 1}, second: sighting{6, 2}, two: true}},
		{"the second decoded first", []sighting{{6, 2}, {5, 1}}, pair{first: sighting{5, 1}, second: sighting{6, 2}, two: true}},
		{"in between", []sighting{{5, 1}, {9, 2}, {7, 3}}, pair{first: sighting{5, 1}, second: sighting{7, 3}, two: true}},
		{"behind both", []sighting{{5, 1}, {7, 2}, {9, 3}}, pair{first: sighting{5, 1}, second: sighting{7, 2}, two: true}},
		{"second becomes first", []sighting{{5, 1}, {7, 2}, {4, 2}}, pair{first: sighting{4, 2}, second: sighting{5, 1}, two: true}},
		{"second again", []sighting{{5, 1}, {7, 2}, {6, 2}, {9, 2}}, pair{first: sighting{5, 1}, second: sighting{6, 2}, two: true}},
		{"a tie", []sighting{{5, 3}, {5, -2}, {5, 1}}, pair{first: sighting{5, -2}, second: sighting{5, 1}, two: true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := firsts{at: map[int64]int{}}
			for _, s := range tt.of {
				f.add(0, s)
			}
			if diff := cmp.Diff(pairText(tt.want), pairText(f.pairs[0])); diff != "" {
				t.Errorf("pair (-want +got):\n%s", diff)
			}
		})
	}
}

// TestFirstsOfBatches cuts random sightings into batches: the batches' pairs make the same pairs as all sightings sorted do.
func TestFirstsOfBatches(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for round := range 300 {
		least := map[int64]map[int64]record.Time{} // by item and connection
		joined := firsts{at: map[int64]int{}}
		for range 1 + r.IntN(5) {
			batch := firsts{at: map[int64]int{}}
			for range r.IntN(30) {
				item, s := int64(r.IntN(4)), sighting{record.Time(r.IntN(12)), int64(r.IntN(5))}
				batch.add(item, s)
				if least[item] == nil {
					least[item] = map[int64]record.Time{}
				}
				if at, ok := least[item][s.conn]; !ok || s.at < at {
					least[item][s.conn] = s.at
				}
			}
			for _, p := range batch.pairs {
				if joined.add(p.item, p.first); p.two {
					joined.add(p.item, p.second)
				}
			}
		}
		var got, want []string
		for _, p := range joined.pairs {
			got = append(got, pairText(p))
		}
		for _, item := range slices.Sorted(maps.Keys(least)) {
			var all []sighting
			for conn, at := range least[item] {
				all = append(all, sighting{at, conn})
			}
			slices.SortFunc(all, func(a, b sighting) int {
				if a.before(b) {
					return -1
				}
				return 1
			})
			p := pair{item: item, first: all[0]}
			if len(all) > 1 {
				p.second, p.two = all[1], true
			}
			want = append(want, pairText(p))
		}
		slices.Sort(got)
		slices.Sort(want)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("round %d: pairs (-want +got):\n%s", round, diff)
		}
	}
}

package analyze

import "testing"

// TestMessages has questions about crossings, with how many of the newest tx messages they are about where there are more than few; 0: all.
func TestMessages(t *testing.T) {
	for _, tt := range []struct {
		name      string
		q         CrossingQuery
		want, few int64
	}{
		{"nothing asked for", CrossingQuery{}, 5_000, 20_000},
		{"with chains", CrossingQuery{Hops: 2}, 2_500, 10_000},
		{"a time", CrossingQuery{Since: 1, Hops: 2}, 0, 0},
		{"until a time", CrossingQuery{Until: 1}, 0, 0},
		{"a number", CrossingQuery{Messages: 7, Since: 1}, 7, 7},
	} {
		if want, few := tt.q.messages(); want != tt.want || few != tt.few {
			t.Errorf("%s: the newest %d of more than %d, want %d of %d", tt.name, want, few, tt.want, tt.few)
		}
	}
}

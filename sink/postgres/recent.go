package postgres

// A recent is a map that remembers about the last n keys that were used: those of the young generation, and those of the one
// before.
type recent[K comparable, V any] struct {
	young, old map[K]V
	n          int
}

func (r *recent[K, V]) reset(n int) {
	*r = recent[K, V]{young: map[K]V{}, n: n}
}

// get returns the value of k, and keeps it for longer.
func (r *recent[K, V]) get(k K) (V, bool) {
	v, ok := r.young[k]
	if !ok {
		if v, ok = r.old[k]; ok {
			r.young[k] = v
		}
	}
	return v, ok
}

func (r *recent[K, V]) put(k K, v V) { r.young[k] = v }

// age forgets the old generation if the young one is full. Without it nothing is ever forgotten.
func (r *recent[K, V]) age() {
	if len(r.young) > r.n/2 {
		r.young, r.old = make(map[K]V, r.n/2), r.young
	}
}

//go:build !unix

package geo

// allocate returns n bytes of memory.
func allocate(n int) ([]byte, func() error, error) {
	return make([]byte, n), func() error { return nil }, nil
}

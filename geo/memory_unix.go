//go:build unix

package geo

import (
	"fmt"
	"syscall"
)

// allocate returns n bytes of memory from the system.
func allocate(n int) ([]byte, func() error, error) {
	b, err := syscall.Mmap(-1, 0, n, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		return nil, nil, fmt.Errorf("allocate %d bytes: %w", n, err)
	}
	return b, func() error { return syscall.Munmap(b) }, nil
}

package geo

import (
	"errors"
	"fmt"
	"io"
	"os"
)

const maxFile = 1 << 30 // bytes; the largest of MaxMind's, GeoIP2 Enterprise, has some 400 million

// load reads a file into memory of its own, which free gives back. The file is not mapped: one that somebody overwrote in place would
// then end the program, which may run for months. The memory is not the garbage collector's, whose limit is for records.
func load(path string) (data []byte, free func() error, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, errors.Unwrap(err) // the file is named already
	}
	defer f.Close()
	st, err := f.Stat()
	switch {
	case err != nil:
		return nil, nil, err
	case !st.Mode().IsRegular():
		return nil, nil, errors.New("this is no file")
	case st.Size() == 0:
		return nil, nil, errors.New("it is empty")
	case st.Size() > maxFile:
		return nil, nil, fmt.Errorf("it has %d bytes, and databases have at most %d", st.Size(), maxFile)
	}
	data, free, err = allocate(int(st.Size()))
	if err != nil {
		return nil, nil, err
	}
	if _, err := io.ReadFull(f, data); err != nil {
		free() //nolint:errcheck // the first error counts
		return nil, nil, fmt.Errorf("read: %w", err)
	}
	return data, free, nil
}

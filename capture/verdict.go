package capture

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
)

// verdict says what err, which ended a file, means: nothing, a warning or an error. company says that there are other files.
func verdict(path string, err error, company bool) (warning string, _ error) {
	var c *cut
	var z *zeros
	var d *damage
	var n *notCapture
	var s shrunk
	switch {
	case err == io.EOF:
		return "", nil
	case hollow(err) && company:
		return fmt.Sprintf("%s: %v", path, err), nil
	case hollow(err):
		return "", fmt.Errorf("%s: %w; there is nothing to read: was it recorded with -w, and to its end?", path, err)
	case errors.As(err, &c), errors.As(err, &z):
		return fmt.Sprintf("%s: %v; the whole packets before were read", path, err), nil
	case errors.As(err, &s):
		return fmt.Sprintf("%s: %v; what was written right before may be lost", path, err), nil
	case errors.As(err, &n):
		return "", fmt.Errorf("%s: %w; give pcap or pcapng files, plain or compressed with gzip or zstd", path, err)
	case errors.As(err, &d):
		return "", fmt.Errorf("%s: %w; the packets before were read: copy the file again, or repair it", path, err)
	case errors.Is(err, fs.ErrNotExist):
		return "", fmt.Errorf("%s: %w; check the name", path, fs.ErrNotExist)
	case errors.Is(err, fs.ErrPermission):
		return "", fmt.Errorf("%s: %w; run as a user who may read it", path, fs.ErrPermission)
	}
	var p *fs.PathError
	if errors.As(err, &p) {
		err = fmt.Errorf("%s: %w", p.Op, p.Err)
	}
	return "", fmt.Errorf("%s: %w; the packets before were read", path, err)
}

// hollow says whether err, which ended a file, means that there is nothing in it, not even a capture's header.
func hollow(err error) bool {
	var c *cut
	return err == errEmpty || errors.As(err, &c) && c.offset == 0
}

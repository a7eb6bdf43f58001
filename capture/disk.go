package capture

import (
	"io"
	"os"
)

// A disk reads a file on disk from its beginning. After io.EOF it may be read again: the file may have grown.
type disk struct {
	path string
	keep bool // hold it open between reads
	f    *os.File
	off  int64
}

func (d *disk) Read(b []byte) (int, error) {
	if d.f == nil {
		f, err := os.Open(d.path)
		if err != nil {
			return 0, err
		}
		d.f = f
	}
	n, err := d.f.ReadAt(b, d.off)
	d.off += int64(n)
	if !d.keep {
		d.close()
	}
	if n > 0 && err == io.EOF {
		err = nil
	}
	return n, err
}

// stat describes the file that is being read, also if its name is gone or is another file's by now.
func (d *disk) stat() (os.FileInfo, error) {
	if d.f != nil {
		return d.f.Stat()
	}
	return os.Stat(d.path)
}

func (d *disk) close() {
	if d.f != nil {
		_ = d.f.Close() // it was only read
		d.f = nil
	}
}

// Package geo says where an address is, as databases in MaxMind's format have it: country, city, autonomous system. What an address or
// name tells by itself (record.PlaceOf) it leaves to package record, and storing places to the sinks.
package geo

import (
	"errors"
	"fmt"
	"net/netip"
	"sync"

	"github.com/oschwald/maxminddb-golang/v2"

	"btcsniff/record"
)

// A DB is one or more open databases that are asked together. It may be used by several goroutines.
type DB struct {
	files []file // in the order in which they are asked
	asOf  record.Time

	mu  sync.Mutex
	err error // the first broken entry that was met
}

// A file is one open database.
type file struct {
	path   string
	reader *maxminddb.Reader
	free   func() error // gives the memory back; the reader is closed before
}

const lastSecond = 253402300799 // 9999-12-31T23:59:59Z, the last that databases of records can hold

// Open reads database files into memory, all or none. They are asked in this order: each thing about a place is what the first
// that knows it says. The files may be replaced while they are in use. An error names the file and says what is wrong with it.
func Open(paths ...string) (*DB, error) {
	d := &DB{}
	for _, path := range paths {
		f, err := open(path)
		if err != nil {
			d.Close() //nolint:errcheck // the first error counts
			return nil, fmt.Errorf("geographic database %s: %w", path, err)
		}
		d.files = append(d.files, f)
		d.asOf = max(d.asOf, record.Time(f.reader.Metadata.BuildEpoch)*1_000_000)
	}
	return d, nil
}

// open reads one file.
func open(path string) (file, error) {
	data, free, err := load(path)
	if err != nil {
		return file{}, err
	}
	f := file{path: path, free: free}
	if f.reader, err = maxminddb.OpenBytes(data); err != nil {
		free() //nolint:errcheck // the first error counts
		return file{}, fmt.Errorf("this is no database in MaxMind's format (.mmdb), or a part is missing: %w", err)
	}
	if built := f.reader.Metadata.BuildEpoch; built == 0 || built > lastSecond {
		f.close() //nolint:errcheck // the first error counts
		return file{}, fmt.Errorf("it says that it was built %d seconds after 1970, which can't be: get it anew", built)
	}
	return f, nil
}

func (f *file) close() error {
	if err := f.reader.Close(); err != nil {
		return err
	}
	return f.free()
}

// AsOf is when the youngest of the databases was built.
func (d *DB) AsOf() record.Time { return d.asOf }

// Place says where a host is: an address, or the name of an onion or I2P service, without port. See Lookup.
func (d *DB) Place(host string) record.Place {
	a, err := netip.ParseAddr(host)
	if err != nil {
		return record.PlaceOf(host)
	}
	return d.Lookup(a)
}

// Lookup says where a is. For an address of the public Internet the answer has the date AsOf, also if it is in no database. Addresses in
// ranges that aren't of the public Internet are their own kinds of places, without a date: registries list some of these ranges
// under a country, so databases are believed only where they have an entry for less than the whole range, which
// somebody must have made for a network of his own.
func (d *DB) Lookup(a netip.Addr) record.Place {
	a = a.Unmap().WithZone("")
	kind, special := record.Reserved(a)
	p := record.Place{Kind: kind}
	found := false
	for i := range d.files {
		f := &d.files[i]
		if a.Is6() && f.reader.Metadata.IPVersion == 4 {
			continue
		}
		r := f.reader.Lookup(a)
		if err := r.Err(); err != nil {
			d.note(f, a, err)
			continue
		}
		if !r.Found() || special.IsValid() && !within(r.Prefix(), special) {
			continue
		}
		var entry any
		if err := r.Decode(&entry); err != nil {
			d.note(f, a, err)
			continue
		}
		found = true
		fill(&p, entry)
	}
	if found && kind == record.PlaceUnknown {
		p.Kind = record.PlaceInternet
	}
	if found || !special.IsValid() {
		p.AsOf = d.asOf
	}
	return p
}

// within says whether p is a part of the range, not all of it.
func within(p, special netip.Prefix) bool {
	return p.Bits() > special.Bits() && special.Contains(p.Addr().Unmap())
}

// note keeps the first error of a lookup.
func (d *DB) note(f *file, a netip.Addr, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.err == nil {
		d.err = fmt.Errorf("geographic database %s: its entry for %s is broken, and perhaps others, which were taken as missing: %w: get it anew, "+
			"then look all peers up again with firstseen geo --refresh", f.path, a, err)
	}
}

// Err returns an error if an entry that was looked up could not be read.
func (d *DB) Err() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.err
}

// Close gives the memory back. Nothing may be looked up afterwards, or meanwhile.
func (d *DB) Close() error {
	var errs []error
	for i := range d.files {
		errs = append(errs, d.files[i].close())
	}
	d.files = nil
	return errors.Join(errs...)
}

package spool

import (
	"context"
	"errors"
	"fmt"
	"time"

	"btcsniff/record"
	"btcsniff/sink"
)

// store has the database store an entry at once, from the caller's goroutine.
func (s *Sink) store(patience time.Duration, e *entry) error {
	err := s.direct(patience, func(ctx context.Context) error {
		for {
			added, err := s.deliver(ctx, e)
			switch {
			case err == nil:
				s.count(e, added, true)
				return nil
			case !errors.Is(err, sink.ErrRefused):
				return err
			case s.again():
				continue
			}
			h, body, packed := s.pack(e)
			if packed != nil {
				return packed
			}
			s.setAside(ctx, e, h, body, err)
			return nil
		}
	})
	return err
}

// direct calls do with a context that ends when the caller's goroutine should not wait any longer.
func (s *Sink) direct(patience time.Duration, do func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(s.base)
	defer cancel(nil)
	timed, stop := context.WithTimeoutCause(ctx, patience, errSlow)
	defer stop()
	s.mu.Lock()
	s.cancel = cancel
	s.mu.Unlock()
	err := do(timed)
	s.mu.Lock()
	s.cancel = nil
	if err == nil {
		s.away = nil
	}
	s.mu.Unlock()
	return err
}

// deliver gives an entry to the database.
func (s *Sink) deliver(ctx context.Context, e *entry) (added uint64, err error) {
	if _, err := s.begin(ctx, e.of()); err != nil {
		return 0, err
	}
	switch {
	case e.batch != nil:
		return s.to.Write(ctx, e.batch)
	case e.blind != nil:
		return 0, s.to.Blind(ctx, e.blind)
	}
	return 0, s.to.End(ctx, e.end.capture, e.end.Ledger, e.end.Files)
}

// begin begins a capture, if that hasn't been done.
func (s *Sink) begin(ctx context.Context, c *record.Capture) (stored uint64, err error) {
	if s.begun[c] {
		return 0, nil
	}
	if stored, err = s.to.Begin(ctx, c); err == nil {
		s.begun[c] = true
	}
	return stored, err
}

// count notes what was stored of an entry; own says that this run made it.
func (s *Sink) count(e *entry, added uint64, own bool) {
	s.refused = 0
	if e.batch == nil {
		return
	}
	n := uint64(e.batch.Len())
	s.mu.Lock()
	defer s.mu.Unlock()
	if !own {
		s.stats.Recovered += n
		return
	}
	s.stats.Added += added
	s.stats.Stored += n - added
}

// again says whether an entry that was refused is tried once more: with captures that are begun anew, since the database may be another
// one by now, restored or made anew.
func (s *Sink) again() bool {
	s.refused++
	clear(s.begun)
	return s.refused < refusals
}

// setAside keeps an entry that the database refuses where it doesn't hinder others.
func (s *Sink) setAside(ctx context.Context, e *entry, h header, body []byte, why error) {
	s.refused = 0
	place := "set aside in " + s.dir + "/" + refusedName
	f := s.get()
	if f == nil {
		place = "and can't be set aside"
	} else if err := f.aside(h, body); err != nil {
		place = fmt.Sprintf("and can't be set aside: %v", err)
	}
	s.opt.Alarm(fmt.Errorf("%w: %d RECORDS ARE LOST to the database, %s; please report this as a defect of btcsniff", why, h.records, place))
	if e.batch == nil {
		return
	}
	s.mu.Lock()
	s.stats.Lost += uint64(h.records)
	s.stats.Refused += uint64(h.records)
	s.mu.Unlock()
	first, last := e.batch.Span()
	blind := &record.Blind{Capture: e.of(), Reason: record.Refused, From: first, To: last, Records: uint64(h.records), Bytes: uint64(len(body)) + headerLen}
	if _, err := s.deliver(ctx, &entry{blind: blind}); err != nil {
		s.opt.Problem(fmt.Errorf("the time from %v to %v can't be noted: %w", first, last, err))
	}
}

// drain stores what is kept, whenever something is, until ctx is done.
func (s *Sink) drain(ctx context.Context) {
	again := time.NewTimer(0) // after an error that the database didn't wait for
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.kick:
		case <-again.C:
		}
		more, err := true, error(nil)
		for more && err == nil {
			if more, err = s.step(ctx); more && err == nil {
				nudge(s.made)
			}
		}
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			s.Waiting(err, retryEvery)
			again.Reset(retryEvery)
		default:
			s.emptied()
		}
	}
}

// emptied says that nothing is kept any more, if somebody was told that something was.
func (s *Sink) emptied() {
	s.mu.Lock()
	told := s.told && s.away == nil
	if told {
		s.told = false
	}
	s.mu.Unlock()
	if told {
		s.opt.Notice("the database takes records again, and has all that was kept in spool " + s.dir)
	}
}

// step stores the oldest entry. more is false if there is none. After an error, which ctx's end mostly is, the entry is still there.
func (s *Sink) step(ctx context.Context) (more bool, err error) {
	f := s.get()
	if f == nil {
		return false, nil
	}
	h, body, own, err := f.first()
	if errors.Is(err, errDone) {
		return false, nil
	}
	if err != nil && !errors.Is(err, errSum) && !errors.Is(err, errGone) && s.unread < rereads {
		s.unread++
		return true, err // the disk may be better later
	}
	var e entry
	if err == nil {
		e, err = s.unpack(h, body)
	}
	s.unread = 0
	if err != nil {
		s.damaged(f, h, own, err)
		return true, nil
	}
	for {
		added, err := s.deliver(ctx, &e)
		switch {
		case err == nil:
			s.count(&e, added, own)
			s.mu.Lock()
			s.away = nil
			s.mu.Unlock()
		case !errors.Is(err, sink.ErrRefused):
			return true, err
		case s.again():
			continue
		default:
			s.setAside(ctx, &e, h, body, err)
		}
		f.remove()
		return true, nil
	}
}

// unpack is the reverse of pack.
func (s *Sink) unpack(h header, body []byte) (entry, error) {
	raw, err := s.dec.DecodeAll(body, make([]byte, 0, h.raw))
	if err != nil {
		return entry{}, err
	}
	if len(raw) != int(h.raw) {
		return entry{}, fmt.Errorf("%d bytes instead of %d", len(raw), h.raw)
	}
	return decode(h.kind, raw, func(c record.Capture) *record.Capture { return s.canonical(c, &c) })
}

// damaged gives up an entry that can't be read, or what is left of its file.
func (s *Sink) damaged(f *files, h header, own bool, why error) {
	lost := uint64(h.records)
	if h == (header{}) {
		lost = f.skip()
	} else {
		f.remove()
	}
	s.mu.Lock()
	s.stats.Damaged += lost
	if own {
		s.stats.Lost += lost
	}
	s.mu.Unlock()
	s.opt.Alarm(fmt.Errorf("spool %s: %d RECORDS ARE LOST: what was kept can't be read back: %w", s.dir, lost, why))
}

// Close stores what is kept, as far as the database takes it without being waited for, and closes it. Its error says what is left for
// the next run.
func (s *Sink) Close() error {
	for c := range s.full {
		s.resume(c)
	}
	s.stop()
	<-s.over
	ctx, cancel := context.WithCancel(s.base)
	defer cancel()
	s.mu.Lock()
	s.closing = cancel
	s.mu.Unlock()
	var err error
	for more := true; more && err == nil; {
		more, err = s.step(ctx)
	}
	errs := s.to.Close()
	s.enc.Close()
	s.dec.Close()
	if f := s.get(); f != nil {
		if w := f.waiting(); w.entries > 0 {
			errs = errors.Join(fmt.Errorf("%d records wait in %s%s: start sniff again with the same --sink and --spool, and they will be stored",
				w.records, s.dir, because(s.why())), errs)
		}
		f.close()
	}
	return errs
}

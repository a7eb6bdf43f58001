package capture

import (
	"context"
	"path/filepath"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"
)

// A watch waits for notices that something changed in folders. Where there are none, as on network file systems or when too many
// folders are watched, it just waits. A nil watch has no notices.
type watch struct {
	w     *fsnotify.Watcher // nil if there is none to be had
	dirty bool              // files came or went
}

func newWatch(places []place) *watch {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return &watch{}
	}
	for _, p := range places {
		dir := p.path
		if p.kind != folder {
			dir = filepath.Dir(p.path)
		}
		if !strings.ContainsAny(dir, "*?[") {
			_ = w.Add(dir) // else it is looked at every now and then
		}
	}
	return &watch{w: w}
}

// gather is how long further notices are waited for after the first: a busy capture gives one for each packet.
const gather = 10 * time.Millisecond

// wait returns when there is a notice, after d, or with the context's error.
func (w *watch) wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	var events chan fsnotify.Event
	var errs chan error
	if w.w != nil {
		events, errs = w.w.Events, w.w.Errors
	}
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
			return nil
		case <-errs: // notices were lost
			w.dirty = true
		case e := <-events:
			w.note(e)
		}
		if d > gather {
			d = gather
			timer.Reset(gather)
		}
	}
}

func (w *watch) note(e fsnotify.Event) {
	w.dirty = w.dirty || e.Has(fsnotify.Create) || e.Has(fsnotify.Remove) || e.Has(fsnotify.Rename)
}

// changed says whether files came or went since it was last called.
func (w *watch) changed() bool {
	if w == nil || w.w == nil {
		return false
	}
	for {
		select {
		case <-w.w.Errors:
			w.dirty = true
		case e := <-w.w.Events:
			w.note(e)
		default:
			dirty := w.dirty
			w.dirty = false
			return dirty
		}
	}
}

func (w *watch) close() error {
	if w == nil || w.w == nil {
		return nil
	}
	return w.w.Close()
}

package main

import (
	"context"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// A browser is a headless Chromium with one tab. It notes what must not happen.
type browser struct {
	tab     context.Context
	allowed []string // beginnings of URLs that may be asked for

	mu  sync.Mutex
	bad []string // console errors, exceptions, requests elsewhere
}

// newBrowser starts Chromium. The test is skipped where there is none: scripts/need browser installs it.
func newBrowser(t *testing.T, allowed ...string) *browser {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("there is no chromium on PATH: scripts/need browser installs it")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.UserDataDir(t.TempDir()), chromedp.WindowSize(1280, 900))
	ctx, cancel := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil { // the first run's context is the browser's life, so it has no limit
		t.Fatalf("start %s: %v", path, err)
	}
	ctx, cancel = context.WithTimeout(ctx, 2*time.Minute)
	t.Cleanup(cancel)
	b := &browser{tab: ctx, allowed: allowed}
	if err := chromedp.Listen(ctx, b.listen); err != nil {
		t.Fatal(err)
	}
	send(t, b, network.Enable, network.EnableParams{})
	send(t, b, log.Enable, cdp.Empty{})
	return b
}

// send sends a command of the protocol.
func send[P, R any](t *testing.T, b *browser, what cdp.Command[P, R], params P) R {
	t.Helper()
	r, err := chromedp.Call(b.tab, what, params)
	if err != nil {
		t.Fatalf("browser: %s: %v", what.Method, err)
	}
	return r
}

func (b *browser) listen(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		for _, ok := range b.allowed {
			if strings.HasPrefix(e.Request.URL, ok) {
				return
			}
		}
		b.bad = append(b.bad, "request of "+e.Request.URL)
	case *log.EventEntryAdded:
		b.bad = append(b.bad, fmt.Sprintf("console: %s: %s %s", e.Entry.Level, e.Entry.Text, e.Entry.URL))
	case *runtime.EventConsoleAPICalled:
		b.bad = append(b.bad, fmt.Sprintf("a script called console.%s", e.Type))
	case *runtime.EventExceptionThrown:
		b.bad = append(b.bad, "exception: "+e.ExceptionDetails.Text)
	}
}

func (b *browser) run(t *testing.T, actions ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	if err := chromedp.Do(b.tab, actions...); err != nil {
		t.Fatalf("browser: %v", err)
	}
}

// wantGood checks that nothing bad has happened since the last time.
func (b *browser) wantGood(t *testing.T) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, what := range b.bad {
		t.Error(what)
	}
	b.bad = nil
}

// value evaluates a JavaScript expression in the page.
func value[T any](t *testing.T, b *browser, expression string) (v T) {
	t.Helper()
	v, err := chromedp.Run(b.tab, chromedp.Evaluate[T](expression))
	if err != nil {
		t.Fatalf("browser: %s: %v", expression, err)
	}
	return v
}

// shot saves a picture of the page for docs, where BTCSNIFF_SCREENSHOTS names a folder.
func (b *browser) shot(t *testing.T, name string, width, height int64) {
	t.Helper()
	dir := os.Getenv("BTCSNIFF_SCREENSHOTS")
	if dir == "" {
		return
	}
	b.run(t, chromedp.EmulateViewport(width, height))
	png, err := chromedp.Run(b.tab, chromedp.CaptureScreenshot())
	if err != nil {
		t.Fatal(err)
	}
	b.run(t, chromedp.EmulateViewport(1280, 900))
	if err := os.WriteFile(filepath.Join(dir, name), png, 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestBrowser(t *testing.T) {
	g := newGossip(40, 300, 10)
	d := testDatabases(t)[0]
	g.store(t, d)
	g.blind(t, d)
	t.Run("report", func(t *testing.T) { browseReport(t, d) })
	server := httptest.NewServer(newSite(t, d))
	t.Cleanup(server.Close)
	b := newBrowser(t, server.URL+"/")
	txid := g.txs[20].TxID.String()
	t.Run("overview", func(t *testing.T) { b.overview(t, server.URL) })
	t.Run("search", func(t *testing.T) { b.search(t, server.URL, txid) })
	t.Run("keyboard", func(t *testing.T) { b.keyboard(t, server.URL) })
	t.Run("hostile peer", func(t *testing.T) { b.hostile(t, server.URL) })
	t.Run("phone", func(t *testing.T) { b.phone(t, server.URL, txid) })
	t.Run("dark", func(t *testing.T) { b.dark(t, server.URL) })
}

// browseReport opens the report as a file: it asks for nothing else.
func browseReport(t *testing.T, d testDatabase) {
	file := filepath.Join(t.TempDir(), "report.html")
	if err := run(t.Context(), []string{"report", "--db", d.url, "-o", file}, os.Stdout, os.Stderr); err != nil {
		t.Fatal(err)
	}
	b := newBrowser(t, "file://"+file)
	b.run(t, chromedp.Navigate("file://"+file), chromedp.WaitVisible(chromedp.CSS("#announcements svg")))
	if n := value[int](t, b, `document.querySelectorAll("section.card svg").length`); n < 6 {
		t.Errorf("the report has %d charts", n)
	}
	if font := value[string](t, b, `getComputedStyle(document.querySelector(".card")).borderTopStyle`); font != "solid" {
		t.Errorf("the style was not applied: the border is %q", font)
	}
	b.run(t, chromedp.Click(chromedp.CSS("#announcements summary")), chromedp.WaitVisible(chromedp.CSS("#announcements table")))
	b.wantGood(t)
}

func (b *browser) overview(t *testing.T, url string) {
	b.run(t, chromedp.Navigate(url+"/"), chromedp.WaitVisible(chromedp.CSS("#ledger, #crossings")))
	if text := value[string](t, b, `document.querySelector(".stats").innerText`); !strings.Contains(text, "300\ntransactions first seen") && !strings.Contains(text, "300 transactions first seen") {
		t.Errorf("the overview's numbers are %q", text)
	}
	// Each chart has a name and a description for who can't see it, and fits its card.
	for _, c := range []struct{ what, expression string }{
		{"charts without a title", `[...document.querySelectorAll("svg")].filter(s => !s.querySelector("title") || !s.querySelector("desc")).length`},
		{"charts that name no title", `[...document.querySelectorAll("svg")].filter(s => s.getAttribute("aria-labelledby").split(" ").some(id => !document.getElementById(id))).length`},
		{"labels outside of their chart", `[...document.querySelectorAll("svg text")].filter(x => { const a = x.getBoundingClientRect(), b = x.closest("svg").getBoundingClientRect(); return a.left < b.left - 1 || a.right > b.right + 1 || a.bottom > b.bottom + 1 }).map(x => x.textContent).length`},
		{"inputs without a label", `[...document.querySelectorAll("input")].filter(i => !i.labels.length).length`},
		{"ids that are there twice", `(ids => ids.length - new Set(ids).size)([...document.querySelectorAll("[id]")].map(x => x.id))`},
		{"headings besides one", `document.querySelectorAll("h1").length - 1`},
		{"scripts", `document.scripts.length`},
	} {
		if n := value[int](t, b, c.expression); n != 0 {
			t.Errorf("%d %s", n, c.what)
		}
	}
	b.wantGood(t)
	b.shot(t, "serve.png", 1000, 1000)
}

func (b *browser) search(t *testing.T, url, txid string) {
	b.run(t, chromedp.Navigate(url+"/"), chromedp.SendKeys(chromedp.CSS("#q"), txid), chromedp.Click(chromedp.CSS("header button")), chromedp.WaitVisible(chromedp.CSS("section.wide table")))
	if at := value[string](t, b, `location.pathname`); at != "/tx/"+txid {
		t.Errorf("the search led to %s", at)
	}
	if n := value[int](t, b, `document.querySelectorAll("tbody tr").length`); n < 10 {
		t.Errorf("the transaction has %d rows", n)
	}
	b.shot(t, "serve-transaction.png", 1000, 900)
	b.run(t, chromedp.Click(chromedp.CSS(`td a[href^="/peer"]`)), chromedp.WaitVisible(chromedp.CSS(`a[href^="/transactions?peer="]`)),
		chromedp.Click(chromedp.CSS(`a[href^="/transactions?peer="]`)), chromedp.WaitVisible(chromedp.CSS("#peer")))
	if peer := value[string](t, b, `document.getElementById("peer").value`); !strings.HasPrefix(peer, "198.51.100.") {
		t.Errorf("the list is of peer %q", peer)
	}
	b.wantGood(t)
	b.run(t, chromedp.SendKeys(chromedp.CSS("#q"), "no such peer"), chromedp.Click(chromedp.CSS("header button")), chromedp.WaitVisible(chromedp.CSS(".warn")))
	b.mu.Lock()
	b.bad = nil // the browser notes the status 404
	b.mu.Unlock()
}

// keyboard finds its way with Tab and Enter alone.
func (b *browser) keyboard(t *testing.T, url string) {
	b.run(t, chromedp.Navigate(url+"/transactions"), chromedp.WaitVisible(chromedp.CSS("#peer")), chromedp.KeyEvent(kb.Tab))
	if text := value[string](t, b, `document.activeElement.textContent`); text != "Skip to the content" {
		t.Errorf("Tab leads to %q first", text)
	}
	b.run(t, chromedp.KeyEvent(kb.Enter))
	if hash := value[string](t, b, `location.hash`); hash != "#main" {
		t.Errorf("Enter on it leads to %q", hash)
	}
	found := false
	for range 60 {
		b.run(t, chromedp.KeyEvent(kb.Tab))
		if found = value[bool](t, b, `document.activeElement.matches('td a[href^="/tx/"]')`); found {
			break
		}
	}
	if !found {
		t.Fatal("no Tab leads to a transaction")
	}
	if width := value[string](t, b, `getComputedStyle(document.activeElement).outlineStyle`); width == "none" {
		t.Error("it can't be seen what has the focus")
	}
	b.run(t, chromedp.KeyEvent(kb.Enter), chromedp.WaitVisible(chromedp.CSS(".one svg")))
	if at := value[string](t, b, `location.pathname`); !strings.HasPrefix(at, "/tx/") {
		t.Errorf("Enter leads to %s", at)
	}
	b.wantGood(t)
}

func (b *browser) hostile(t *testing.T, url string) {
	b.run(t, chromedp.Navigate(url+"/peer?name=198.51.100.1"), chromedp.WaitVisible(chromedp.CSS("table")))
	if text := value[string](t, b, `document.querySelector("table").innerText`); !strings.Contains(text, `/<script>alert(1)</script><img src=//203.0.113.99/x onerror=alert(2)>\x1b[2J\u202e"'&/`) {
		t.Errorf("the hostile user agent reads %q", text)
	}
	if n := value[int](t, b, `document.querySelectorAll("script, img").length`); n != 0 {
		t.Errorf("it made %d elements", n)
	}
	b.wantGood(t)
}

// phone looks at every page on a narrow screen: it scrolls downwards only.
func (b *browser) phone(t *testing.T, url, txid string) {
	send(t, b, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: 360, Height: 740, DeviceScaleFactor: 2, Mobile: true})
	for _, path := range []string{"/", "/transactions", "/about", "/tx/" + txid, "/peer?name=198.51.100.1"} {
		b.run(t, chromedp.Navigate(url+path), chromedp.WaitVisible(chromedp.CSS("footer")))
		if over := value[int](t, b, `document.documentElement.scrollWidth - document.documentElement.clientWidth`); over > 0 {
			t.Errorf("%s is %d pixels wider than the screen: %s", path, over,
				value[string](t, b, `[...document.querySelectorAll("body *")].filter(x => x.getBoundingClientRect().right > document.documentElement.clientWidth + 1 && !x.closest(".scroll")).map(x => x.tagName + "." + x.className).join(" ")`))
		}
		if size := value[float64](t, b, `Math.min(99, ...[...document.querySelectorAll("svg text")].map(x => x.getBoundingClientRect().height))`); size < 9 {
			t.Errorf("%s has text of %.1f pixels", path, size)
		}
	}
	b.wantGood(t)
	send(t, b, emulation.ClearDeviceMetricsOverride, cdp.Empty{})
}

// dark asks for dark pages.
func (b *browser) dark(t *testing.T, url string) {
	send(t, b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: "dark"}}})
	b.run(t, chromedp.Navigate(url+"/"), chromedp.WaitVisible(chromedp.CSS("#announcements svg")))
	if back := value[string](t, b, `getComputedStyle(document.body).backgroundColor`); back != "rgb(20, 23, 26)" {
		t.Errorf("the background is %s", back)
	}
	b.wantGood(t)
	b.shot(t, "serve-phone.png", 400, 1150)
}

// Package page shows a recorded database as pages: one self-contained report, and a site that answers on localhost. It draws
// the charts and guards the door; what the pages say comes from analyze. Nothing in them was fetched from
// elsewhere, nothing runs in the browser, and all that peers chose is written as text, with what doesn't print as escapes.
package page

import (
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
)

//go:embed templates/*.html templates/style.css templates/icon.svg
var files embed.FS

// parse returns the templates.
func parse() (*template.Template, error) {
	t, err := template.New("").Funcs(template.FuncMap{
		"clean": clean, "short": short, "time": formatTime, "second": formatSecond, "moment": fieldTime, "count": formatCount, "bytes": formatBytes, "span": formatSpan,
		"micros": formatMicros, "place": placeName,
	}).ParseFS(files, "templates/*.html")
	if err != nil {
		return nil, fmt.Errorf("templates of the pages: %w", err)
	}
	return t, nil
}

// A view is what a template is given.
type view struct {
	Title  string
	Source string // the database
	Nav    bool   // pages of a site: with links, a search and a stylesheet of its own
	Query  string // that was searched for
	Style  template.CSS
	Policy string // content security policy of a page that brings its own
	Body   any
}

// render writes the page that the template called name makes of v.
func render(w io.Writer, t *template.Template, name string, v view) error {
	if !v.Nav {
		style, err := files.ReadFile("templates/style.css")
		if err != nil {
			return err
		}
		sum := sha256.Sum256(style)
		v.Style = template.CSS(style) // a file of ours
		v.Policy = "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
	}
	if err := t.ExecuteTemplate(w, name, v); err != nil {
		return fmt.Errorf("page %s: %w", name, err)
	}
	return nil
}

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// A documented query is one that a page has in full, or names with values for its parameters.
type documented struct{ name, text string }

var (
	block  = regexp.MustCompile("(?s)```sql\n(.*?)```")
	head   = regexp.MustCompile("^### (.*)$")
	given  = regexp.MustCompile(`^Values(?: of (\w+))?: (.*)$`)
	quoted = regexp.MustCompile("`('[^`]*')`")
	param  = regexp.MustCompile(`\$\d+`)
)

// documentedQueries reads docs/queries.md and docs/schema.md, for a database system.
func documentedQueries(t *testing.T, system string) (list []documented) {
	t.Helper()
	for _, name := range []string{"queries.md", "schema.md"} {
		page, err := os.ReadFile("../../docs/" + name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range block.FindAllStringSubmatch(string(page), -1) {
			for _, text := range strings.SplitAfter(strings.TrimSpace(m[1]), ";\n") {
				list = append(list, documented{name + ": " + text, text})
			}
		}
		var files []string
		for line := range strings.Lines(string(page)) {
			line = strings.TrimSpace(line)
			if m := head.FindStringSubmatch(line); m != nil {
				files = strings.Split(m[1], ", ")
			}
			m := given.FindStringSubmatch(line)
			if m == nil {
				continue
			}
			if m[1] != "" {
				files = []string{m[1]}
			}
			text := ""
			for _, f := range files {
				text += sqlFile(t, f, system)
			}
			args := quoted.FindAllStringSubmatch(m[2], -1)
			text = param.ReplaceAllStringFunc(text, func(p string) string {
				n := 0
				fmt.Sscanf(p, "$%d", &n)
				if n > len(args) {
					t.Fatalf("%s has no value for %s in %s", strings.Join(files, ", "), p, name)
				}
				return args[n-1][1]
			})
			list = append(list, documented{strings.Join(files, ", "), text})
		}
	}
	return list
}

func sqlFile(t *testing.T, name, system string) string {
	t.Helper()
	for _, file := range []string{name + ".sql", name + "." + system + ".sql"} {
		if b, err := os.ReadFile("../../analyze/sql/" + file); err == nil {
			return string(b)
		}
	}
	t.Fatalf("docs name %s, which analyze/sql doesn't have", name)
	return ""
}

// TestDocumentedQueries runs every query of the pages on both databases: each finds something, and the same.
func TestDocumentedQueries(t *testing.T) {
	databases := testDatabases(t)
	replayInto(t, "../../testdata/pcaps/long/capture.pcap", databases...)
	found := map[string][]string{}
	for _, d := range databases {
		queries := documentedQueries(t, d.name)
		if len(queries) < 18 {
			t.Fatalf("%d queries found in the pages, want 18 at least", len(queries))
		}
		db := d.open(t, false)
		for _, q := range queries {
			rows, err := db.Query(q.text)
			if err != nil {
				t.Errorf("%s: %s: %v", d.name, q.name, err)
				continue
			}
			columns, err := rows.Columns()
			if err != nil {
				t.Fatal(err)
			}
			var all []string
			row, into := make([]any, len(columns)), make([]any, len(columns))
			for i := range row {
				into[i] = &row[i]
			}
			for rows.Next() {
				if err := rows.Scan(into...); err != nil {
					t.Fatal(err)
				}
				var cells []string
				for i, v := range row {
					if at, ok := v.(time.Time); ok {
						v = at.UTC()
					}
					if b, ok := v.([]byte); ok && columns[i] != "hash" {
						v = string(b)
					}
					cell := fmt.Sprint(v)
					if f, err := strconv.ParseFloat(cell, 64); err == nil && strings.ContainsAny(cell, ".e") {
						cell = fmt.Sprintf("%.9g", f) // averages differ behind that
					}
					cells = append(cells, cell)
				}
				all = append(all, strings.Join(cells, "|"))
			}
			if err := rows.Err(); err != nil {
				t.Errorf("%s: %s: %v", d.name, q.name, err)
			}
			if was, ok := found[q.name]; ok && q.name != "peers_window" { // its unit is a chunk here, a message there
				if diff := cmp.Diff(was, all); diff != "" {
					t.Errorf("%s: DuckDB and Postgres differ:\n%s", q.name, diff)
				}
			}
			found[q.name] = all
		}
	}
	for name, rows := range found {
		if len(rows) == 0 && name != "blind" && name != "silent" && !strings.HasPrefix(name, "schema.md") {
			t.Errorf("%s: finds nothing", name)
		}
	}
}

// TestQueriesNamed has every file of SQL named in docs/queries.md.
func TestQueriesNamed(t *testing.T) {
	page, err := os.ReadFile("../../docs/queries.md")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("../../analyze/sql/*.sql")
	if err != nil || len(files) < 20 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, f := range files {
		name, _, _ := strings.Cut(filepath.Base(f), ".")
		if !regexp.MustCompile(`(?m)(^### .*|` + "`" + `)\b` + name + `\b`).Match(page) {
			t.Errorf("docs/queries.md doesn't name %s", name)
		}
	}
}

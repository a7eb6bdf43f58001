// Package archtest tests the shape of the code: that packages import what docs/architecture.md says they do, that
// cgo, clocks and exits stay where they belong, and that every package explains itself. It tests no behaviour.
package archtest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const (
	module = "btcsniff"
	root   = "../.."
)

// A rule is one row of the table of packages.
type rule struct {
	layer    int
	ours     []string // packages, without the module's name
	outside  []string // parts of import paths
	testOnly bool
}

// A pkg is what go list says about a package.
type pkg struct {
	ImportPath   string
	Dir          string
	Name         string
	Doc          string
	Standard     bool
	DepOnly      bool
	Imports      []string
	TestImports  []string
	XTestImports []string
	Deps         []string
	CgoFiles     []string
	GoFiles      []string
	TestGoFiles  []string
	XTestGoFiles []string
}

// name is the package's path without the module's name.
func (p *pkg) name() string { return strings.TrimPrefix(p.ImportPath, module+"/") }

var row = regexp.MustCompile("^\\| `([^`]+)`( †)? \\| (\\d) \\| [^|]+ \\| ([^|]+) \\| ([^|]+) \\|$")

// parseRules reads the table of packages in a Markdown page.
func parseRules(page string) (map[string]rule, error) {
	rules := map[string]rule{}
	for line := range strings.Lines(page) {
		m := row.FindStringSubmatch(strings.TrimSuffix(line, "\n"))
		if m == nil {
			continue
		}
		if _, twice := rules[m[1]]; twice {
			return nil, fmt.Errorf("package %s has two rows", m[1])
		}
		layer, err := strconv.Atoi(m[3])
		if err != nil {
			return nil, fmt.Errorf("package %s: layer: %w", m[1], err)
		}
		rules[m[1]] = rule{layer: layer, ours: list(m[4]), outside: list(m[5]), testOnly: m[2] != ""}
	}
	return rules, nil
}

func list(cell string) []string {
	if cell == "–" {
		return nil
	}
	return strings.Split(cell, ", ")
}

// check says how imports of the package called name break its rule. imports are import paths.
func check(rules map[string]rule, name string, imports []string) (broken []string) {
	r, ok := rules[name]
	if !ok {
		return []string{fmt.Sprintf("package %s has no row in docs/architecture.md", name)}
	}
	for _, path := range imports {
		if ours, ok := strings.CutPrefix(path, module+"/"); ok {
			to := rules[ours]
			switch {
			case !slices.Contains(r.ours, ours):
				broken = append(broken, fmt.Sprintf("%s imports %s, which its row doesn't name", name, ours))
			case to.testOnly && !r.testOnly:
				broken = append(broken, fmt.Sprintf("%s imports %s, which is for tests", name, ours))
			case to.layer >= r.layer:
				broken = append(broken, fmt.Sprintf("%s (layer %d) imports %s (layer %d)", name, r.layer, ours, to.layer))
			}
			continue
		}
		if !standard(path) && !contained(path, r.outside) {
			broken = append(broken, fmt.Sprintf("%s imports %s, which its row doesn't name", name, path))
		}
	}
	return broken
}

// standard reports whether an import path is one of the standard library's: they have no dot in the first element.
func standard(path string) bool {
	first, _, _ := strings.Cut(path, "/")
	return !strings.Contains(first, ".")
}

func contained(path string, parts []string) bool {
	return slices.ContainsFunc(parts, func(part string) bool { return strings.Contains(path+"/", part+"/") })
}

func TestCheck(t *testing.T) {
	rules, err := parseRules(strings.Join([]string{
		"| package | layer | charter | imports of ours | from outside |",
		"| `low` | 0 | Lies. | – | – |",
		"| `side` | 1 | Stands. | low | some/module |",
		"| `high` | 1 | Stands. | low, side, fake | – |",
		"| `fake` † | 0 | Helps. | – | – |",
	}, "\n"))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, pkg, imports string
		broken             int
	}{
		{"standard library", "low", "encoding/json", 0},
		{"allowed", "side", "btcsniff/low", 0},
		{"allowed outside", "side", "example.org/some/module/v2", 0},
		{"outside", "low", "example.org/some/module/v2", 1},
		{"other module of a like name", "side", "example.org/some/module2", 1},
		{"not named", "side", "btcsniff/high", 1},
		{"sideways", "high", "btcsniff/side", 1},
		{"for tests", "high", "btcsniff/fake", 1},
		{"no row", "none", "", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := check(rules, c.pkg, strings.Fields(c.imports)); len(got) != c.broken {
				t.Errorf("check(%s, %s) = %q, want %d broken rules", c.pkg, c.imports, got, c.broken)
			}
		})
	}
}

// golist returns the module's packages and everything they depend on.
func golist(t *testing.T) []pkg {
	t.Helper()
	// go test keeps a result until a file that the test opened has changed, and doesn't see what go list reads: so look at each folder.
	if err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && (d.Name() == ".git" || d.Name() == "testdata") {
			return fs.SkipDir
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("go", "list", "-e", "-deps", "-json=ImportPath,Dir,Name,Doc,Standard,DepOnly,Imports,TestImports,XTestImports,Deps,CgoFiles,GoFiles,TestGoFiles,XTestGoFiles", "./...")
	cmd.Dir = root
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var pkgs []pkg
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return pkgs
		} else if err != nil {
			t.Fatalf("go list: %v", err)
		}
		pkgs = append(pkgs, p)
	}
}

func readRules(t *testing.T) map[string]rule {
	t.Helper()
	page, err := os.ReadFile(filepath.Join(root, "docs/architecture.md"))
	if err != nil {
		t.Fatal(err)
	}
	rules, err := parseRules(string(page))
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := rules["record"]; !ok {
		t.Fatal("docs/architecture.md: no table of packages found")
	}
	return rules
}

func TestImports(t *testing.T) {
	rules := readRules(t)
	for _, p := range golist(t) {
		if p.DepOnly || p.Standard {
			continue
		}
		for _, broken := range check(rules, p.name(), p.Imports) {
			t.Error(broken)
		}
		// Tests may import what they like of ours, but not what needs a C library: it stays in its leaf.
		for _, path := range slices.Concat(p.TestImports, p.XTestImports) {
			leaf := strings.HasPrefix(path, "github.com/google/gopacket/pcap") && !strings.Contains(path, "pcapgo") || strings.Contains(path, "duckdb")
			if leaf && path != p.ImportPath && !contained(path, rules[p.name()].outside) && !slices.Contains(rules[p.name()].ours, strings.TrimPrefix(path, module+"/")) {
				t.Errorf("tests of %s import %s", p.name(), path)
			}
		}
	}
}

// TestCgo checks that packages build without a C compiler, but for the leaves that are there to need one
// and the commands.
func TestCgo(t *testing.T) {
	leaves := []string{"sink/duckdb", "capture/live", "internal/demo", "internal/cli"} // internal/cli is a part of the commands
	pkgs := golist(t)
	needs := map[string]bool{} // import paths outside the standard library with C in them
	for _, p := range pkgs {
		if !p.Standard && len(p.CgoFiles) > 0 {
			needs[p.ImportPath] = true
		}
	}
	for _, p := range pkgs {
		if p.DepOnly || strings.HasPrefix(p.name(), "cmd/") || slices.Contains(leaves, p.name()) {
			continue
		}
		for _, dep := range append(p.Deps, p.ImportPath) {
			if needs[dep] {
				t.Errorf("%s needs cgo, through %s", p.name(), dep)
			}
		}
	}
}

package archtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// clocks may be read by sources, which stamp live packets and wait for growing files, and by commands.
var clocks = []string{"capture", "capture/live", "internal/demo"}

// TestSource checks what the compiler doesn't: who reads the clock, who ends the process, who sleeps.
func TestSource(t *testing.T) {
	for _, p := range golist(t) {
		if p.DepOnly || p.Standard {
			continue
		}
		command := p.Name == "main"
		for _, file := range slices.Concat(p.GoFiles, p.CgoFiles, p.TestGoFiles, p.XTestGoFiles) {
			isTest := strings.HasSuffix(file, "_test.go")
			fset := token.NewFileSet()
			f, err := parser.ParseFile(fset, filepath.Join(p.Dir, file), nil, parser.SkipObjectResolution)
			if err != nil {
				t.Error(err)
				continue
			}
			ast.Inspect(f, func(n ast.Node) bool {
				at := func() token.Position { return fset.Position(n.Pos()) }
				if d, ok := n.(*ast.FuncDecl); ok && d.Recv == nil && d.Name.Name == "init" {
					t.Errorf("%s: init function", at())
				}
				switch call := selector(n); call {
				case "time.Now", "time.Since", "time.Until":
					if !isTest && !command && !slices.Contains(clocks, p.name()) {
						t.Errorf("%s: %s outside sources and commands", at(), call)
					}
				case "time.Sleep":
					t.Errorf("%s: time.Sleep", at())
				case "os.Exit", "log.Fatal", "log.Fatalf", "log.Fatalln":
					if !isTest && !command {
						t.Errorf("%s: %s outside main", at(), call)
					}
				}
				return true
			})
		}
	}
}

// selector returns a use of a package's name in the form "package.Name", or "".
func selector(n ast.Node) string {
	s, ok := n.(*ast.SelectorExpr)
	if !ok {
		return ""
	}
	x, ok := s.X.(*ast.Ident)
	if !ok {
		return ""
	}
	return x.Name + "." + s.Sel.Name
}

// TestExplained checks that every package has a comment that begins as Go's convention says, and, where it can be imported,
// an example.
func TestExplained(t *testing.T) {
	for _, p := range golist(t) {
		if p.DepOnly || p.Standard || len(p.GoFiles)+len(p.CgoFiles) == 0 {
			continue
		}
		want := "Package " + p.Name + " "
		if p.Name == "main" {
			want = ""
		}
		if p.Doc == "" || !strings.HasPrefix(p.Doc, want) {
			t.Errorf("%s: package comment %q, want one that begins with %q", p.name(), p.Doc, want)
		}
		if p.Name != "main" && !hasExample(t, p) {
			t.Errorf("%s: no Example", p.name())
		}
	}
}

func hasExample(t *testing.T, p pkg) bool {
	t.Helper()
	for _, file := range slices.Concat(p.TestGoFiles, p.XTestGoFiles) {
		f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, file), nil, parser.SkipObjectResolution)
		if err != nil {
			t.Error(err)
			continue
		}
		for _, d := range f.Decls {
			if d, ok := d.(*ast.FuncDecl); ok && strings.HasPrefix(d.Name.Name, "Example") {
				return true
			}
		}
	}
	return false
}

package cli

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestErrorLines(t *testing.T) {
	late, away := errors.New("not all could be written within 30s"), errors.New("the server is away")
	for _, tt := range []struct {
		name string
		err  error
		want []string
	}{
		{"one", away, []string{"the server is away"}},
		{"several things that went wrong", Failures{late, away}, []string{"not all could be written within 30s", "the server is away"}},
		{"one thing, told by two errors", fmt.Errorf("postgres: %w", errors.Join(late, away)),
			[]string{"postgres: not all could be written within 30s; the server is away"}},
		{"both", Failures{away, errors.Join(late, away)}, []string{"the server is away", "not all could be written within 30s; the server is away"}},
		{"a database's, in lines", errors.New("Catalog Error: no table x!\nDid you mean y?\n\nLINE 1: FROM  x\n             ^"),
			[]string{"Catalog Error: no table x! Did you mean y? LINE 1: FROM x"}},
		{"a heading", errors.New("filter:\n\tsyntax error"), []string{"filter: syntax error"}},
		{"nothing", errors.New(""), []string{""}},
		{"a password", errors.Join(errors.New("open postgres://u:secret@192.0.2.1/db"), away),
			[]string{"open postgres://u:xxxxx@192.0.2.1/db; the server is away"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, ErrorLines(tt.err)); diff != "" {
				t.Errorf("ErrorLines (-want +got):\n%s", diff)
			}
		})
	}
}

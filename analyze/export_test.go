package analyze

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestCopiedRows takes COPY's text in pieces of every size.
func TestCopiedRows(t *testing.T) {
	columns := []ExportColumn{{Name: "agent"}, {Name: "seen_at", Kind: TimeColumn}, {Name: "port", Kind: IntegerColumn}}
	const text = "/Satoshi:28.1.0/\t2025-10-06 22:56:42.902308+00\t8333\n" +
		"\t2025-10-06 22:56:42+00\t\\N\n" +
		"\\N\t2025-10-06 22:56:42.9+00\t-1\n" +
		`a\tb\nc\\N\\\\n\r` + "\tinfinity\t1\n" +
		`\\N` + "\t\\N\t2\n"
	want := []string{
		`"/Satoshi:28.1.0/" "2025-10-06T22:56:42.902308Z" "8333"`,
		`"" "2025-10-06T22:56:42.000000Z" null`,
		`null "2025-10-06T22:56:42.900000Z" "-1"`,
		`"a\tb\nc\\N\\\\n\r" "infinity" "1"`,
		`"\\N" null "2"`,
	}
	for size := 1; size <= len(text); size++ {
		var got []string
		rows := &copiedRows{columns: columns, cells: make([]Cell, 3), each: func(cells []Cell) error {
			var row []string
			for _, c := range cells {
				if row = append(row, fmt.Sprintf("%q", c.Text)); c.Null {
					row[len(row)-1] = "null"
				}
			}
			got = append(got, strings.Join(row, " "))
			return nil
		}}
		for rest := text; rest != ""; {
			n := min(size, len(rest))
			if _, err := rows.Write([]byte(rest[:n])); err != nil {
				t.Fatalf("Write of %d bytes: %v", size, err)
			}
			rest = rest[n:]
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("pieces of %d bytes (-want +got):\n%s", size, diff)
		}
	}
}

// TestCopiedRowsRefuse has text that is not as many cells as were asked for, and an error of who takes them.
func TestCopiedRowsRefuse(t *testing.T) {
	full := errors.New("full")
	for _, tt := range []struct {
		name, text string
		each       error
	}{
		{"too few", "a\n", nil},
		{"too many", "a\tb\tc\n", nil},
		{"not taken", "a\tb\n", full},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rows := &copiedRows{columns: make([]ExportColumn, 2), cells: make([]Cell, 2), each: func([]Cell) error { return tt.each }}
			if _, err := rows.Write([]byte(tt.text)); err == nil || tt.each != nil && !errors.Is(err, tt.each) || rows.err == nil {
				t.Errorf("Write: %v, kept %v, want an error", err, rows.err)
			}
		})
	}
}

package main

import (
	"encoding/csv"
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp"

	"btcsniff/record"
)

// hostile are texts that a peer may choose to harm who looks at them.
var hostile = []string{
	"/Satoshi:28.1.0/",
	"\x1b[2J\x1b]0;owned\x07",    // clears a terminal and names its window
	"\u009b31mred",               // the same introducer as one character
	"a\nb\r\tc\x7f\x00",          // breaks lines
	"\u202egpj.exe\u2066",        // turns text around
	"bad\xff\xfeutf8",            // is none
	"=HYPERLINK(\"http://x\",1)", // formulas
	"+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "\ufeff=1", " =1",
	`quote " and, comma`, "smile \U0001f600", "<script>alert(1)</script>", "",
}

func printed(f format, values ...string) string {
	var b strings.Builder
	c := &call{stdout: &b, format: f}
	t := c.table("", column{"agent", "agent"}, column{"n", "n"})
	for i, v := range values {
		t.row(v, i)
	}
	if err := t.close(); err != nil {
		panic(err)
	}
	return b.String()
}

// TestPrintHostile prints hostile text in all forms: nothing of it reaches the terminal but letters, the rows stay rows, and JSON loses nothing.
func TestPrintHostile(t *testing.T) {
	for _, f := range []format{forPeople, asJSON, asCSV} {
		out := printed(f, hostile...)
		for _, r := range out {
			if r != '\n' && !unicode.IsPrint(r) {
				t.Errorf("format %d: character %U in %q", f, r, out)
			}
		}
		head := 1
		if f == asJSON {
			head = 0
		}
		if n := strings.Count(out, "\n"); n != len(hostile)+head {
			t.Errorf("format %d: %d lines, want %d: %q", f, n, len(hostile)+head, out)
		}
	}
	for i, line := range strings.Split(strings.TrimSpace(printed(asJSON, hostile...)), "\n") {
		var got struct{ Agent string }
		if err := json.Unmarshal([]byte(line), &got); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if want := strings.ToValidUTF8(hostile[i], "\ufffd\ufffd"); got.Agent != want {
			t.Errorf("JSON of %q is %q, want %q", hostile[i], got.Agent, want)
		}
	}
	rows, err := csv.NewReader(strings.NewReader(printed(asCSV, hostile...))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range rows {
		if strings.HasPrefix(row[0], "=") || strings.HasPrefix(row[0], "+") || strings.HasPrefix(row[0], "-") || strings.HasPrefix(row[0], "@") {
			t.Errorf("CSV cell %q begins a formula", row[0])
		}
	}
}

// TestPrintKinds prints a value of each kind in each form.
func TestPrintKinds(t *testing.T) {
	var none *micros
	for _, tt := range []struct {
		name   string
		format format
		want   string
	}{
		{"people", forPeople, "text  bytes  number      span    part  when                         true  ratio  none\n" +
			"a     00ff      -12  1.500 ms  12.5 %  2025-10-06T22:56:42.902308Z  yes   0.250     -\n" +
			"b     -          12  0.000 ms       -  -                            no        -     -\n"},
		{"JSON", asJSON, `{"row":"kind","text":"a","bytes":"00ff","number":-12,"span_us":1500,"part":0.125,"when":"2025-10-06T22:56:42.902308Z","true":true,"ratio":0.25,"none":null,"unseen":1}` + "\n" +
			`{"row":"kind","text":"b","bytes":null,"number":12,"span_us":0,"part":null,"when":null,"true":false,"ratio":null,"none":null,"unseen":2}` + "\n"},
		{"CSV", asCSV, "text,bytes,number,span_us,part,when,true,ratio,none,unseen\n" +
			"a,00ff,-12,1500,0.125,2025-10-06T22:56:42.902308Z,true,0.25,,1\n" +
			"b,,12,0,,,false,,,2\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var b strings.Builder
			c := &call{stdout: &b, format: tt.format}
			tab := c.table("kind", column{"text", "text"}, column{"bytes", "bytes"}, column{"number", "number"}, column{"span_us", "span"}, column{"part", "part"},
				column{"when", "when"}, column{"true", "true"}, column{"ratio", "ratio"}, column{"none", "none"}, column{"unseen", ""})
			at := record.Time(time.Date(2025, 10, 6, 22, 56, 42, 902308000, time.UTC).UnixMicro())
			tab.row("a", []byte{0, 255}, -12, 1500*time.Microsecond, share(0.125), at, true, 0.25, none, 1)
			tab.row("b", nil, int64(12), micros(0), nil, record.Time(0), false, nil, nil, 2)
			if err := tab.close(); err != nil {
				t.Fatal(err)
			}
			// People's columns of nothing but "-" stand at the right, as numbers do.
			if diff := cmp.Diff(tt.want, b.String()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

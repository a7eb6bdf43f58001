package capture

import (
	"regexp"
	"strings"
)

// unnamed is the name of a capture whose files' names are time stamps and nothing else. Their folder's name would not do:
// it is another one after a copy, and ids are made from a capture's name.
const unnamed = "capture"

// A name is what a capture file's name says.
type name struct {
	rest    string // without time stamp, counter, extension and compression: the capture's name; may be ""
	ext     string // .pcap and the like, lower case; "" if there is none
	stamped bool   // a time stamp was removed: the file is one of several

	// If there is no time stamp, and no counter behind the extension, and the name ends in digits, they may be a counter.
	stem    string // rest without them and without separators at its end
	counter string // the digits
}

// Fixed forms that file names have.
var (
	// What compression programs add.
	compression = regexp.MustCompile(`(?i)\.(?:gz|zst|zstd)$`)

	// Extensions of captures. tcpdump -C puts its counter behind them (capture.pcap1); some rotate with a dot.
	extension = regexp.MustCompile(`(?i)(\.(?:pcapng|pcap|cap|dmp))(?:\.?(\d+))?$`)

	// strftime patterns of tcpdump -G and -w: a date, mostly with a time, with or without separators, fraction and zone.
	dateStamp = regexp.MustCompile(`(?:^|\D)(` +
		`(?:19|20)\d\d[-_.]?(?:0[1-9]|1[0-2])[-_.]?(?:0[1-9]|[12]\d|3[01])` + // 2025-10-06
		`(?:` +
		`[-_.T ]?(?:[01]\d|2[0-3])[-_.:h]?[0-5]\d(?:[-_.:m]?(?:[0-5]\d|60)(?:[.,]\d{3,9})?s?)?` + // 22-56-42.123
		`|[-_.T ](?:[01]\d|2[0-3])` + // 22
		`)?(?:Z|[-+](?:0\d|1[0-4]):?[0-5]\d)?` +
		`)(?:\D|$)`)

	// %s of tcpdump -G: seconds since 1970, from 2001 to 2033, or with milli-, micro- or nanoseconds behind.
	epochStamp = regexp.MustCompile(`(?:^|\D)(1\d{9}(?:\d{3}){0,3})(?:\D|$)`)

	// A time of day apart from its date.
	timeStamp = regexp.MustCompile(`(?:^|[-_. ])((?:[01]\d|2[0-3])[-_:]?[0-5]\d[-_:]?[0-5]\d)(?:[-_. ]|$)`)

	// dumpcap's counter, beside its time stamp: capture_00001_20251006225642.
	counterBefore = regexp.MustCompile(`(?:^|_)\d{5,}_$`)
	counterAfter  = regexp.MustCompile(`^_\d{5,}(?:_|$)`)

	digitsLast = regexp.MustCompile(`^(.*?)(\d+)$`)
)

const separators = " -_.:"

// parseName takes the base name of a file apart.
func parseName(base string) name {
	var n name
	counted := false // as tcpdump -C does
	base = compression.ReplaceAllString(base, "")
	if m := extension.FindStringSubmatchIndex(base); m != nil {
		n.ext = strings.ToLower(base[m[2]:m[3]])
		counted = m[4] >= 0
		base = base[:m[0]]
	}
	n.rest = base
	if rest, ok := cutStamp(base, dateStamp); ok {
		n.stamped = true
		n.rest, _ = cutStamp(rest, timeStamp)
	} else if rest, ok := cutStamp(base, epochStamp); ok {
		n.stamped = true
		n.rest = rest
	}
	if m := digitsLast.FindStringSubmatch(n.rest); m != nil && !n.stamped && !counted {
		n.stem, n.counter = strings.TrimRight(m[1], separators), m[2]
	}
	return n
}

// cutStamp removes the time stamp that re finds in s, with a counter beside it and with the separators around.
func cutStamp(s string, re *regexp.Regexp) (string, bool) {
	m := re.FindStringSubmatchIndex(s)
	if m == nil {
		return s, false
	}
	before, after := s[:m[2]], s[m[3]:]
	if c := counterBefore.FindStringIndex(before); c != nil {
		before = before[:c[0]]
	} else if c := counterAfter.FindStringIndex(after); c != nil {
		after = after[c[1]:]
	}
	sep := ""
	if b := strings.TrimRight(before, separators); b != "" && len(b) < len(before) {
		sep = before[len(b) : len(b)+1]
	}
	before, after = strings.Trim(before, separators), strings.Trim(after, separators)
	if before == "" || after == "" {
		sep = ""
	} else if sep == "" {
		sep = "-"
	}
	return before + sep + after, true
}

// capture is the name of the capture that n's file is of, if it is alone.
func (n name) capture() string {
	if n.rest == "" {
		return unnamed
	}
	return n.rest
}

// isCapture says whether n has the extension of a capture.
func (n name) isCapture() bool { return n.ext != "" }

// naturalCompare orders names as people do: runs of digits by their number, then everything by its bytes.
func naturalCompare(a, b string) int {
	x, y := a, b
	for x != "" && y != "" {
		if isDigit(x[0]) && isDigit(y[0]) {
			i, j := digits(x), digits(y)
			p, q := strings.TrimLeft(x[:i], "0"), strings.TrimLeft(y[:j], "0")
			if len(p) != len(q) {
				return len(p) - len(q)
			}
			if c := strings.Compare(p, q); c != 0 {
				return c
			}
			x, y = x[i:], y[j:]
			continue
		}
		if x[0] != y[0] {
			return int(x[0]) - int(y[0])
		}
		x, y = x[1:], y[1:]
	}
	if len(x) != len(y) {
		return len(x) - len(y)
	}
	return strings.Compare(a, b)
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// digits is the length of the run of digits that s begins with.
func digits(s string) int {
	n := 0
	for n < len(s) && isDigit(s[n]) {
		n++
	}
	return n
}

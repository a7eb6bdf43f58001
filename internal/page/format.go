package page

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"btcsniff/internal/legible"
	"btcsniff/record"
)

// clean is text that somebody else chose, such as a user agent, fit to be read, and not too long.
func clean(s string) string { return legible.Cut(s, 256) }

// short is clean for narrow places.
func short(s string) string { return legible.Cut(s, 36) }

// formatTime writes a time to the microsecond, in UTC as all times here.
func formatTime(t record.Time) string {
	if t == 0 {
		return "–"
	}
	return t.Std().Format("2006-01-02 15:04:05.000000")
}

// formatSecond writes a time to the second.
func formatSecond(t record.Time) string {
	if t == 0 {
		return "–"
	}
	return t.Std().Format("2006-01-02 15:04:05")
}

// formatCount writes a number with commas between its thousands.
func formatCount(v any) string {
	s := fmt.Sprint(v)
	digits := strings.TrimPrefix(s, "-")
	var b strings.Builder
	b.WriteString(s[:len(s)-len(digits)])
	for i, r := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(r)
	}
	return b.String()
}

// formatBytes writes a number of bytes with a decimal unit.
func formatBytes(v any) string {
	n, err := strconv.ParseFloat(fmt.Sprint(v), 64)
	if err != nil {
		return "–"
	}
	return scaled(n, []unit{{1e12, "TB"}, {1e9, "GB"}, {1e6, "MB"}, {1e3, "kB"}, {1, "B"}})
}

// formatMicros writes a span of microseconds with three digits that count.
func formatMicros(v any) string {
	n, err := strconv.ParseFloat(fmt.Sprint(v), 64)
	if err != nil {
		return "–"
	}
	if n == 0 {
		return "0 s"
	}
	return scaled(n, []unit{{86400e6, "d"}, {3600e6, "h"}, {60e6, "min"}, {1e6, "s"}, {1e3, "ms"}, {1, "µs"}})
}

// formatSpan writes a duration likewise.
func formatSpan(d time.Duration) string {
	return formatMicros(d.Microseconds())
}

type unit struct {
	size float64
	name string
}

// scaled writes n in the greatest of the units, which go down, that it has one of.
func scaled(n float64, units []unit) string {
	u := units[len(units)-1]
	for _, x := range units {
		if math.Abs(n) >= x.size {
			u = x
			break
		}
	}
	n /= u.size
	digits := 0
	switch a := math.Abs(n); {
	case u.size == 1 || a >= 100 || n == math.Trunc(n):
	case a >= 10:
		digits = 1
	default:
		digits = 2
	}
	return strconv.FormatFloat(n, 'f', digits, 64) + " " + u.name
}

// percent is a part of a whole, in percent.
func percent(part, whole int64) string {
	if whole == 0 {
		return "–"
	}
	return strconv.FormatFloat(100*float64(part)/float64(whole), 'f', 1, 64) + " %"
}

// placeName is where a peer is, in words.
func placeName(place string) string {
	switch place {
	case "":
		return "unknown"
	case "tor":
		return "Tor"
	case "i2p":
		return "I2P"
	case "cjdns":
		return "CJDNS"
	case "private":
		return "private network"
	}
	return clean(place)
}

// Command fidelity measures what tshark and btcsniff find of what is truly in captures: in recorded ones, by the notes of the node that was
// recorded, and in generated ones, by construction. It prints a Markdown table, or puts it into a page.
//
//	fidelity [PAGE]
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"

	"btcsniff/capture"
	"btcsniff/internal/pipeline"
	"btcsniff/internal/tshark"
	"btcsniff/record"
	"btcsniff/sink"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "fidelity:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout io.Writer) error {
	if len(args) > 1 {
		return errors.New("usage: fidelity [PAGE], in the project's folder")
	}
	text, err := table(ctx)
	if err != nil {
		return err
	}
	if len(args) == 0 {
		_, err := io.WriteString(stdout, text)
		return err
	}
	return insert(args[0], text)
}

// What stands around the table in the page.
const (
	begin = "<!-- begin: written by make fidelity -->\n"
	end   = "<!-- end -->\n"
)

// insert puts text into a page, in place of what an earlier run put there.
func insert(path, text string) error {
	page, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read page: %w", err)
	}
	before, rest, ok := strings.Cut(string(page), begin)
	_, after, ended := strings.Cut(rest, end)
	if !ok || !ended {
		return fmt.Errorf("%s has no place for the table: want the lines %q and %q", path, strings.TrimSpace(begin), strings.TrimSpace(end))
	}
	if err := os.WriteFile(path, []byte(before+begin+text+end+after), 0o644); err != nil {
		return fmt.Errorf("write page: %w", err)
	}
	return nil
}

// A sample is a capture with the truth about it.
type sample struct {
	name  string
	files []string
	truth []tshark.Sighting
	timed bool // the truth has the times

	// normal makes what a reader found comparable with the truth, which may know less; ok is false for what the truth is silent about.
	normal func(tshark.Sighting) (s tshark.Sighting, ok bool)
}

// score compares what a reader found with the truth.
type score struct {
	found, false, times uint64 // of the found ones, times at another microsecond
}

func (s *sample) score(read func(each func(tshark.Sighting)) error) (score, error) {
	c := tshark.NewComparison()
	for _, t := range s.truth {
		c.Theirs(t)
	}
	if err := read(func(t tshark.Sighting) {
		if t, ok := s.normal(t); ok {
			c.Ours(t)
		}
	}); err != nil {
		return score{}, err
	}
	var sum score
	for _, k := range tshark.Kinds() {
		sides := c.Sides(k)
		sum.found += sides.Both
		sum.false += sides.Ours
		sum.times += sides.OtherTime
	}
	return sum, nil
}

// table measures everything.
func table(ctx context.Context) (string, error) {
	var b bytes.Buffer
	version, err := exec.CommandContext(ctx, "tshark", "--version").Output()
	if err != nil {
		return "", tshark.ErrMissing
	}
	first, _, _ := strings.Cut(string(version), "\n")
	fmt.Fprintf(&b, "\n%s\n\n", strings.TrimSuffix(first, "."))
	b.WriteString("| capture | true records | tshark: found | false | other time | tshark, ordering: found | false | other time | btcsniff: found | false | other time |\n" +
		"| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n")
	dir, err := os.MkdirTemp("", "fidelity")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	samples, err := recorded()
	if err != nil {
		return "", err
	}
	for _, s := range samples {
		if err := s.row(ctx, &b); err != nil {
			return "", err
		}
	}
	for _, g := range generated() {
		s, err := g.sample(filepath.Join(dir, "generated.pcap"))
		if err != nil {
			return "", err
		}
		if err := s.row(ctx, &b); err != nil {
			return "", err
		}
	}
	b.WriteString("\n")
	return b.String(), nil
}

// row writes the sample's row.
func (s *sample) row(ctx context.Context, w io.Writer) error {
	scores := make([]score, 3)
	for i, prefs := range [][]string{nil, {tshark.OutOfOrder}} {
		var err error
		if scores[i], err = s.score(func(each func(tshark.Sighting)) error {
			_, err := tshark.Read(ctx, s.files, each, prefs...)
			return err
		}); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	ours, err := s.score(func(each func(tshark.Sighting)) error { return replay(ctx, s.files, each) })
	if err != nil {
		return fmt.Errorf("%s: %w", s.name, err)
	}
	scores[2] = ours
	fmt.Fprintf(w, "| %s | %d |", s.name, len(s.truth))
	for _, r := range scores {
		times := fmt.Sprint(r.times)
		if !s.timed {
			times = "–"
		}
		fmt.Fprintf(w, " %d | %d | %s |", r.found, r.false, times)
	}
	fmt.Fprintln(w)
	return nil
}

// A collector is a sink that hands on everything in its batches.
type collector struct {
	*sink.Null
	each func(tshark.Sighting)
}

// Write implements sink.Sink.
func (c *collector) Write(_ context.Context, b *record.Batch) (uint64, error) {
	tshark.Each(b, c.each)
	return uint64(b.Len()), nil
}

// replay reads files as the command of that name does.
func replay(ctx context.Context, files []string, each func(tshark.Sighting)) error {
	src, err := capture.Open(files, capture.Options{})
	if err != nil {
		return err
	}
	defer src.Close()
	queue := sink.NewQueue(ctx, &collector{sink.NewNull(), each}, sink.QueueOptions{Mixed: true})
	_, err = pipeline.Run(ctx, src, pipeline.Config{Outputs: []*sink.Queue{queue}})
	return errors.Join(err, queue.Close())
}

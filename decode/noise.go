package decode

// A noise tells, by the values of its bytes, that a stream in which nothing of Bitcoin was found holds none: it is as good as
// random, as no v1 stream is for so long, or went on for longer than any message without another.
type noise struct {
	looked int          // bytes
	counts *[256]uint32 // of these behind the first ones, how often each value came
}

const (
	uncounted    = 4 << 10        // bytes that are not counted: most streams are found out within them, and needn't the memory
	uniformEvery = 64 << 10       // bytes; the longest run of short ids in a compact block is shorter
	uniformTests = 4              // after so many bytes of these each
	hopeless     = 2 * maxPayload // bytes
)

// add takes bytes and says whether the stream should be given up.
func (n *noise) add(b []byte) bool {
	tests := n.looked / uniformEvery
	n.looked += len(b)
	if tests >= uniformTests {
		n.counts = nil
		return n.looked > hopeless
	}
	if n.looked <= uncounted {
		return false
	}
	if n.counts == nil {
		n.counts = new([256]uint32)
	}
	for _, c := range b {
		n.counts[c]++
	}
	return n.looked/uniformEvery > tests && uniform(n.counts)
}

// uniform is a chi-squared test: whether bytes that came so often may be random.
func uniform(counts *[256]uint32) bool {
	const (
		mean  = 255  // of chi-squared with 255 degrees of freedom
		sigma = 22.6 // its standard deviation
	)
	total := 0.0
	for _, n := range counts {
		total += float64(n)
	}
	want, chi := total/256, 0.0
	for _, n := range counts {
		d := float64(n) - want
		chi += d * d / want
	}
	return chi < mean+5*sigma
}

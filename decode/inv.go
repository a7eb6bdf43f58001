package decode

import (
	"encoding/binary"
	"slices"

	"btcsniff/record"
)

const (
	maxInv      = 50_000 // entries; Bitcoin Core, net_processing.cpp, MAX_INV_SZ
	invVectSize = 4 + 32 // bytes on the wire
)

// parseInv appends the vectors of an inv message to dst. Bytes after the last vector are ignored, as Bitcoin Core
// does. On error dst is returned as it was.
func parseInv(dst []record.InvVect, b []byte) ([]record.InvVect, error) {
	c := cursor{b: b}
	n := c.count(invVectSize)
	if c.bad || n > maxInv {
		return dst, errMalformed
	}
	old := len(dst)
	dst = slices.Grow(dst, n)[:old+n]
	b = c.b[:n*invVectSize]
	for i := range dst[old:] {
		v := (*[invVectSize]byte)(b[i*invVectSize:])
		p := &dst[old+i]
		p.Type = record.InvType(binary.LittleEndian.Uint32(v[:4]))
		p.Hash = record.Hash(v[4:])
	}
	return dst, nil
}

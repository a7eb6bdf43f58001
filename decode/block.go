package decode

import (
	"crypto/sha256"

	"btcsniff/record"
)

const (
	maxHeaders      = 2000 // Bitcoin Core, net_processing.h, MAX_HEADERS_RESULTS
	blockHeaderSize = 80   // bytes: version 4, previous hash 32, merkle root 32, time 4, bits 4, nonce 4
)

// parseHeaders gives emit a record for each header of a headers message, in order, without Meta. Nothing is emitted
// unless the whole payload is well-formed. Like Bitcoin Core it takes any number where each header's count
// of transactions is (it should be 0), and ignores what comes after the last one.
func parseHeaders(b []byte, emit func(record.Block)) error {
	c := cursor{b: b}
	n := c.count(blockHeaderSize + 1)
	if n > maxHeaders {
		return errMalformed
	}
	check := c
	for range n {
		check.take(blockHeaderSize)
		if check.number() > maxCompactSize {
			check.fail()
		}
	}
	if check.bad {
		return errMalformed
	}
	for i := range n {
		hash, prev := blockHash(c.take(blockHeaderSize))
		c.number()
		emit(record.Block{Via: "headers", Hash: hash, Prev: prev, Index: i})
	}
	return nil
}

// blockHash returns the hash of a block and of the one before it. header has at least the 80 bytes of a block header:
// headers, cmpctblock and block messages have one, the last two at the start of their payload.
func blockHash(header []byte) (hash, prev record.Hash) {
	return doubleHash(header[:blockHeaderSize]), record.Hash(header[4:36])
}

// doubleHash is what Bitcoin calls a hash: SHA-256 of the SHA-256.
func doubleHash(b []byte) record.Hash {
	sum := sha256.Sum256(b)
	return sha256.Sum256(sum[:])
}

package decode

import "encoding/binary"

// parseNonce reads the nonce of a ping or pong. An empty payload is a ping of before BIP 31 and gives 0; an empty
// pong there has never been, so the caller refuses that. Bytes after the nonce are ignored, as Bitcoin Core does.
func parseNonce(b []byte) (uint64, error) {
	switch {
	case len(b) == 0:
		return 0, nil
	case len(b) < 8:
		return 0, errMalformed
	}
	return binary.LittleEndian.Uint64(b), nil
}

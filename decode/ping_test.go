package decode

import "testing"

func TestNonce(t *testing.T) {
	for _, tt := range []struct {
		name, in string
		want     uint64
		err      error
	}{
		{"nonce", "0102030405060708", 0x0807060504030201, nil},
		{"most", "ffffffffffffffff", 1<<64 - 1, nil},
		{"bytes after it", "0100000000000000 ff", 1, nil},
		{"none, before BIP 31", "", 0, nil},
		{"one byte", "01", 0, errMalformed},
		{"seven bytes", "01020304050607", 0, errMalformed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parseNonce(fromHex(t, tt.in))
			if got != tt.want || err != tt.err {
				t.Errorf("parseNonce(%s) = %#x, %v, want %#x, %v", tt.in, got, err, tt.want, tt.err)
			}
		})
	}
}

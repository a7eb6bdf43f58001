package pcaptest

import (
	"encoding/binary"
	"math/rand/v2"

	"github.com/btcsuite/btcd/wire/v2"
)

// randomBytes returns n bytes of r.
func randomBytes(r *rand.Rand, n int) []byte {
	b := make([]byte, (n+7)/8*8)
	for i := 0; i < len(b); i += 8 {
		binary.LittleEndian.PutUint64(b[i:], r.Uint64())
	}
	return b[:n]
}

// outputScript returns a random script of a random type, and the type's name. Source: Bitcoin Core, script/solver.cpp.
func outputScript(r *rand.Rand) (script []byte, name string) {
	switch r.IntN(8) {
	case 0:
		return append(append([]byte{0x76, 0xa9, 20}, randomBytes(r, 20)...), 0x88, 0xac), "pubkeyhash"
	case 1:
		return append(append([]byte{0xa9, 20}, randomBytes(r, 20)...), 0x87), "scripthash"
	case 2:
		return append([]byte{0, 32}, randomBytes(r, 32)...), "witness_v0_scripthash"
	case 3:
		return append([]byte{0x51, 32}, randomBytes(r, 32)...), "witness_v1_taproot"
	case 4:
		return append([]byte{0x6a, 12}, randomBytes(r, 12)...), "nulldata"
	case 5:
		return []byte{0x87, 0x87}, "nonstandard" // two OP_EQUAL
	}
	return append([]byte{0, 20}, randomBytes(r, 20)...), "witness_v0_keyhash"
}

// randomTx returns a transaction of the usual sizes. embed, if there is any, becomes the data of its first output.
func randomTx(r *rand.Rand, embed []byte) *Tx {
	tx := wire.NewMsgTx(1 + int32(r.IntN(2)))
	tx.LockTime = r.Uint32N(2) * (800_000 + r.Uint32N(1000))
	witness := r.IntN(4) > 0
	for range 1 + r.IntN(3) {
		prev := wire.OutPoint{Index: r.Uint32N(5)}
		copy(prev.Hash[:], randomBytes(r, 32))
		in := &wire.TxIn{PreviousOutPoint: prev, Sequence: 0xffffffff - r.Uint32N(3)}
		if witness && r.IntN(5) > 0 {
			in.Witness = wire.TxWitness{randomBytes(r, 71+r.IntN(2)), randomBytes(r, 33)}
		} else {
			in.SignatureScript = randomBytes(r, 106+r.IntN(2))
		}
		tx.AddTxIn(in)
	}
	var types []string
	add := func(value int64, script []byte, name string) {
		tx.AddTxOut(&wire.TxOut{Value: value, PkScript: script})
		types = append(types, name)
	}
	if embed != nil {
		push := append([]byte{0x6a, 0x4e}, binary.LittleEndian.AppendUint32(nil, uint32(len(embed)))...) // OP_RETURN, OP_PUSHDATA4
		add(0, append(push, embed...), "nulldata")
	}
	for range 1 + r.IntN(3) {
		script, name := outputScript(r)
		add(r.Int64N(1e10), script, name)
	}
	return NewTx(tx, types)
}

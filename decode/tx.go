package decode

import (
	"crypto/sha256"

	"btcsniff/record"
)

const (
	minTxIn  = 32 + 4 + 1 + 4 // bytes: txid, output, length of the script, sequence
	minTxOut = 8 + 1          // bytes: value, length of the script
)

// parseTx fills in r but for its Meta; net is the network that addresses are written for. It takes and refuses
// what Bitcoin Core does (primitives/transaction.h, UnserializeTransaction), so bytes after the transaction are
// ignored and not in Size. r owns its memory, which is a few times the payload at most, and is not touched on error.
func parseTx(b []byte, net string, r *record.Tx) error {
	c := cursor{b: b}
	t := record.Tx{Meta: r.Meta, Version: int32(c.u32())}
	body := c.b // inputs and outputs, from their counts on
	nIn := c.count(minTxIn)
	// BIP 144: a zero where the input count belongs, and a flag that is not zero, mark a transaction with witnesses.
	// A zero flag is the output count of a transaction without inputs and outputs.
	witness := nIn == 0 && c.left() > 0 && c.b[0] != 0
	if witness {
		if c.u8() != 1 {
			return errMalformed
		}
		body = c.b
		nIn = c.count(minTxIn)
	}
	t.Inputs = readInputs(&c, nIn)
	t.Outputs = readOutputs(&c, net)
	body = body[:len(body)-c.left()]
	if witness && !passWitnesses(&c, nIn) {
		return errMalformed
	}
	lock := c.b
	t.LockTime = c.u32()
	if c.bad {
		return errMalformed
	}
	t.Size = len(b) - c.left()
	base := 4 + len(body) + 4  // size without witnesses
	t.Weight = 3*base + t.Size // BIP 141: three times the size without witnesses, once the whole
	t.WTxID = doubleHash(b[:t.Size])
	t.TxID = t.WTxID
	if witness {
		t.TxID = hashOfThree(b[:4], body, lock[:4])
	}
	*r = t
	return nil
}

// hashOfThree is the double SHA-256 of what a, b and c are when put together.
func hashOfThree(a, b, c []byte) record.Hash {
	h := sha256.New()
	h.Write(a)
	h.Write(b)
	h.Write(c)
	var sum [sha256.Size]byte
	h.Sum(sum[:0])
	return sha256.Sum256(sum[:])
}

// readInputs reads n inputs, of which each has at least minTxIn bytes at hand.
func readInputs(c *cursor, n int) []record.TxIn {
	if n == 0 {
		return nil
	}
	in := make([]record.TxIn, n)
	for i := range in {
		p := &in[i]
		copy(p.TxID[:], c.take(len(p.TxID)))
		p.Vout = c.u32()
		c.take(c.count(1)) // signature script
		p.Sequence = c.u32()
		if c.bad {
			return nil
		}
	}
	return in
}

func readOutputs(c *cursor, net string) []record.TxOut {
	n := c.count(minTxOut)
	check := *c // a hostile transaction must not cost us addresses
	for range n {
		check.take(8)
		check.take(check.count(1))
	}
	if check.bad {
		c.fail()
	}
	if c.bad || n == 0 {
		return nil
	}
	out := make([]record.TxOut, n)
	for i := range out {
		p := &out[i]
		p.Value = int64(c.u64())
		p.ScriptType, p.Address = scriptType(c.take(c.count(1)), net)
	}
	return out
}

// passWitnesses reads one stack of witness items for each of n inputs. It is false if all stacks are empty: then
// Bitcoin Core refuses the transaction ("superfluous witness record").
func passWitnesses(c *cursor, n int) bool {
	some := false
	for range n {
		items := c.count(1)
		some = some || items > 0
		for range items {
			c.take(c.count(1))
		}
	}
	return some && !c.bad
}

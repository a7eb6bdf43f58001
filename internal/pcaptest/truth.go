package pcaptest

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strconv"

	"github.com/btcsuite/btcd/wire/v2"

	"btcsniff/record"
)

// A Record is what a perfect reader of a capture would have found: one inventory vector, or one other message. Which of the
// fields below the first ones count depends on Kind.
type Record struct {
	Kind        record.Kind
	Network     string
	From, To    netip.AddrPort
	SeenAt      record.Time // the latest of the times when the message's bytes were first captured
	FirstByteAt record.Time // when its first byte was first captured

	Vect         record.InvVect // inv
	Index, Count int            // inv: its place within its message
	Tx           *Tx            // tx
	Nonce        uint64         // ping, pong
	RTT          int64          // pong: microseconds since the ping was captured; -1 if it was not
	Version      *Version       // version
	Via          string         // block: the message's command
	Hash, Prev   record.Hash    // block
}

// A Tx is a transaction with what is known of it by construction.
type Tx struct {
	*wire.MsgTx
	TxID, WTxID  record.Hash
	Size, Weight int
	Types        []string // of its outputs' scripts, by Bitcoin Core's names
}

// NewTx computes what follows from tx itself. types are the types of its outputs' scripts.
func NewTx(tx *wire.MsgTx, types []string) *Tx {
	full, stripped := len(txBytes(tx)), tx.SerializeSizeStripped()
	return &Tx{
		MsgTx: tx, TxID: record.Hash(tx.TxHash()), WTxID: record.Hash(tx.WitnessHash()), Types: types,
		Size: full, Weight: stripped*3 + full, // BIP 141
	}
}

// AppendJSON appends r as one JSON object, without a line feed. Its keys are a subset of those that a replay writes (those of the
// run itself are missing: conn, sensor, outbound; and the addresses of outputs), so compare the keys that are there.
func (r *Record) AppendJSON(b []byte) []byte {
	b = append(append(b, `{"record":"`...), r.Kind.String()...)
	b = r.SeenAt.Append(append(b, `","seen_at":"`...))
	b = r.FirstByteAt.Append(append(b, `","first_byte_at":"`...))
	b = r.From.AppendTo(append(b, `","from":"`...))
	b = r.To.AppendTo(append(b, `","to":"`...))
	b = append(append(append(b, `","network":"`...), r.Network...), '"')
	switch r.Kind {
	case record.KindInv:
		b = appendInt(append(b, `,"type":`...), r.Vect.Type)
		b = r.Vect.Hash.AppendHex(append(b, `,"hash":"`...))
		b = appendInt(append(b, `","index":`...), r.Index)
		b = appendInt(append(b, `,"count":`...), r.Count)
	case record.KindTx:
		b = r.Tx.appendJSON(b)
	case record.KindBlock:
		b = append(append(append(b, `,"via":"`...), r.Via...), '"')
		b = r.Hash.AppendHex(append(b, `,"hash":"`...))
		b = append(r.Prev.AppendHex(append(b, `","prev":"`...)), '"')
	case record.KindPing, record.KindPong:
		b = append(strconv.AppendUint(append(b, `,"nonce":"`...), r.Nonce, 10), '"')
		if r.Kind == record.KindPong && r.RTT >= 0 {
			b = appendInt(append(b, `,"rtt_us":`...), r.RTT)
		}
	case record.KindVersion:
		b = r.Version.appendJSON(b)
	}
	return append(b, '}')
}

func (v *Version) appendJSON(b []byte) []byte {
	agent, _ := json.Marshal(v.UserAgent)
	b = appendInt(append(b, `,"protocol":`...), v.Protocol)
	b = append(append(b, `,"user_agent":`...), agent...)
	b = appendInt(append(b, `,"start_height":`...), v.StartHeight)
	return strconv.AppendBool(append(b, `,"relay":`...), v.Relay)
}

func (t *Tx) appendJSON(b []byte) []byte {
	b = t.TxID.AppendHex(append(b, `,"txid":"`...))
	b = t.WTxID.AppendHex(append(b, `","wtxid":"`...))
	b = appendInt(append(b, `","version":`...), t.MsgTx.Version)
	b = appendInt(append(b, `,"lock_time":`...), t.LockTime)
	b = appendInt(append(b, `,"size":`...), t.Size)
	b = appendInt(append(b, `,"weight":`...), t.Weight)
	b = append(b, `,"inputs":[`...)
	for i, in := range t.TxIn {
		if i > 0 {
			b = append(b, ',')
		}
		hash := record.Hash(in.PreviousOutPoint.Hash)
		b = hash.AppendHex(append(b, `{"txid":"`...))
		b = appendInt(append(b, `","vout":`...), in.PreviousOutPoint.Index)
		b = append(appendInt(append(b, `,"sequence":`...), in.Sequence), '}')
	}
	b = append(b, `],"outputs":[`...)
	for i, out := range t.TxOut {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendInt(append(b, `{"value":`...), out.Value)
		b = append(append(append(b, `,"script_type":"`...), t.Types[i]...), `"}`...)
	}
	return append(b, ']')
}

func appendInt[T ~int | ~int32 | ~int64 | ~uint32](b []byte, n T) []byte {
	return strconv.AppendInt(b, int64(n), 10)
}

// networkName is the name of n's network for users.
func networkName(n Net) string {
	for _, k := range record.Networks() {
		if k.Magic == n {
			return k.Name
		}
	}
	return fmt.Sprintf("%x", n[:])
}

package main

import (
	"fmt"
	"os"
	"time"

	"btcsniff/internal/pcaptest"
	"btcsniff/internal/tshark"
	"btcsniff/record"
)

// A recipe is a capture to be generated, with one thing that goes wrong.
type recipe struct {
	name string
	cfg  pcaptest.Config
}

// generated lists the recipes. Connections are half a minute long, on the main network unless said otherwise.
func generated() []recipe {
	type imp = pcaptest.Impair
	list := []recipe{
		{"plain", pcaptest.Config{}},
		{"testnet4", pcaptest.Config{Net: pcaptest.Testnet4}},
		{"signet", pcaptest.Config{Net: pcaptest.Signet}},
		{"header and payload in two segments", pcaptest.Config{SplitHead: 1}},
		{"one byte a segment", pcaptest.Config{OneByte: 0.5, Duration: 5 * time.Second}},
		{"IPv6, Linux cooked v2", pcaptest.Config{IPv6: 1, Layer: pcaptest.SLL2}},
		{"joined in the middle", pcaptest.Config{Midstream: 1}},
		{"look-alikes of messages in payloads", pcaptest.Config{LookAlikes: 0.5, Midstream: 0.5}},
		{"one direction only", pcaptest.Config{OneWay: 1, Midstream: 0.5}},
		{"acknowledgements not captured", pcaptest.Config{NoACKs: true, Midstream: 0.5, Impair: imp{Reorder: 0.05}}},
		{"20 % out of order", pcaptest.Config{Impair: imp{Reorder: 0.2}}},
		{"joined in the middle, 40 % out of order", pcaptest.Config{Midstream: 1, SplitHead: 1, Impair: imp{Reorder: 0.4}}},
		{"10 % retransmitted, 10 % with other boundaries", pcaptest.Config{Impair: imp{Retransmit: 0.1, Resegment: 0.1}}},
		{"10 % again with other bytes", pcaptest.Config{Impair: imp{Conflict: 0.1}}},
		{"5 % lost, and retransmitted later", pcaptest.Config{Impair: imp{Late: 0.05}}},
		{"5 % not captured", pcaptest.Config{Impair: imp{Hole: 0.05}}},
		{"keep-alives and window probes", pcaptest.Config{Impair: imp{KeepAlive: 0.2, ZeroWindow: 0.1}}},
		{"stray FIN and RST", pcaptest.Config{Impair: imp{Stray: 0.2}}},
		{"30 % in IP fragments", pcaptest.Config{Impair: imp{Fragment: 0.3}}},
		{"segmentation offload, 64 KiB segments", pcaptest.Config{Impair: imp{Offload: 0.5, Jumbo: 1}}},
		{"sequence numbers wrap around", pcaptest.Config{Impair: imp{Wrap: 1}}},
		{"ports used again, FIN and RST", pcaptest.Config{Impair: imp{Reuse: 0.9, RST: 0.3, FIN: 0.3}}},
		{"half-closed, simultaneous opens", pcaptest.Config{Impair: imp{HalfClose: 0.3, RST: 0.3, FIN: 0.5, Simultaneous: 0.3}}},
		{"packets cut at 400 bytes", pcaptest.Config{Snap: 400}},
	}
	all := imp{
		Reorder: 0.05, Retransmit: 0.02, Resegment: 0.02, Conflict: 0.02, Late: 0.01, Hole: 0.01, KeepAlive: 0.02, ZeroWindow: 0.01,
		Stray: 0.01, Fragment: 0.02, Offload: 0.02, Jumbo: 0.2, Wrap: 0.3, Reuse: 0.5, HalfClose: 0.2, RST: 0.2, FIN: 0.4, Simultaneous: 0.1,
	}
	list = append(list, recipe{"a little of everything", pcaptest.Config{
		IPv6: 0.3, Midstream: 0.4, OneWay: 0.1, SplitHead: 0.3, OneByte: 0.1, LookAlikes: 0.1, Impair: all,
	}})
	for i := range list {
		if list[i].cfg.Duration == 0 {
			list[i].cfg.Duration = 30 * time.Second
		}
		list[i].cfg.Seed = 1
	}
	return list
}

// sample generates the capture, and writes it to path.
func (r *recipe) sample(path string) (*sample, error) {
	traffic := pcaptest.Generate(r.cfg)
	if err := os.WriteFile(path, pcaptest.Format{}.Append(nil, traffic.Packets), 0o600); err != nil {
		return nil, fmt.Errorf("write capture: %w", err)
	}
	s := &sample{name: r.name, files: []string{path}, timed: true}
	for i := range traffic.Truth {
		if t, ok := sighting(&traffic.Truth[i]); ok {
			s.truth = append(s.truth, t)
		}
	}
	s.normal = func(t tshark.Sighting) (tshark.Sighting, bool) { return t, true }
	return s, nil
}

// sighting is a true record as a reader would have found it; ok is false for what tshark can't know.
func sighting(r *pcaptest.Record) (s tshark.Sighting, ok bool) {
	s = tshark.Sighting{Item: tshark.Item{Kind: r.Kind, From: r.From, To: r.To}, SeenAt: r.SeenAt}
	ok = true
	switch r.Kind {
	case record.KindInv:
		s.What = tshark.Inv(r.Vect)
	case record.KindTx:
		s.What = tshark.Tx(r.Tx.WTxID, r.Tx.Size)
	case record.KindPing, record.KindPong:
		s.What = tshark.Nonce(r.Nonce)
	case record.KindVersion:
		s.What = tshark.Nonce(r.Version.Nonce)
	case record.KindBlock:
		s.What, ok = tshark.Block(r.Via, r.Prev)
	}
	return s, ok
}

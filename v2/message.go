package v2

import (
	"errors"
	"strconv"
)

var errMessage = errors.New("contents of a packet are no message")

// Message splits the contents of a packet into a message's command and payload, which is borrowed from contents. A short
// id that is not in BIP 324's table is given as the command "id 29". The error says that Bitcoin Core would not take it
// for a message.
func Message(contents []byte) (command string, payload []byte, err error) {
	const commandSize = 12
	if len(contents) == 0 {
		return "", nil, errMessage
	}
	if id := contents[0]; id != 0 {
		return shortID(id), contents[1:], nil
	}
	if len(contents) < 1+commandSize {
		return "", nil, errMessage
	}
	name, payload := contents[1:1+commandSize], contents[1+commandSize:]
	n := 0
	for n < commandSize && name[n] >= ' ' && name[n] <= 0x7f { // Bitcoin Core, net.cpp, V2Transport::GetMessageType
		n++
	}
	for _, c := range name[n:] {
		if c != 0 {
			return "", nil, errMessage
		}
	}
	return string(name[:n]), payload, nil
}

// shortID is the command with that short id. Source: BIP 324, "v2 Bitcoin P2P message structure".
func shortID(id byte) string {
	names := [...]string{
		1: "addr", 2: "block", 3: "blocktxn", 4: "cmpctblock", 5: "feefilter", 6: "filteradd", 7: "filterclear",
		8: "filterload", 9: "getblocks", 10: "getblocktxn", 11: "getdata", 12: "getheaders", 13: "headers", 14: "inv",
		15: "mempool", 16: "merkleblock", 17: "notfound", 18: "ping", 19: "pong", 20: "sendcmpct", 21: "tx",
		22: "getcfilters", 23: "cfilters", 24: "getcfheaders", 25: "cfheaders", 26: "getcfcheckpt", 27: "cfcheckpt",
		28: "addrv2",
	}
	if int(id) < len(names) {
		return names[id]
	}
	return "id " + strconv.Itoa(int(id))
}

package v2_test

import (
	"fmt"
	"os"

	"btcsniff/record"
	"btcsniff/v2"
)

func Example() {
	log, err := os.Open("testdata/core-28.1.keys")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer log.Close()
	keys, err := v2.ParseKeys(log)
	if err != nil {
		fmt.Println(err)
		return
	}
	stream, _ := os.ReadFile("testdata/core-28.1.responder") // what one side sent

	conn := keys.Conn(record.Networks())
	r := conn.Receiver(true)
	r.Data(stream)
	for p, ok := r.Next(); ok; p, ok = r.Next() {
		if p.Contents != nil {
			command, payload, err := v2.Message(p.Contents)
			fmt.Println(conn.Network(), command, len(payload), err)
		}
	}
	// Output:
	// regtest version 102 <nil>
	// regtest wtxidrelay 0 <nil>
	// regtest sendaddrv2 0 <nil>
	// regtest verack 0 <nil>
	// regtest sendcmpct 9 <nil>
	// regtest ping 8 <nil>
	// regtest getheaders 69 <nil>
	// regtest feefilter 8 <nil>
	// regtest pong 8 <nil>
	// regtest headers 1 <nil>
}

package record_test

import (
	"reflect"

	"btcsniff/record"
)

// fill sets every field of a ledger to something that is not zero.
func fill(l *record.Ledger) {
	v := reflect.ValueOf(l).Elem()
	for i := range v.NumField() {
		switch f := v.Field(i); f.Interface().(type) {
		case uint64:
			f.SetUint(uint64(i + 1))
		case map[string]uint64:
			f.Set(reflect.ValueOf(map[string]uint64{"x": uint64(i + 1)}))
		case map[string]record.Command:
			f.Set(reflect.ValueOf(map[string]record.Command{"x": {Messages: 1, Bytes: 2, Malformed: 3}}))
		case map[string]record.Class:
			f.Set(reflect.ValueOf(map[string]record.Class{"x": {Conns: 1, Bytes: 2}}))
		}
	}
}

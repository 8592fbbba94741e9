// Command poller is a guest with one poll, of two records each time, which goes on from
// where it was.
package main

import (
	"encoding/json"
	"strconv"
)

func main() {}

//go:wasmimport extism:host/env input_length
func inputLength() uint64

//go:wasmimport extism:host/env input_load_u8
func inputLoad8(offset uint64) uint32

//go:wasmimport extism:host/env alloc
func alloc(size uint64) uint64

//go:wasmimport extism:host/env store_u8
func store8(offset uint64, value uint32)

//go:wasmimport extism:host/env output_set
func outputSet(offset, size uint64)

func output(b string) int32 {
	at := alloc(uint64(len(b)))
	for i := range len(b) {
		store8(at+uint64(i), uint32(b[i]))
	}
	outputSet(at, uint64(len(b)))
	return 0
}

//go:wasmexport describe
func describe() int32 {
	return output(`{"name":"poller","version":"1.0.0","polls":[{"name":"items","every":"1h"}]}`)
}

//go:wasmexport poll
func poll() int32 {
	in := make([]byte, inputLength())
	for i := range in {
		in[i] = byte(inputLoad8(uint64(i)))
	}
	var envelope struct {
		Cursor int `json:"cursor"`
	}
	if err := json.Unmarshal(in, &envelope); err != nil {
		panic(err)
	}
	a, b := strconv.Itoa(envelope.Cursor), strconv.Itoa(envelope.Cursor+1)
	return output(`{"records":[{"key":"k` + a + `","data":` + a + `},{"key":"k` + b + `","data":` + b + `}],"cursor":` + b + `,"more":true}`)
}

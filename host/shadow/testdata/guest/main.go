// Command guest is a typed connector of which there are two versions: the second is
// the first with another marker. What the second does otherwise, its input says.
package main

import (
	"encoding/json"
	"strconv"
	"strings"
)

func main() {}

//go:wasmimport extism:host/env input_length
func inputLength() uint64

//go:wasmimport extism:host/env input_load_u8
func inputLoad8(offset uint64) uint32

//go:wasmimport extism:host/env alloc
func alloc(size uint64) uint64

//go:wasmimport extism:host/env length
func length(offset uint64) uint64

//go:wasmimport extism:host/env load_u8
func load8(offset uint64) uint32

//go:wasmimport extism:host/env store_u8
func store8(offset uint64, value uint32)

//go:wasmimport extism:host/env output_set
func outputSet(offset, size uint64)

//go:wasmimport extism:host/env error_set
func errorSet(offset uint64)

//go:wasmimport extism:host/user emit
func emit(request uint64) uint64

//go:wasmimport extism:host/user http
func http(request uint64) uint64

// marker is changed in the built module.
var marker = "guest version 1.0.0"

func version() string { return marker[len("guest version "):] }

func input() []byte {
	b := make([]byte, inputLength())
	for i := range b {
		b[i] = byte(inputLoad8(uint64(i)))
	}
	return b
}

func put(s string) uint64 {
	offset := alloc(uint64(len(s)))
	for i := range len(s) {
		store8(offset+uint64(i), uint32(s[i]))
	}
	return offset
}

func get(offset uint64) []byte {
	b := make([]byte, length(offset))
	for i := range b {
		b[i] = byte(load8(offset + uint64(i)))
	}
	return b
}

func output(s string) int32 {
	outputSet(put(s), uint64(len(s)))
	return 0
}

func fail(code, message string) int32 {
	errorSet(put(`{"code":` + strconv.Quote(code) + `,"message":` + strconv.Quote(message) + `}`))
	return 1
}

func send(method, url, body string) {
	get(http(put(`{"method":"` + method + `","url":` + strconv.Quote(url) + `,"body":` + strconv.Quote(body) + `}`)))
}

//go:wasmexport describe
func describe() int32 {
	return output(`{"name":"guest","version":"` + version() + `",
		"config":{"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object","properties":{"url":{"type":"string"}}},
		"actions":[{"name":"go"}],"egress":[{"host":"{config.url}","methods":["GET","POST"]}]}`)
}

//go:wasmexport action
func action() int32 {
	var envelope struct {
		Input struct {
			N int `json:"n"`
			// New is what the second version does otherwise.
			New string `json:"new"`
		} `json:"input"`
		Config struct {
			URL string `json:"url"`
		} `json:"config"`
	}
	if err := json.Unmarshal(input(), &envelope); err != nil {
		panic(err)
	}
	n, url, otherwise := strconv.Itoa(envelope.Input.N), envelope.Config.URL, envelope.Input.New
	if version() == "1.0.0" {
		if otherwise != "mends" {
			otherwise = ""
		}
	}
	switch otherwise {
	case "moves":
		send("GET", url+"/v2/items/"+n, "")
	case "forgets":
	default:
		send("GET", url+"/items/"+n, "")
	}
	title := "first"
	switch otherwise {
	case "retitles":
		title = "second"
	case "raises":
		return fail("unreadable", "cannot read item "+n)
	case "burns":
		for i := range 100_000 {
			title = strings.Repeat("first", 1+i%1)
		}
	}
	send("POST", url+"/items", `{"n":`+n+`,"title":"`+title+`"}`)
	if otherwise == "mends" && version() == "1.0.0" {
		return fail("contract_changed", "item "+n+" has no price")
	}
	if otherwise == "looks" {
		send("GET", url+"/prices/"+n, "")
	}
	record, total := n, n
	switch otherwise {
	case "emits":
		record = "0"
	case "miscounts":
		total = "-" + n
	}
	get(emit(put(`{"name":"item","key":"` + n + `","data":{"n":` + record + `}}`)))
	return output(`{"items":[{"n":` + n + `,"total":` + total + `}],"ok":true}`)
}

// Command canary is a typed connector that makes the calls that its input names, and
// tells everybody of the answers: its output, its log, its state, a record, an error.
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

//go:wasmimport extism:host/user state_set
func stateSet(request uint64) uint64

//go:wasmimport extism:host/user emit
func emit(request uint64) uint64

//go:wasmimport extism:host/user tag
func tag(request uint64) uint64

//go:wasmimport extism:host/user log
func log(request uint64) uint64

//go:wasmimport extism:host/user http
func http(request uint64) uint64

//go:wasmimport extism:host/user sign
func sign(request uint64) uint64

var functions = map[string]func(uint64) uint64{
	"state_set": stateSet, "emit": emit, "tag": tag, "log": log, "http": http, "sign": sign,
}

func input() []byte {
	b := make([]byte, inputLength())
	for i := range b {
		b[i] = byte(inputLoad8(uint64(i)))
	}
	return b
}

func put(s []byte) uint64 {
	offset := alloc(uint64(len(s)))
	for i, c := range s {
		store8(offset+uint64(i), uint32(c))
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

const manifest = `{"name":"canary","version":"1.0.0",
	"config":{"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object","properties":{"url":{"type":"string"},"note":{"type":"string"}}},
	"actions":[{"name":"go"}],"webhooks":[{"name":"hook","scheme":"github"}],"polls":[{"name":"feed","every":"24h"}],
	"connections":[
		{"name":"bearer","type":"bearer","hosts":["{config.url}"],"fields":{"type":"object","properties":{"account":{"type":"string"}}}},
		{"name":"basic","type":"basic","hosts":["{config.url}"]},
		{"name":"header","type":"api_key","header":"X-Api-Key","hosts":["{config.url}"]},
		{"name":"query","type":"api_key","query":"api_key","hosts":["{config.url}"]},
		{"name":"hmac","type":"hmac","header":"X-Signature","hosts":["{config.url}"],"sign":["hmac-sha256","HS256"]},
		{"name":"private","type":"private_key","hosts":["{config.url}"],"sign":["ES256"]},
		{"name":"aws","type":"aws_sigv4","hosts":["{config.url}"],"sign":["aws-sigv4"]},
		{"name":"mtls","type":"client_certificate","hosts":["{config.url}"]}],
	"egress":[{"host":"{config.url}","methods":["GET","POST","PUT"]}]}`

//go:wasmexport describe
func describe() int32 { return output([]byte(manifest)) }

// script says what to do.
type script struct {
	Steps []step `json:"steps"`
	// Fail is an error's code: its message is the last answer.
	Fail string `json:"fail"`
	// Panic has it panic with the last answer.
	Panic bool `json:"panic"`
}

// step is a call to make. A status of 500 and above makes the run end, and go on again.
type step struct {
	Func    string          `json:"func"`
	Request json.RawMessage `json:"request"`
}

//go:wasmexport action
func action() int32 {
	var envelope struct {
		Input script `json:"input"`
	}
	decode(input(), &envelope)
	return envelope.Input.run()
}

//go:wasmexport webhook
func webhook() int32 {
	var envelope struct {
		Request struct {
			Body string `json:"body"`
		} `json:"request"`
	}
	decode(input(), &envelope)
	var s script
	decode([]byte(envelope.Request.Body), &s)
	return s.run()
}

// poll has a cursor of what it is told.
//
//go:wasmexport poll
func poll() int32 {
	var envelope struct {
		Config struct {
			URL string `json:"url"`
		} `json:"config"`
	}
	decode(input(), &envelope)
	answer := ask("http", []byte(`{"connection":"bearer","method":"GET","url":`+strconv.Quote(envelope.Config.URL+"/feed")+`}`))
	return output([]byte(`{"records":[{"key":"polled","data":` + string(answer) + `}],"cursor":` + string(answer) + `,"more":false}`))
}

func (s script) run() int32 {
	answers := []json.RawMessage{}
	last := []byte("nothing")
	for _, step := range s.Steps {
		last = ask(step.Func, step.Request)
		tell(last)
		answers = append(answers, last)
		var a struct {
			Result struct {
				Status int `json:"status"`
			} `json:"result"`
		}
		decode(last, &a)
		if a.Result.Status >= 500 {
			return fail("upstream_unavailable", last)
		}
	}
	if s.Panic {
		panic(string(last))
	}
	if s.Fail != "" {
		return fail(s.Fail, last)
	}
	doc, err := json.Marshal(answers)
	if err != nil {
		panic(err)
	}
	return output(doc)
}

// tell logs an answer, and keeps it.
func tell(answer []byte) {
	for _, level := range []string{"debug", "error"} {
		ask("log", []byte(`{"level":"`+level+`","message":`+quote(answer)+`,"fields":{"answer":`+string(answer)+`}}`))
	}
	ask("state_set", []byte(`{"key":"last","value":`+string(answer)+`}`))
	ask("emit", []byte(`{"name":"answer","data":`+string(answer)+`}`))
}

func ask(name string, request []byte) []byte { return get(functions[name](put(request))) }

func output(b []byte) int32 {
	outputSet(put(b), uint64(len(b)))
	return 0
}

func fail(code string, answer []byte) int32 {
	errorSet(put([]byte(`{"code":"` + code + `","message":` + quote(answer) + `,"details":{"answer":` + string(answer) + `},"retry_after_ms":1}`)))
	return 1
}

func quote(b []byte) string {
	doc, err := json.Marshal(string(b))
	if err != nil {
		panic(err)
	}
	return string(doc)
}

func decode(doc []byte, into any) {
	if err := json.Unmarshal(doc, into); err != nil {
		panic(err)
	}
}

// Command journal is a typed connector that makes the calls that its input names,
// one after the other, and gives up at the first that fails.
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

//go:wasmimport extism:host/user state_get
func stateGet(request uint64) uint64

//go:wasmimport extism:host/user state_set
func stateSet(request uint64) uint64

//go:wasmimport extism:host/user state_cas
func stateCAS(request uint64) uint64

//go:wasmimport extism:host/user state_add
func stateAdd(request uint64) uint64

//go:wasmimport extism:host/user emit
func emit(request uint64) uint64

//go:wasmimport extism:host/user sleep
func sleep(request uint64) uint64

//go:wasmimport extism:host/user http
func http(request uint64) uint64

//go:wasmimport extism:host/user probe
func probe(request uint64) uint64

var functions = map[string]func(uint64) uint64{
	"state_get": stateGet, "state_set": stateSet, "state_cas": stateCAS, "state_add": stateAdd,
	"emit": emit, "sleep": sleep, "http": http, "probe": probe,
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

// The URL's of the configuration are where keys are honoured, and where they are not.
const manifest = `{"name":"journal","version":"1.0.0",
	"config":{"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object","properties":{"keyed":{"type":"string"},"plain":{"type":"string"}}},
	"actions":[{"name":"go"}],"connections":[{"name":"party","type":"bearer","hosts":["{config.plain}","{config.keyed}"]}],
	"egress":[{"host":"{config.keyed}","methods":["GET","POST"]},{"host":"{config.plain}","methods":["GET","POST"]}],
	"idempotency":[{"host":"{config.keyed}","header":"Idempotency-Key","ttl":"24h"}]}`

//go:wasmexport describe
func describe() int32 {
	outputSet(put([]byte(manifest)), uint64(len(manifest)))
	return 0
}

// step is a call to make.
type step struct {
	Func    string          `json:"func"`
	Request json.RawMessage `json:"request"`
	// Tolerate goes on whatever is answered.
	Tolerate bool `json:"tolerate"`
	// Each takes the answer for a list of effects, and POSTs each to this URL.
	Each string `json:"each"`
}

// failure is an error as the host takes it.
type failure struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

// answer is what the host answers; of an http result the rest.
type answer struct {
	Error  *failure `json:"error"`
	Result struct {
		Status int    `json:"status"`
		Body   string `json:"body"`
	} `json:"result"`
}

//go:wasmexport action
func action() int32 {
	var envelope struct {
		Input []step `json:"input"`
	}
	if err := json.Unmarshal(input(), &envelope); err != nil {
		panic(err)
	}
	answers := []json.RawMessage{}
	for _, s := range envelope.Input {
		raw, failed := s.make()
		if failed != nil {
			doc, err := json.Marshal(failed)
			if err != nil {
				panic(err)
			}
			errorSet(put(doc))
			return 1
		}
		answers = append(answers, raw...)
	}
	doc, err := json.Marshal(answers)
	if err != nil {
		panic(err)
	}
	outputSet(put(doc), uint64(len(doc)))
	return 0
}

func (s step) make() ([]json.RawMessage, *failure) {
	raw := get(functions[s.Func](put(s.Request)))
	var a answer
	if err := json.Unmarshal(raw, &a); err != nil {
		panic(err)
	}
	if f := a.failure(); f != nil && !s.Tolerate {
		return nil, f
	}
	all := []json.RawMessage{raw}
	if s.Each == "" {
		return all, nil
	}
	var effects []string
	if err := json.Unmarshal([]byte(a.Result.Body), &effects); err != nil {
		panic(err)
	}
	for _, id := range effects {
		body := strconv.Quote(`{"effect":` + strconv.Quote(id) + `}`)
		next, failed := step{Func: "http", Request: json.RawMessage(`{"method":"POST","url":` + strconv.Quote(s.Each) + `,"body":` + body + `}`)}.make()
		if failed != nil {
			return nil, failed
		}
		all = append(all, next...)
	}
	return all, nil
}

// failure is what the codes of HTTP mean to most.
func (a answer) failure() *failure {
	message := "the answer is " + strconv.Itoa(a.Result.Status)
	switch status := a.Result.Status; {
	case a.Error != nil && (a.Error.Code == "network" || a.Error.Code == "timeout" || a.Error.Code == "denied"):
		return a.Error
	case a.Error != nil:
		return &failure{"plugin_bug", a.Error.Code + ": " + a.Error.Message}
	case status == 429:
		return &failure{"rate_limited", message}
	case status >= 500:
		return &failure{"upstream_unavailable", message}
	case status >= 400:
		return &failure{"contract_changed", message}
	default:
		return nil
	}
}

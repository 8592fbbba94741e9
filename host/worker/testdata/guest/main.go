// Command guest is a typed connector that does what its input says.
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

//go:wasmimport extism:host/user state_get
func stateGet(request uint64) uint64

//go:wasmimport extism:host/user state_set
func stateSet(request uint64) uint64

//go:wasmimport extism:host/user state_add
func stateAdd(request uint64) uint64

//go:wasmimport extism:host/user emit
func emit(request uint64) uint64

//go:wasmimport extism:host/user tag
func tag(request uint64) uint64

//go:wasmimport extism:host/user log
func log(request uint64) uint64

//go:wasmimport extism:host/user http
func http(request uint64) uint64

//go:wasmimport extism:host/user sleep
func sleep(request uint64) uint64

//go:wasmimport extism:host/user probe
func probe(request uint64) uint64

var functions = map[string]func(uint64) uint64{
	"state_get": stateGet, "state_set": stateSet, "state_add": stateAdd,
	"emit": emit, "tag": tag, "log": log, "http": http, "probe": probe, "sleep": sleep,
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

func ask(name string, request []byte) json.RawMessage { return get(functions[name](put(request))) }

func output(b []byte) int32 {
	outputSet(put(b), uint64(len(b)))
	return 0
}

// script is the input of an action: calls to make, and how to end.
type script struct {
	Calls []struct {
		Func    string          `json:"func"`
		Request json.RawMessage `json:"request"`
		// Must be in the answer, or else this is the error.
		Must string          `json:"must"`
		Else json.RawMessage `json:"else"`
	} `json:"calls"`
	// Count reads the number under the key, calls probe, and writes one more.
	Count string          `json:"count"`
	Fail  json.RawMessage `json:"fail"`
	Raw   string          `json:"raw"`
}

//go:wasmexport action
func action() int32 {
	raw := input()
	var envelope struct {
		Action     string          `json:"action"`
		Input      script          `json:"input"`
		Checkpoint json.RawMessage `json:"checkpoint"`
		Config     struct {
			InsteadOfA string `json:"instead_of_a"`
		} `json:"config"`
	}
	if err := json.Unmarshal(raw, &envelope); err != nil {
		panic(err)
	}
	if envelope.Action == "echo" {
		return output(raw)
	}
	answers := []json.RawMessage{}
	for _, c := range envelope.Input.Calls {
		if c.Func == "sleep" && len(envelope.Checkpoint) > 0 {
			answers = append(answers, envelope.Checkpoint)
			continue
		}
		if other := envelope.Config.InsteadOfA; other != "" {
			c.Request = []byte(strings.Replace(string(c.Request), `"name":"a"`, `"name":"`+other+`"`, 1))
		}
		answer := ask(c.Func, c.Request)
		if !strings.Contains(string(answer), c.Must) {
			errorSet(put(c.Else))
			return 1
		}
		answers = append(answers, answer)
	}
	if key := envelope.Input.Count; key != "" {
		answers = append(answers, count(key))
	}
	if len(envelope.Input.Fail) > 0 {
		errorSet(put(envelope.Input.Fail))
		return 1
	}
	if envelope.Input.Raw != "" {
		return output([]byte{0xff, 0x00, 0x01})
	}
	doc, err := json.Marshal(answers)
	if err != nil {
		panic(err)
	}
	return output(doc)
}

func count(key string) json.RawMessage {
	name := `{"key":` + strconv.Quote(key) + `}`
	var got struct {
		Result struct{ Value int }
	}
	if err := json.Unmarshal(ask("state_get", []byte(name)), &got); err != nil {
		panic(err)
	}
	ask("probe", []byte(name))
	next := strconv.Itoa(got.Result.Value + 1)
	ask("state_set", []byte(`{"key":`+strconv.Quote(key)+`,"value":`+next+`}`))
	return json.RawMessage(next)
}

// webhook and test give their envelope back.
//
//go:wasmexport webhook
func webhook() int32 { return output(input()) }

//go:wasmexport test
func test() int32 { return output(input()) }

// poll gives two records, one of which it gave before, and counts on the cursor.
//
//go:wasmexport poll
func poll() int32 {
	var envelope struct {
		Poll   string `json:"poll"`
		Cursor *int   `json:"cursor"`
	}
	if err := json.Unmarshal(input(), &envelope); err != nil {
		panic(err)
	}
	if envelope.Poll == "broken" {
		return output([]byte(`{"records":[{"key":"` + strings.Repeat("x", 600) + `","data":1}]}`))
	}
	at := 0
	if envelope.Cursor != nil {
		at = *envelope.Cursor
	}
	a, b := strconv.Itoa(at), strconv.Itoa(at+1)
	return output([]byte(`{"records":[{"key":"k` + a + `","data":{"n":` + a + `}},{"key":"k` + b + `","data":{"n":` + b + `}}],"cursor":` + b + `,"more":true}`))
}

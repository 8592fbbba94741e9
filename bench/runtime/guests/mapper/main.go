// Command mapper is a guest that maps an order in JSON to another shape of it, as
// connectors do. It speaks the Extism ABI and nothing else, so that go-sdk runs
// it too.
package main

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"
)

func main() {}

type order struct {
	ID       string    `json:"id"`
	At       time.Time `json:"at"`
	Customer struct {
		First, Last, Email string
	} `json:"customer"`
	Lines []struct {
		SKU        string            `json:"sku"`
		Quantity   int               `json:"quantity"`
		Price      float64           `json:"price"`
		Attributes map[string]string `json:"attributes"`
	} `json:"lines"`
}

type invoice struct {
	Number string           `json:"number"`
	Due    int64            `json:"due"`
	Name   string           `json:"name"`
	Email  string           `json:"email"`
	Cents  int64            `json:"cents"`
	Items  []map[string]any `json:"items"`
}

// transform maps its input.
//
//go:wasmexport transform
func transform() int32 {
	return answer(mapped(input()))
}

// hold maps its input, then asks the host, which may take its time to answer: a
// sandbox that is alive and waits.
//
//go:wasmexport hold
func hold() int32 {
	output, err := mapped(input())
	wait(put([]byte("{}")))
	return answer(output, err)
}

// spin runs until it is stopped.
//
//go:wasmexport spin
func spin() int32 {
	for x := uint32(1); ; x = x*3 | 1 {
		if x == 0 {
			return 1
		}
	}
}

// warmup runs before the snapshot that calls start from.
//
//go:wasmexport warmup
func warmup() int32 {
	for range 3 {
		if code := sample(); code != 0 {
			return code
		}
	}
	return 0
}

// sample maps an order that needs no host.
//
//go:wasmexport sample
func sample() int32 {
	const document = `{"id":"1","at":"2026-01-02T03:04:05Z","customer":{"First":"A","Last":"B","Email":"a@example.com"},
		"lines":[{"sku":"a","quantity":1,"price":1.5,"attributes":{"b":"c"}},{"sku":"d","quantity":1,"price":2},
		{"sku":"e","quantity":10,"price":2.25,"attributes":{"b":"c","f":"g"}}]}`
	if _, err := mapped([]byte(document)); err != nil {
		return 1
	}
	return 0
}

func mapped(document []byte) ([]byte, error) {
	var in order
	if err := json.Unmarshal(document, &in); err != nil {
		return nil, err
	}
	out := invoice{
		Number: "X-" + in.ID,
		Due:    in.At.AddDate(0, 0, 14).Unix(),
		Name:   strings.TrimSpace(in.Customer.First + " " + in.Customer.Last),
		Email:  strings.ToLower(in.Customer.Email),
	}
	for i, l := range in.Lines {
		cents := int64(l.Price*100 + .5)
		out.Cents += int64(l.Quantity) * cents
		out.Items = append(out.Items, map[string]any{
			"line": strconv.Itoa(i + 1), "code": l.SKU, "cents": cents, "attributes": l.Attributes,
		})
	}
	return json.Marshal(out)
}

func answer(output []byte, err error) int32 {
	if err != nil {
		errorSet(put([]byte(err.Error())))
		return 1
	}
	outputSet(put(output), uint64(len(output)))
	return 0
}

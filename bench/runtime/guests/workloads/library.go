package main

import (
	"bytes"
	"compress/flate"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"io"
	"regexp"
	"strconv"
	"strings"
)

// hash hashes 16 KiB.
//
//go:wasmexport sha256
func hash(n int32) int64 {
	input := make([]byte, 16<<10)
	for range n {
		sum := sha256.Sum256(input)
		copy(input, sum[:])
	}
	return int64(binary.LittleEndian.Uint64(input))
}

type order struct {
	ID    string            `json:"id"`
	Total float64           `json:"total"`
	Tags  map[string]string `json:"tags"`
	Lines []line            `json:"lines"`
}

type line struct {
	SKU      string `json:"sku"`
	Quantity int    `json:"quantity"`
}

// mapping decodes an order of 20 lines, maps it and encodes it.
//
//go:wasmexport json
func mapping(n int32) int64 {
	o := order{ID: "1001", Total: 12.5, Tags: map[string]string{"a": "b", "c": "d\n\"e"}}
	for i := range 20 {
		o.Lines = append(o.Lines, line{SKU: "sku-" + strconv.Itoa(i), Quantity: i})
	}
	document, _ := json.Marshal(o)
	sum := int64(0)
	for range n {
		var in order
		if err := json.Unmarshal(document, &in); err != nil {
			return -1
		}
		out := map[string]any{"order": in.ID, "cents": int(in.Total * 100)}
		for _, l := range in.Lines {
			out[l.SKU] = l.Quantity
		}
		encoded, err := json.Marshal(out)
		if err != nil {
			return -1
		}
		sum += int64(len(encoded))
	}
	return sum
}

// match finds addresses in 8 KiB of text.
//
//go:wasmexport regexp
func match(n int32) int64 {
	address := regexp.MustCompile(`([a-z0-9._]+)@([a-z0-9]+\.)+(com|org)`)
	text := strings.Repeat("Write to ada.lovelace@analytical.engine.org or, failing that, to nobody@all. ", 100)
	sum := int64(0)
	for range n {
		for _, found := range address.FindAllStringSubmatchIndex(text, -1) {
			sum += int64(found[1] - found[0])
		}
	}
	return sum
}

// compress deflates 32 KiB of text and inflates it again.
//
//go:wasmexport flate
func compress(n int32) int64 {
	random := rng(3)
	var text []byte
	for len(text) < 32<<10 {
		text = append(text, "event "...)
		text = strconv.AppendUint(text, random.next()%1000, 10)
		text = append(text, " delivered to tenant "...)
		text = strconv.AppendUint(text, random.next()%50, 10)
		text = append(text, '\n')
	}
	sum := int64(0)
	for range n {
		var packed bytes.Buffer
		w, err := flate.NewWriter(&packed, flate.DefaultCompression)
		if err != nil {
			return -1
		}
		if _, err := w.Write(text); err != nil || w.Close() != nil {
			return -1
		}
		sum += int64(packed.Len())
		unpacked, err := io.ReadAll(flate.NewReader(&packed))
		if err != nil {
			return -1
		}
		sum += int64(len(unpacked))
	}
	return sum
}

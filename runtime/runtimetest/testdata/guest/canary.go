package main

import (
	"encoding/binary"
	"strconv"
	"strings"
	"unsafe"
)

// mask keeps the secret that search looks for out of the memory it looks in.
const mask = 0x5a3c_c3a5_0ff0_9669

var (
	kept    string
	byName  = map[string][]byte{}
	visitor = make(chan string, 8)
)

// plant keeps its input wherever a Go program keeps things, and asks with it.
//
//go:wasmexport plant
func plant() int32 {
	secret := input()
	kept = strings.Clone(secret)
	byName[secret] = []byte(secret + secret)
	visitor <- "x" + secret
	done := make(chan int)
	go func() { done <- deep(50, secret) }()
	<-done
	varSet(put("secret"), put(secret))
	get(stateGet(put(secret)))
	hoard = append(hoard, []byte(strings.Repeat(secret, 100)))
	return output(secret)
}

// deep has the secret in frames of the stack.
func deep(n int, secret string) int {
	var local [64]byte
	copy(local[n%32:], secret)
	if n == 0 {
		return int(local[0])
	}
	return deep(n-1, secret) + int(local[n])
}

// search looks for the words of its input, which are masked, in all of its
// memory, and outputs how many it found, what a variable has, and what is kept.
//
//go:wasmexport search
func search() int32 {
	masked := []byte(input())
	return output(strconv.Itoa(look(masked)) + " " + get(varGet(put("secret"))) + " " + kept +
		strconv.Itoa(len(byName)+len(visitor)+len(hoard)))
}

// both plants, then looks for it: it has to find something.
//
//go:wasmexport both
func both() int32 {
	plant()
	masked := []byte(input())
	for i := 0; i < len(masked); i += 8 {
		binary.LittleEndian.PutUint64(masked[i:], binary.LittleEndian.Uint64(masked[i:])^mask)
	}
	return output(strconv.Itoa(look(masked)))
}

func look(masked []byte) (found int) {
	var words [4]uint64
	for i := range words {
		words[i] = binary.LittleEndian.Uint64(masked[8*i:])
	}
	end := uintptr(memorySize()) << 16
	for at := uintptr(8); at < end; at += 8 {
		// Masked before anything is kept of it, so that this itself is not found.
		v := *(*uint64)(unsafe.Pointer(at)) ^ mask
		if v == words[0] || v == words[1] || v == words[2] || v == words[3] {
			found++
		}
	}
	return found
}

// memorySize is how many pages of 64 KiB there are.
func memorySize() int32

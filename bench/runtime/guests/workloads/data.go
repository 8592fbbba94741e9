package main

import (
	"slices"
	"strconv"
	"strings"
)

// sorts orders 4,096 numbers by a function: comparisons through a closure.
//
//go:wasmexport sort
func sorts(n int32) int64 {
	sum := int64(0)
	random := rng(1)
	numbers := make([]uint64, 4096)
	for range n {
		for i := range numbers {
			numbers[i] = random.next()
		}
		slices.SortFunc(numbers, func(a, b uint64) int {
			switch {
			case a < b:
				return -1
			case a > b:
				return 1
			default:
				return 0
			}
		})
		sum += int64(numbers[len(numbers)/2])
	}
	return sum
}

// text builds 2,000 lines and takes them apart again.
//
//go:wasmexport strings
func text(n int32) int64 {
	sum := int64(0)
	for range n {
		var b strings.Builder
		for i := range 2000 {
			b.WriteString("order-")
			b.WriteString(strconv.Itoa(i * 7919))
			b.WriteString(";")
		}
		for _, part := range strings.Split(strings.ToUpper(b.String()), ";") {
			sum += int64(len(part))
			if strings.Contains(part, "77") {
				sum++
			}
		}
	}
	return sum
}

// maps inserts, finds and deletes 2,000 keys.
//
//go:wasmexport maps
func maps(n int32) int64 {
	sum := int64(0)
	random := rng(2)
	for range n {
		m := map[uint64]int{}
		for i := range 2000 {
			m[random.next()%4096] = i
		}
		for i := range uint64(4096) {
			if v, ok := m[i]; ok && v%2 == 0 {
				delete(m, i)
				sum += int64(v)
			}
		}
		sum += int64(len(m))
	}
	return sum
}

// copies moves 1 MiB in pieces of 16 bytes to 64 KiB: bulk operations of all
// sizes.
//
//go:wasmexport copy
func copies(n int32) int64 {
	buffer := make([]byte, 1<<17)
	for i := range buffer {
		buffer[i] = byte(i)
	}
	for range n {
		for size := 16; size <= 1<<16; size *= 4 {
			for at := 0; at < 1<<18; at += size {
				from, to := at%(1<<16), (at*7+5)%(1<<16)
				copy(buffer[to:to+size], buffer[from:from+size])
			}
		}
	}
	sum := int64(0)
	for _, b := range buffer {
		sum = sum*31 + int64(b)
	}
	return sum
}

type tree struct{ left, right *tree }

// trees builds binary trees and drops them: the allocator and the collector.
//
//go:wasmexport trees
func trees(n int32) int64 {
	sum := int64(0)
	for range n {
		sum += int64(grown(11).count())
	}
	return sum
}

func grown(depth int) *tree {
	if depth == 0 {
		return &tree{}
	}
	return &tree{left: grown(depth - 1), right: grown(depth - 1)}
}

func (t *tree) count() int {
	if t.left == nil {
		return 1
	}
	return 1 + t.left.count() + t.right.count()
}

// program is for a machine of four instructions: it sums the numbers below 1,000.
var program = []int32{
	0, 1, // push 1
	1, 0, // add to a
	2, 1000, // less than
	3, 0, // jump when less
}

// interpreter runs a loop on a machine of its own: a switch in a loop, which
// becomes a br_table.
//
//go:wasmexport interpreter
func interpreter(n int32) int64 {
	sum := int64(0)
	for range n {
		var a, top, less int32
		for at := 0; at < len(program); at += 2 {
			operand := program[at+1]
			switch program[at] {
			case 0:
				top = operand
			case 1:
				a += top
			case 2:
				less = 0
				if a < operand {
					less = 1
				}
			case 3:
				if less == 1 {
					at = int(operand) - 2
				}
			}
			sum += int64(a)
		}
	}
	return sum
}

// channels passes numbers through two goroutines: the guest's own scheduler.
//
//go:wasmexport channels
func channels(n int32) int64 {
	sum := int64(0)
	for range n {
		numbers, squares := make(chan int64), make(chan int64)
		go func() {
			for i := range int64(500) {
				numbers <- i
			}
			close(numbers)
		}()
		go func() {
			for i := range numbers {
				squares <- i * i
			}
			close(squares)
		}()
		for s := range squares {
			sum += s
		}
	}
	return sum
}

// Package main is what the benchmark of metering runs: exports that take how
// often to run, and return something that depends on all of it.
package main

import (
	"bytes"
	"compress/flate"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

func main() {}

//go:wasmexport fib
func fib(n int32) int32 { return int32(fibonacci(int(n))) }

func fibonacci(n int) int {
	if n < 2 {
		return n
	}
	return fibonacci(n-1) + fibonacci(n-2)
}

//go:wasmexport sieve
func sieve(rounds int32) int32 {
	count := 0
	for range rounds {
		composite := make([]bool, 200_000)
		for i := 2; i < len(composite); i++ {
			if composite[i] {
				continue
			}
			count++
			for j := 2 * i; j < len(composite); j += i {
				composite[j] = true
			}
		}
	}
	return int32(count)
}

//go:wasmexport matrix
func matrix(rounds int32) int32 {
	const n = 96
	var a, b, c [n][n]float64
	for i := range n {
		for j := range n {
			a[i][j], b[i][j] = float64(i+j), float64(i-j)
		}
	}
	for range rounds {
		for i := range n {
			for j := range n {
				sum := 0.0
				for k := range n {
					sum += a[i][k] * b[k][j]
				}
				c[i][j] += sum
			}
		}
	}
	return int32(int64(c[3][5]) & 0xffff)
}

//go:wasmexport hash
func hash(rounds int32) int32 {
	data := make([]byte, 16<<10)
	for range rounds {
		sum := sha256.Sum256(data)
		copy(data, sum[:])
	}
	return int32(binary.LittleEndian.Uint32(data))
}

type order struct {
	ID    int               `json:"id"`
	Name  string            `json:"name"`
	Tags  []string          `json:"tags"`
	Lines []line            `json:"lines"`
	Meta  map[string]string `json:"meta"`
}

type line struct {
	SKU   string  `json:"sku"`
	Count int     `json:"count"`
	Price float64 `json:"price"`
}

//go:wasmexport jsons
func jsons(rounds int32) int32 {
	o := order{ID: 1, Name: "an order", Tags: []string{"a", "b"}, Meta: map[string]string{"k": "v", "l": "w"}}
	for i := range 10 {
		o.Lines = append(o.Lines, line{SKU: "sku-" + strconv.Itoa(i), Count: i, Price: float64(i) * 1.25})
	}
	total := 0
	for range rounds {
		b, err := json.Marshal(o)
		if err != nil {
			return -1
		}
		var back order
		if json.Unmarshal(b, &back) != nil {
			return -1
		}
		total += len(b) + len(back.Lines)
	}
	return int32(total)
}

//go:wasmexport deflate
func deflate(rounds int32) int32 {
	text := bytes.Repeat([]byte("the quick brown fox jumps over the lazy dog; "), 400)
	total := 0
	for range rounds {
		var packed bytes.Buffer
		w, _ := flate.NewWriter(&packed, flate.DefaultCompression)
		w.Write(text)
		w.Close()
		n, _ := io.Copy(io.Discard, flate.NewReader(&packed))
		total += packed.Len() + int(n)
	}
	return int32(total)
}

//go:wasmexport match
func match(rounds int32) int32 {
	re := regexp.MustCompile(`(\w+)@(\w+)\.com`)
	text := strings.Repeat("someone wrote to anybody@example.com and to nobody ", 50)
	total := 0
	for range rounds {
		total += len(re.FindAllStringIndex(text, -1))
	}
	return int32(total)
}

//go:wasmexport sorts
func sorts(rounds int32) int32 {
	total := 0
	for r := range rounds {
		values := make([]int, 20_000)
		x := uint32(r + 1)
		for i := range values {
			x = x*1664525 + 1013904223
			values[i] = int(x >> 8)
		}
		slices.Sort(values)
		total += values[len(values)/2]
	}
	return int32(total)
}

//go:wasmexport maps
func maps(rounds int32) int32 {
	total := 0
	for range rounds {
		m := make(map[int]int)
		for i := range 20_000 {
			m[i*7919%10_007] += i
		}
		total += len(m) + m[5]
	}
	return int32(total)
}

//go:wasmexport build
func build(rounds int32) int32 {
	total := 0
	for range rounds {
		var b strings.Builder
		for i := range 5_000 {
			b.WriteString(strconv.Itoa(i))
			b.WriteByte(',')
		}
		total += len(strings.Split(strings.ToUpper(b.String()), ","))
	}
	return int32(total)
}

// interpret runs a program of a toy machine.
//
//go:wasmexport interpret
func interpret(rounds int32) int32 {
	program := []byte{0, 1, 2, 3, 1, 0, 2, 4}
	acc, x, y := 1, 2, 3
	for range int(rounds) * 10_000 {
		for _, op := range program {
			switch op {
			case 0:
				acc += x
			case 1:
				x ^= acc
			case 2:
				y = acc*y + 1
			case 3:
				acc -= y >> 3
			default:
				x, y = y, x
			}
		}
	}
	return int32(acc ^ x ^ y)
}

// copies moves blocks of many sizes.
//
//go:wasmexport copies
func copies(rounds int32) int32 {
	from, to := make([]byte, 1<<20), make([]byte, 1<<20)
	for r := range rounds {
		for size := 16; size <= 1<<20; size *= 4 {
			from[size-1] = byte(r)
			copy(to, from[:size])
		}
	}
	return int32(to[15]) + int32(to[1<<20-1])
}

type shape interface{ area() int }

type (
	square struct{ side int }
	oblong struct{ a, b int }
)

func (s *square) area() int { return s.side * s.side }
func (o *oblong) area() int { return o.a * o.b }

// dispatch calls methods through an interface.
//
//go:wasmexport dispatch
func dispatch(rounds int32) int32 {
	shapes := make([]shape, 1000)
	for i := range shapes {
		if i%3 == 0 {
			shapes[i] = &square{i}
		} else {
			shapes[i] = &oblong{i, 3}
		}
	}
	total := 0
	for range rounds {
		for _, s := range shapes {
			total += s.area()
		}
	}
	return int32(total)
}

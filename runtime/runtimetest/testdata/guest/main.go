// Command guest has an export for each thing that a guest does.
package main

import (
	crand "crypto/rand"
	"encoding/hex"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

var (
	started = time.Now()
	count   int
	hoard   [][]byte
)

func main() {}

//go:wasmexport echo
func echo() int32 { return output(input()) }

// count outputs how often this instance was called: 1, if every call is fresh.
//
//go:wasmexport count
func counts() int32 {
	count++
	n, _ := strconv.Atoi(get(varGet(put("n"))))
	varSet(put("n"), put(strconv.Itoa(n+1)))
	return output(strconv.Itoa(count) + " " + get(varGet(put("n"))))
}

// random outputs what crypto/rand, math/rand and a map's order give.
//
//go:wasmexport random
func random() int32 {
	b := make([]byte, 16)
	_, _ = crand.Read(b)
	set := map[int]bool{}
	for i := range 20 {
		set[i] = true
	}
	order := []string{}
	for i := range set {
		order = append(order, strconv.Itoa(i))
	}
	return output(hex.EncodeToString(b) + " " + strconv.FormatUint(rand.Uint64(), 16) + " " + strings.Join(order, ","))
}

// clock outputs the time, twice, and how long it took since the start.
//
//go:wasmexport clock
func clock() int32 {
	a := time.Now()
	for range 100_000 {
		count++
	}
	b := time.Now()
	stateGet(put(`{"key":"k"}`))
	c := time.Now()
	return output(strings.Join([]string{
		a.UTC().Format(time.RFC3339Nano), b.Sub(a).String(), c.UTC().Format(time.RFC3339Nano), c.Sub(started).String(),
	}, " "))
}

// sleep sleeps in two goroutines and outputs who woke in which order, and when.
//
//go:wasmexport sleep
func sleep() int32 {
	begin := time.Now()
	var wg sync.WaitGroup
	var mu sync.Mutex
	var woke []string
	for _, d := range []time.Duration{30 * time.Millisecond, 10 * time.Millisecond} {
		wg.Go(func() {
			time.Sleep(d)
			mu.Lock()
			defer mu.Unlock()
			woke = append(woke, d.String()+"@"+time.Since(begin).String())
		})
	}
	wg.Wait()
	return output(strings.Join(woke, " "))
}

// print writes its input to standard output, and a line without an end to
// standard error.
//
//go:wasmexport print
func prints() int32 {
	_, _ = os.Stdout.WriteString(input())
	_, _ = os.Stderr.WriteString("half a line")
	logWarn(put("from log_warn"))
	return 0
}

//go:wasmexport panics
func panics() int32 { panic("at the disco") }

//go:wasmexport exit
func exit() int32 {
	code, _ := strconv.Atoi(input())
	outputSet(put("bye"), 3)
	os.Exit(code)
	return 1
}

// hog keeps all memory that it can get.
//
//go:wasmexport hog
func hog() int32 {
	for {
		b := make([]byte, 1<<20)
		b[len(b)-1] = 1
		hoard = append(hoard, b)
	}
}

//go:wasmexport spin
func spin() int32 {
	for {
		count++
	}
}

//go:wasmexport config
func config() int32 { return output(get(configGet(put(input())))) }

// http sends a request with the input as its body and outputs status, headers
// and body.
//
//go:wasmexport http
func http() int32 {
	request := put(`{"url":"https://api.example.com/x","method":"post","headers":{"X-A":"1"}}`)
	body := uint64(0)
	if s := input(); s != "" {
		body = put(s)
	}
	response := httpRequest(request, body)
	free(request) // Extism's PDKs free again what the host has freed.
	return output(strconv.Itoa(int(httpStatusCode())) + " " + get(httpHeaders()) + " " + get(response))
}

//go:wasmexport ask
func ask() int32 { return output(get(stateGet(put(input())))) }

// fail sets its input as the error.
//
//go:wasmexport fail
func fail() int32 {
	errorSet(put(input()))
	return 1
}

// files outputs what opening a file, reading standard input and looking for
// arguments and environment give.
//
//go:wasmexport files
func files() int32 {
	_, err := os.Open("/etc/passwd")
	n, readErr := os.Stdin.Read(make([]byte, 8))
	return output(strings.Join([]string{
		err.Error(), strconv.Itoa(n), readErr.Error(), strconv.Itoa(len(os.Args)), strconv.Itoa(len(os.Environ())),
	}, "|"))
}

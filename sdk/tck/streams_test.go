package tck_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	goruntime "runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/hostfns"
	"github.com/cofferdam-run/cofferdam/hostfns/egress"
	"github.com/cofferdam-run/cofferdam/hostfns/journal"
	"github.com/cofferdam-run/cofferdam/hostfns/replay"
	"github.com/cofferdam-run/cofferdam/runtime"
	"github.com/cofferdam-run/cofferdam/runtime/runtimetest"
)

var streamMiB = flag.Int("stream.mib", 64, "how much passes through a sandbox of 64 MiB")

// depot is a server of zeros, which sums up what it is sent.
type depot struct {
	size int64
	got  atomic.Value // string
}

func (d *depot) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet {
		_, _ = io.CopyN(w, zeros{}, d.size)
		return
	}
	sum := sha256.New()
	n, err := io.Copy(sum, r.Body)
	d.got.Store(fmt.Sprintf("%d %x %v", n, sum.Sum(nil), err))
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// noLog is a journal.Log that keeps nothing.
type noLog struct{}

// Write implements journal.Log.
func (noLog) Write(context.Context, []journal.Entry) error { return nil }

// TestStreams has a guest with 64 MiB of memory pass more than that: down, from server
// to server, up, and down and up at once.
func TestStreams(t *testing.T) { //nolint:paralleltest // It measures the process.
	languages := guests()
	for _, language := range []string{"go", "ts"} { //nolint:paralleltest // It measures the process.
		t.Run(language, func(t *testing.T) {
			wasm := languages[language](t, "testdata/stream-"+language)
			streams(t, wasm, int64(*streamMiB)<<20)
		})
	}
}

func streams(t *testing.T, wasm []byte, size int64) {
	t.Helper()
	d := &depot{size: size}
	server := httptest.NewServer(d)
	t.Cleanup(server.Close)
	out := egress.New(egress.Config{AllowAddrs: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	t.Cleanup(out.Close)
	rt, err := runtime.New(t.Context(), runtime.Config{
		Functions: slices.Concat(builtIn, []string{"stream_close", "stream_finish", "stream_read", "stream_write"}),
		CacheDir:  runtimetest.CacheDir(t),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = rt.Close(t.Context()) })
	module, err := rt.Prepare(t.Context(), wasm, runtime.Limits{MemoryBytes: 64 << 20, Fuel: 1e12, Deadline: 10 * time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	sum, sha := crc32.NewIEEE(), sha256.New()
	_, _ = io.CopyN(io.MultiWriter(sum, sha), zeros{}, size)
	digest := hex.EncodeToString(sha.Sum(nil))
	for action, want := range map[string]struct{ output, got string }{
		"down":    {fmt.Sprintf(`{"bytes":%d,"sum":%d,"status":200}`, size, sum.Sum32()), ""},
		"across":  {`{"bytes":0,"status":200}`, fmt.Sprintf("%d %s <nil>", size, digest)},
		"up":      {fmt.Sprintf(`{"bytes":%d,"status":200}`, size), fmt.Sprintf("%d %s <nil>", size, digest)},
		"through": {fmt.Sprintf(`{"bytes":0,"sum":%d,"status":200}`, sum.Sum32()), fmt.Sprintf("%d %s <nil>", size, digest)},
	} {
		d.got.Store("")
		session := out.Session(egress.Permissions{Rules: []egress.Rule{{Host: strings.TrimPrefix(server.URL, "http://"), Methods: []string{"GET", "PUT"}}}})
		start := time.Now()
		j := journal.New(journal.Config{Start: start, Claim: 1, Execution: "exe_1", Log: noLog{}, Now: time.Now})
		gate := hostfns.NewGate(hostfns.GateConfig{Funcs: session.Funcs(), Journal: j.Outer, Layers: []hostfns.Layer{j.Inner}, Now: time.Now})
		input, err := json.Marshal(map[string]any{
			"action": action, "config": map[string]any{},
			"input": map[string]any{"from": server.URL + "/from", "to": server.URL + "/to", "bytes": size},
		})
		if err != nil {
			t.Fatal(err)
		}
		goruntime.GC()
		begun := time.Now()
		result, err := module.Call(t.Context(), runtime.Call{Export: "action", Input: input, Host: gate, World: runtime.World{Start: j.Start()}})
		session.Close()
		if err != nil {
			t.Fatalf("%s: %v", action, err)
		}
		t.Logf("%s: %d MiB in %s, %d fuel, %d MiB of memory, %d host calls, a journal of %d KiB", action, size>>20, time.Since(begun).Round(time.Millisecond),
			result.Usage.Fuel, result.Usage.MemoryBytes>>20, result.Usage.HostCalls, journalBytes(j)>>10)
		// TypeScript has no sum of its own: what it sends on says as much.
		told := strings.Replace(want.output, fmt.Sprintf(`"sum":%d,`, sum.Sum32()), "", 1)
		if got, _ := d.got.Load().(string); string(result.Output) != want.output && string(result.Output) != told || got != want.got {
			t.Errorf("%s: got %s and sent %s, want %s and %s", action, result.Output, got, want.output, want.got)
		}
		replayed(t, module, action == "down" || action == "through", replay.Recording{
			Export: "action", Input: input, Entries: j.Entries(), Outcome: replay.Succeeded, Output: result.Output, Fuel: result.Usage.Fuel,
			World: journal.World{Model: runtime.Model, Module: replay.DigestOf(wasm), Image: module.Facts().ImageDigest, Start: start},
		})
	}
}

// replayed runs it again offline. What was read is in no recording; what was written, or
// went from server to server, need not be.
func replayed(t *testing.T, m *runtime.Module, lacks bool, r replay.Recording) {
	t.Helper()
	report, err := replay.Run(t.Context(), m, r, replay.Options{})
	if err != nil {
		t.Fatal(err)
	}
	missing := replay.Streamed(r.Entries)
	if !lacks {
		if !report.Same() || len(missing) > 0 {
			t.Errorf("the replay differs: %+v; it lacks %v", report.Differences, missing)
		}
		return
	}
	if report.Lacks == nil || report.Verdict() != replay.CannotTell || report.Outcome != replay.Interrupted || len(report.Differences) != 1 {
		t.Errorf("the replay of what was read: %s, %+v, %+v", report.Outcome, report.Lacks, report.Differences)
	}
	if len(missing) != 1 || !strings.Contains(missing[0], "what was read of stream 1, entries 2 to") && !strings.Contains(missing[0], "what was read of stream 1, entries 3 to") {
		t.Errorf("it says that it lacks %q", missing)
	}
}

func journalBytes(j *journal.Journal) (n int) {
	for _, e := range j.Entries() {
		n += e.Size()
	}
	return n
}

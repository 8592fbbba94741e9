package replay_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/hostfns"
	"github.com/cofferdam-run/cofferdam/hostfns/egress"
	"github.com/cofferdam-run/cofferdam/hostfns/emit"
	"github.com/cofferdam-run/cofferdam/hostfns/guestlog"
	"github.com/cofferdam-run/cofferdam/hostfns/journal"
	"github.com/cofferdam-run/cofferdam/hostfns/replay"
	"github.com/cofferdam-run/cofferdam/hostfns/state"
	"github.com/cofferdam-run/cofferdam/runtime"
	"github.com/cofferdam-run/cofferdam/runtime/runtimetest"
)

// lab is where executions are recorded: a live host, with a server on the other
// side that never answers the same thing twice.
type lab struct {
	egress *egress.Egress
	url    string
	// asked counts the requests that came to the server, connected the connections.
	asked, connected *atomic.Int64
	stored           map[string]state.Entry
}

// credential is a secret that the lab puts on the wire, and that comes back.
const credential = "hunter2-hunter2-hunter2"

func newLab(t *testing.T) *lab {
	t.Helper()
	l := &lab{asked: new(atomic.Int64), connected: new(atomic.Int64), stored: map[string]state.Entry{}}
	server := httptest.NewUnstartedServer(http.HandlerFunc(l.serve))
	server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			l.connected.Add(1)
		}
	}
	server.Start()
	t.Cleanup(server.Close)
	l.egress = egress.New(egress.Config{AllowAddrs: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, CallsPerRun: 1000})
	t.Cleanup(l.egress.Close)
	l.url = server.URL
	return l
}

// Apply implements egress.Credentials.
func (l *lab) Apply(_ context.Context, _ string, r *http.Request) ([]string, error) {
	r.Header.Set("Authorization", "Bearer "+credential)
	return []string{credential}, nil
}

// Get implements state.Reader.
func (l *lab) Get(_ context.Context, key string) (state.Entry, error) {
	e := l.stored[key]
	e.Key = key
	return e, nil
}

// List implements state.Reader.
func (l *lab) List(_ context.Context, prefix, after string, limit int) ([]state.Entry, error) {
	var all []state.Entry
	for key, e := range l.stored {
		if strings.HasPrefix(key, prefix) && key > after {
			all = append(all, e)
		}
	}
	slices.SortFunc(all, func(a, b state.Entry) int { return strings.Compare(a.Key, b.Key) })
	return all[:min(limit, len(all))], nil
}

func (l *lab) serve(w http.ResponseWriter, r *http.Request) {
	n := l.asked.Add(1)
	switch {
	case strings.HasPrefix(r.URL.Path, "/busy"):
		w.WriteHeader(http.StatusTooManyRequests)
	case strings.HasPrefix(r.URL.Path, "/broken"):
		w.WriteHeader(http.StatusInternalServerError)
	case strings.HasPrefix(r.URL.Path, "/bytes"):
		fmt.Fprintf(w, "\xff\x00%d", n)
	case strings.HasPrefix(r.URL.Path, "/repos"):
		fmt.Fprintf(w, `[{"name":"label-%d"}]`, n)
	default:
		fmt.Fprintf(w, `{"n":%d,"echo":%q,"at":%q}`, n, r.Header.Get("Authorization"), time.Now().Format(time.RFC3339Nano))
	}
}

// commit does what the store does with the writes of a run that succeeded.
func (l *lab) commit(writes []state.Write) {
	for _, w := range writes {
		e := l.stored[w.Key]
		switch {
		case w.Delete:
			delete(l.stored, w.Key)
			continue
		case w.Value != nil:
			e.Value = w.Value
		default:
			var n int64
			_ = json.Unmarshal(e.Value, &n)
			e.Value = json.RawMessage(fmt.Sprint(n + w.Delta))
		}
		e.Key, e.Version = w.Key, e.Version+1
		l.stored[w.Key] = e
	}
}

// memory is a journal.Log.
type memory struct{}

// Write implements journal.Log.
func (memory) Write(context.Context, []journal.Entry) error { return nil }

// plugin is a module that can be run.
type plugin struct {
	*runtime.Module
	wasm   []byte
	digest string
}

func prepare(t *testing.T, wasm []byte) plugin {
	t.Helper()
	functions, err := replay.Functions(wasm)
	if err != nil {
		t.Fatal(err)
	}
	rt, err := runtime.New(t.Context(), runtime.Config{Functions: functions, CacheDir: runtimetest.CacheDir(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = rt.Close(context.WithoutCancel(t.Context())) })
	module, err := rt.Prepare(t.Context(), wasm, runtime.Limits{Deadline: 10 * time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	return plugin{Module: module, wasm: wasm, digest: replay.DigestOf(wasm)}
}

// scripted is a guest that makes the calls that its input lists.
func scripted(t *testing.T) plugin {
	t.Helper()
	return prepare(t, runtimetest.BuildGo(t, filepath.Join("..", "..", "host", "worker", "testdata", "guest")))
}

// script is an input of a scripted guest: calls are "func request".
func script(more string, calls ...string) []byte {
	var all []string
	for _, c := range calls {
		name, request, _ := strings.Cut(c, " ")
		all = append(all, fmt.Sprintf(`{"func":%q,"request":%s}`, name, request))
	}
	return fmt.Appendf(nil, `{"action":"run","input":{"calls":[%s]%s}}`, strings.Join(all, ","), more)
}

func get(url string) string {
	return fmt.Sprintf(`http {"method":"GET","url":%q,"connection":"crm"}`, url)
}

func post(url, body string) string {
	return fmt.Sprintf(`http {"method":"POST","url":%q,"connection":"crm","body":%q}`, url, body)
}

// record runs an export live, and gives what the host would export of it. $URL in
// its input is the server.
func (l *lab) record(t *testing.T, m plugin, export string, input []byte, config string) replay.Recording {
	t.Helper()
	input = bytes.ReplaceAll(input, []byte("$URL"), []byte(l.url))
	now := time.Now
	start := now()
	r := replay.Recording{
		Execution: "exe_1", Plugin: "guest", Version: "1.0.0", Kind: "action", Name: "run",
		Export: export, Input: input, Granted: []string{"probe"},
		World: journal.World{
			Model: runtime.Model, Module: m.digest, Image: m.Facts().ImageDigest,
			Seed: journal.Seed(journal.DigestOf(input)), Start: start, Config: json.RawMessage(config),
			Limits: runtime.Limits{Fuel: 2_000_000_000}, Attempt: 1,
		},
	}
	j := journal.New(journal.Config{Execution: "exe_1", Start: start, Claim: 1, Log: memory{}, Now: now})
	secrets := hostfns.NewRedactor()
	session := state.NewSession(state.Kept(l, j.Read), state.Limits{})
	lines := guestlog.New(guestlog.Config{Secrets: secrets, Now: now})
	kept := emit.New(emit.Limits{})
	way := l.egress.Session(egress.Permissions{
		Rules:       []egress.Rule{{Host: strings.TrimPrefix(l.url, "http://"), Methods: []string{"GET", "POST", "PUT"}}},
		Credentials: l, Secrets: secrets, Pool: "p",
	})
	gate := hostfns.NewGate(hostfns.GateConfig{
		Funcs: slices.Concat(session.Funcs(), lines.Funcs(), kept.Funcs(), way.Funcs(),
			[]hostfns.Func{hostfns.Sleep(now, time.After)}, embedded()),
		Granted: r.Granted, Journal: j.Outer, Layers: []hostfns.Layer{j.Inner}, Secrets: secrets, Now: now,
	})
	result, err := m.Call(t.Context(), runtime.Call{
		Export: export, Input: input, Host: gate, Limits: r.World.Limits,
		World: runtime.World{Seed: r.World.Seed, Start: j.Start(), Config: replay.ConfigStrings(r.World.Config)},
	})
	r.Entries, r.RecordedAt, r.Wall, r.Fuel = j.Entries(), now(), result.Usage.Wall, result.Usage.Fuel
	failure, failed := errors.AsType[*runtime.Failure](err)
	_, suspended := errors.AsType[*hostfns.Suspended](err)
	switch {
	case failed:
		r.Outcome, r.Error = replay.Failed, &replay.Error{Code: string(failure.Code), Message: failure.Message}
	case suspended:
		r.Outcome = replay.Suspended
	case err != nil:
		r.Outcome = replay.Interrupted
	default:
		r.Outcome, r.Output = replay.Succeeded, result.Output
		r.Left = replay.LeftOf(kept.Records(), kept.Tags(), session.Changes().Writes)
		l.commit(session.Changes().Writes)
	}
	return r
}

// embedded are the functions of an embedder: one asks outside, one computes.
func embedded() []hostfns.Func {
	return []hostfns.Func{{
		Name: "probe", Granted: true,
		Answer: func(context.Context, json.RawMessage) (any, error) { return time.Now().UnixNano(), nil },
	}, {
		Name: "double", Effect: hostfns.Always(hostfns.Computed),
		Answer: func(_ context.Context, raw json.RawMessage) (any, error) {
			n, err := hostfns.Decode[int](raw)
			return 2 * n, err
		},
	}}
}

// run replays, and fails the test if that cannot be done.
func run(t *testing.T, m plugin, r replay.Recording) *replay.Report {
	t.Helper()
	report, err := replay.Run(t.Context(), m.Module, r, replay.Options{Module: m.digest})
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// wantSame replays through a file, and wants all to be as it was.
func wantSame(t *testing.T, m plugin, r replay.Recording) *replay.Report {
	t.Helper()
	report := run(t, m, throughFile(t, r))
	if !report.Same() {
		t.Errorf("got %+v, want no differences", report.Differences)
	}
	return report
}

func throughFile(t *testing.T, r replay.Recording) replay.Recording {
	t.Helper()
	var file strings.Builder
	if err := replay.Write(&file, r); err != nil {
		t.Fatal(err)
	}
	got, err := replay.Read(strings.NewReader(file.String()))
	if err != nil {
		t.Fatal(err)
	}
	return got
}

package host_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/host"
	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/installation"
	"github.com/cofferdam-run/cofferdam/host/store"
	"github.com/cofferdam-run/cofferdam/host/tenant"
	"github.com/cofferdam-run/cofferdam/hostfns/egress"
	"github.com/cofferdam-run/cofferdam/registry"
	"github.com/cofferdam-run/cofferdam/runtime/runtimetest"
)

// asked is a request that has come to the third party.
type asked struct {
	method, path, effect, key string
	// raw is its line, headers and body, but for what differs between connections.
	raw string
	// n counts those of the same method and path, from 1.
	n int
}

// reply is what the third party does.
type reply struct {
	status int
	body   string
	// refused has no effect, silent no answer: the connection is closed instead.
	refused, silent bool
}

// party is a third party at two addresses, at one of which it honours idempotency
// keys. A POST has the effect that its body names.
type party struct {
	keyed, plain string
	// answer decides what becomes of a request; nil is that all is well.
	answer func(asked) reply

	mu  sync.Mutex
	got []asked
	had map[string]int
	// keys has the effect that each key came with first.
	keys map[string]string
}

func newParty(t *testing.T, answer func(asked) reply) *party {
	t.Helper()
	p := &party{answer: answer, had: map[string]int{}, keys: map[string]string{}}
	for honours, url := range map[bool]*string{true: &p.keyed, false: &p.plain} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { p.serve(w, r, honours) }))
		t.Cleanup(server.Close)
		*url = server.URL
	}
	return p
}

func (p *party) serve(w http.ResponseWriter, r *http.Request, honours bool) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	a := asked{method: r.Method, path: r.URL.Path, key: r.Header.Get("Idempotency-Key")}
	var named struct{ Effect string }
	if r.Method == http.MethodPost && json.Unmarshal(body, &named) == nil {
		a.effect = named.Effect
	}
	var raw strings.Builder
	fmt.Fprintf(&raw, "%s %s\n", r.Method, r.URL)
	_ = r.Header.Write(&raw)
	a.raw = raw.String() + string(body)
	does := p.take(&a, honours)
	switch {
	case does.silent:
		panic(http.ErrAbortHandler)
	case does.status == 0:
		does.status = http.StatusOK
	}
	w.WriteHeader(does.status)
	_, _ = io.WriteString(w, does.body)
}

func (p *party) take(a *asked, honours bool) (does reply) {
	p.mu.Lock()
	defer p.mu.Unlock()
	a.n = 1
	for _, b := range p.got {
		if b.method == a.method && b.path == a.path {
			a.n++
		}
	}
	p.got = append(p.got, *a)
	if p.answer != nil {
		does = p.answer(*a)
	}
	if a.effect == "" || does.refused {
		return does
	}
	if _, known := p.keys[a.key]; honours && known {
		return does
	}
	p.keys[a.key] = a.effect
	p.had[a.effect]++
	return does
}

// requests are those to a path, and all for an empty path.
func (p *party) requests(path string) []asked {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(p.got), func(a asked) bool { return path != "" && a.path != path })
}

func (p *party) times(effect string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.had[effect]
}

// step is one of the guest in testdata/journal.
type step struct {
	Func     string          `json:"func"`
	Request  json.RawMessage `json:"request"`
	Tolerate bool            `json:"tolerate,omitempty"`
	Each     string          `json:"each,omitempty"`
}

func get(url string) step {
	return step{Func: "http", Request: fmt.Appendf(nil, `{"method":"GET","url":%q}`, url)}
}

// post asks for an effect that is named as the last part of the URL.
func post(url string) step {
	effect := fmt.Sprintf(`{"effect":%q}`, url[strings.LastIndex(url, "/")+1:])
	return step{Func: "http", Request: fmt.Appendf(nil, `{"method":"POST","url":%q,"body":%q}`, url, effect)}
}

func call(function, request string) step {
	return step{Func: function, Request: json.RawMessage(request)}
}

// journaled is a Host that runs, with a tenant that has the guest installed for a party.
type journaled struct {
	*bundle

	db    store.Store
	party *party
	owner string
	in    installation.Installation
}

// hosting configures a Host whose guests may reach a party.
func hosting(db store.Store) host.Config {
	return host.Config{
		Store: db, Functions: probe(quiet), Lease: time.Second,
		Egress: egress.Config{AllowAddrs: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}},
	}
}

func setupJournal(t *testing.T, c host.Config, p *party) *journaled {
	t.Helper()
	j := &journaled{bundle: runHost(t, c), db: c.Store, party: p}
	publisher, err := j.h.Plugins.PublisherOf(t.Context(), registry.Viewer{Operator: true})
	if err != nil {
		t.Fatalf("find publisher: %v", err)
	}
	wasm := runtimetest.BuildGo(t, filepath.Join("testdata", "journal"))
	if _, err := j.h.Plugins.Publish(t.Context(), publisher.ID, registry.Upload{Wasm: bytes.NewReader(wasm)}); err != nil {
		t.Fatalf("publish: %v", err)
	}
	j.owner = j.addTenant(t, "acme", tenant.Limits{}).ID
	config := fmt.Appendf(nil, `{"keyed":%q,"plain":%q}`, p.keyed, p.plain)
	if j.in, err = j.h.Installations.Create(t.Context(), j.owner, installation.Spec{Plugin: "journal", Config: config}); err != nil {
		t.Fatalf("install: %v", err)
	}
	return j
}

// do starts an execution that makes the steps.
func (j *journaled) do(t *testing.T, steps ...step) string {
	t.Helper()
	input, err := json.Marshal(steps)
	if err != nil {
		t.Fatal(err)
	}
	return j.begin(t, j.owner, j.in.ID, "go", string(input))
}

// ended waits for an execution's end.
func (j *journaled) ended(t *testing.T, id string) execution.Execution {
	t.Helper()
	got, err := j.h.Executions.Wait(t.Context(), j.owner, id)
	if err != nil {
		t.Fatalf("wait: %v", err)
	}
	return got
}

// statuses are those of the http answers that a successful execution has had.
func statuses(t *testing.T, x execution.Execution) []int {
	t.Helper()
	var answers []struct{ Result struct{ Status int } }
	if err := json.Unmarshal(x.Output, &answers); err != nil {
		t.Fatalf("read output %s: %v", x.Output, err)
	}
	var all []int
	for _, a := range answers {
		if a.Result.Status != 0 {
			all = append(all, a.Result.Status)
		}
	}
	return all
}

// number is a key's value, 0 if there is none.
func (j *journaled) number(t *testing.T, key string) (n int) {
	t.Helper()
	e, err := j.db.State(j.owner, j.in.ID).Get(t.Context(), key)
	if err == nil && e.Version != 0 {
		err = json.Unmarshal(e.Value, &n)
	}
	if err != nil {
		t.Fatalf("read state %q: %v", key, err)
	}
	return n
}

// records counts those of a key.
func (j *journaled) records(t *testing.T, key string) (n int) {
	t.Helper()
	all, err := j.db.Events(t.Context(), j.owner, event.Filter{Kind: event.Record, Limit: 200})
	if err != nil {
		t.Fatalf("list records: %v", err)
	}
	for _, e := range all {
		if e.DedupeKey == key {
			n++
		}
	}
	return n
}

package main

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/runtime/runtimetest"
	"github.com/cofferdam-run/cofferdam/test/processtest"
)

// bankToken is the credential of the bank. It must not leave the server.
const bankToken = "bank-token-that-nobody-sees"

// ledger is a bank and a shop that count what they were asked for, and what they did.
type ledger struct {
	mu sync.Mutex
	// asked and done count by what and for which order, such as "charge 1001".
	asked, done map[string]int
	// keys are those that the bank has seen.
	keys map[string]bool
	// wrong is what no client may do.
	wrong []string
}

func newLedger() *ledger {
	return &ledger{asked: map[string]int{}, done: map[string]int{}, keys: map[string]bool{}}
}

// String is the page that the README shows.
func (l *ledger) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var page strings.Builder
	for _, effect := range slices.Sorted(maps.Keys(l.asked)) {
		fmt.Fprintf(&page, "%s  asked for %d, done %d\n", effect, l.asked[effect], l.done[effect])
	}
	return page.String()
}

// bank honours idempotency keys.
func (l *ledger) bank(w http.ResponseWriter, r *http.Request) {
	key := r.Header.Get("Idempotency-Key")
	if r.URL.Path != "/charges" || key == "" || r.Header.Get("Authorization") != "Bearer "+bankToken {
		l.refuse(w, r)
		return
	}
	l.mu.Lock()
	seen := l.keys[key]
	l.keys[key] = true
	l.mu.Unlock()
	l.take(w, r, "charge", !seen)
}

// shop knows its customers, and no idempotency keys.
func (l *ledger) shop(w http.ResponseWriter, r *http.Request) {
	customer, isCustomer := strings.CutPrefix(r.URL.Path, "/customers/")
	switch {
	case isCustomer && r.Method == http.MethodGet && strings.HasPrefix(customer, "walk-in"):
		_, _ = io.WriteString(w, `{"name":"Ada","address":null}`)
	case isCustomer && r.Method == http.MethodGet:
		_, _ = io.WriteString(w, `{"name":"Grace","address":{"city":"Lisbon"}}`)
	case r.URL.Path == "/receipts":
		l.take(w, r, "receipt", true)
	default:
		l.refuse(w, r)
	}
}

func (l *ledger) take(w http.ResponseWriter, r *http.Request, what string, fresh bool) {
	var order struct{ ID string }
	if err := json.NewDecoder(r.Body).Decode(&order); err != nil || order.ID == "" || r.Method != http.MethodPost {
		l.refuse(w, r)
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	effect := what + " " + order.ID
	l.asked[effect]++
	if fresh {
		l.done[effect]++
	}
	w.WriteHeader(http.StatusCreated)
	fmt.Fprintf(w, `{"id":%q}`, effect)
}

func (l *ledger) refuse(w http.ResponseWriter, r *http.Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.wrong = append(l.wrong, r.Method+" "+r.URL.Path)
	http.Error(w, "what is this?", http.StatusBadRequest)
}

// afternoon is what the story begins with: a connector in production, and eight
// orders that it was given.
type afternoon struct {
	dir    string
	server *processtest.Server
	client *client
	ledger *ledger
	orders []string
}

// TestAnAfternoonWithAFailure plays the README's section of that name, as it stands
// there: a connector fails in production, is replayed, mended, tried, upgraded, and
// what it had left dead is redriven. With -v it prints all that was said.
func TestAnAfternoonWithAFailure(t *testing.T) {
	t.Parallel()
	a := newAfternoon(t)
	s := &story{
		dir: a.dir, ledger: a.ledger.String, known: map[string]string{},
		// What has been redriven is not waited for by any verb.
		before: func() { a.settle(t) },
		env: append(os.Environ(), "COFFERDAM_URL="+a.server.URL(), "COFFERDAM_TOKEN="+a.client.token, "COFFERDAM_TENANT=acme",
			"COFFERDAM_CACHE_DIR="+runtimetest.CacheDir(t), "COFFERDAM_COMPILE_CPU="+compileCPU,
			"GOFLAGS=-trimpath", "GOWORK=off"), // So that the same code is the same module wherever it is built.
	}
	for _, b := range section(t, "../../README.md", "An afternoon with a failure") {
		s.play(t, b)
	}
	for _, verb := range []string{
		"dead-letter list", "execution show exe_", "execution export exe_", "cofferdam replay run.bhx --plugin build/orders-1.0.0.wasm",
		"--as-test .", "go test", "plugin publish", "plugin shadow orders@1.0.1 --against 1.0.0", "installation upgrade orders",
		"--dry-run", "dead-letter redrive --fingerprint",
	} {
		if !slices.ContainsFunc(s.played, func(command string) bool { return strings.Contains(command, verb) }) {
			t.Errorf("the README does not tell of %q any more", verb)
		}
	}
	a.check(t)
}

func newAfternoon(t *testing.T) *afternoon {
	t.Helper()
	a := &afternoon{dir: filepath.Join(t.TempDir(), "orders"), ledger: newLedger()}
	copyConnector(t, "testdata/afternoon/orders", a.dir)
	bank, shop := httptest.NewServer(http.HandlerFunc(a.ledger.bank)), httptest.NewServer(http.HandlerFunc(a.ledger.shop))
	t.Cleanup(bank.Close)
	t.Cleanup(shop.Close)
	a.server = startServer(t, t.TempDir())
	a.client = clientOf(t, a.server, a.server)
	module, err := os.ReadFile(filepath.Join(a.dir, "build", "orders-1.0.0.wasm"))
	if err != nil {
		t.Fatal(err)
	}
	if err := a.client.send(t.Context(), http.MethodPost, "/v1/plugins", "application/wasm", bytes.NewReader(module), nil); err != nil {
		t.Fatal(err)
	}
	var e endpointSecret
	for _, step := range []struct {
		path string
		body any
		out  any
	}{
		{"/v1/tenants", map[string]any{"name": "acme"}, nil},
		{"/v1/tenants/acme/connections", map[string]any{
			"name": "bank", "type": "bearer", "hosts": []string{strings.TrimPrefix(bank.URL, "http://")},
			"credential": map[string]string{"token": bankToken},
		}, nil},
		{"/v1/tenants/acme/installations", map[string]any{
			"plugin": "orders", "config": map[string]string{"bank_url": bank.URL, "shop_url": shop.URL},
		}, nil},
		{"/v1/tenants/acme/endpoints", map[string]any{"installation": "orders", "webhook": "orders"}, &e},
	} {
		if err := a.client.call(t.Context(), http.MethodPost, step.path, step.body, step.out); err != nil {
			t.Fatalf("POST %s: %v", step.path, err)
		}
	}
	a.deliver(t, e)
	a.settle(t)
	return a
}

// copyConnector copies the connector's sources to where the story changes them, and
// builds what is in production.
func copyConnector(t *testing.T, from, to string) {
	t.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	sdk := must(filepath.Abs("../../sdk/go"))
	mod := filepath.Join(to, "go.mod")
	text, err := os.ReadFile(mod)
	if err != nil {
		t.Fatal(err)
	}
	text = bytes.Replace(text, []byte("../../../../../sdk/go"), []byte(sdk), 1)
	if err := os.WriteFile(mod, text, 0o600); err != nil {
		t.Fatal(err)
	}
	build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-buildmode=c-shared", "-ldflags=-s -w", "-o", "build/orders-1.0.0.wasm", ".")
	build.Dir = to
	build.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "GOFLAGS=", "GOWORK=off")
	if said, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the connector: %v\n%s", err, said)
	}
}

// deliver delivers eight orders, three of them of customers without an address.
func (a *afternoon) deliver(t *testing.T, e endpointSecret) {
	t.Helper()
	for i := range 8 {
		customer := "regular"
		if i%3 == 1 {
			customer = "walk-in"
		}
		body := fmt.Appendf(nil, `{"id":"%d","customer":"%s-%d","cents":%d}`, 1001+i, customer, i, 990+i)
		accepted, err := a.client.deliver(t.Context(), e.ID, sending{scheme: "standard-webhooks", secret: e.Secret, id: rand.Text()}, body)
		if err != nil {
			t.Fatal(err)
		}
		a.orders = append(a.orders, accepted.Execution)
	}
}

// settle waits until no order runs.
func (a *afternoon) settle(t *testing.T) {
	t.Helper()
	for _, id := range a.orders {
		processtest.Eventually(t, "execution "+id, func() bool {
			var x execution.Execution
			if err := a.client.call(t.Context(), http.MethodGet, "/v1/tenants/acme/executions/"+id, nil, &x); err != nil {
				t.Fatal(err)
			}
			return x.State.Done()
		})
	}
}

// check looks at what all of it came to.
func (a *afternoon) check(t *testing.T) {
	t.Helper()
	traces := finished(t, a.client, a.orders)
	a.ledger.mu.Lock()
	defer a.ledger.mu.Unlock()
	for i, trace := range traces {
		if len(trace.Emitted) != 1 {
			t.Errorf("order %d has emitted %d records, want 1", 1001+i, len(trace.Emitted))
		}
		for _, effect := range []string{"charge", "receipt"} {
			effect = fmt.Sprint(effect, " ", 1001+i)
			if asked, done := a.ledger.asked[effect], a.ledger.done[effect]; asked != 1 || done != 1 {
				t.Errorf("%s was asked for %d times and done %d times, want once", effect, asked, done)
			}
		}
	}
	if len(a.ledger.done) != 2*len(a.orders) || len(a.ledger.keys) != len(a.orders) || len(a.ledger.wrong) > 0 {
		t.Errorf("the ledger has %d effects, %d keys, and was asked wrongly: %q", len(a.ledger.done), len(a.ledger.keys), a.ledger.wrong)
	}
	recording, err := os.ReadFile(filepath.Join(a.dir, "run.bhx"))
	if err != nil || bytes.Contains(recording, []byte(bankToken)) {
		t.Errorf("the export holds the bank's token, or is not there: %v", err)
	}
}

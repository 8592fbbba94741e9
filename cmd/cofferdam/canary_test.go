package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/store/postgres/postgrestest"
	"github.com/cofferdam-run/cofferdam/host/telemetry"
	"github.com/cofferdam-run/cofferdam/host/telemetry/collectortest"
	"github.com/cofferdam-run/cofferdam/runtime/runtimetest"
	"github.com/cofferdam-run/cofferdam/test/processtest"
)

var canaryCalls = flag.Int("canary.calls", 60, "calls in the middle of which the memory of all sandboxes is searched for credentials")

// canaryTenants have a canary in each credential, and others in all that is private.
const canaryTenants = 20

// canaries is a server whose tenants' secrets and payloads are canaries.
type canaries struct {
	db    string
	dir   string
	env   []string
	party *canaryParty
	// spans are what the server sends a collector.
	spans  *collectortest.Collector
	server *processtest.Server
	api    *client
	watch  *watching
	// credential is in all credentials, payload in what is private, and open in what is
	// known to be stored in the clear.
	credential, payload, open marker
	executions                []canaryExecution
}

type canaryExecution struct {
	tenant int
	id     string
}

// watching looks for credentials in all answers of the API but those that show a secret
// once.
type watching struct {
	credential marker
	// also is looked for, too.
	also atomic.Pointer[[]byte]
	t    *testing.T
	n    atomic.Int64
	errs atomic.Int64
}

// RoundTrip implements http.RoundTripper.
func (w *watching) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	resp.Body = io.NopCloser(bytes.NewReader(body))
	if r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/endpoints") && resp.StatusCode < 400 {
		return resp, err
	}
	var head bytes.Buffer
	_ = resp.Header.Write(&head)
	what := fmt.Sprintf("the answer %d to %s %s", resp.StatusCode, r.Method, r.URL.Path)
	w.credential.none(w.t, what, append(head.Bytes(), body...))
	if also := w.also.Load(); also != nil && bytes.Contains(body, *also) {
		w.t.Errorf("%s shows what was shredded: %.200q", what, body)
	}
	w.n.Add(1)
	if resp.StatusCode >= 400 {
		w.errs.Add(1)
	}
	return resp, err
}

// TestNoCanaryIsAnywhere has executions use credentials that are canaries against a
// server that tells them back, and looks for them everywhere: in the memory of all
// sandboxes in the middle of calls, the API's answers, traces, recordings, the audit
// log, metrics, logs, the database, and the heap. Payloads are canaries as well, and
// are in the database nowhere; the columns that have something of a tenant's in the
// clear are the ones that inTheClear lists.
func TestNoCanaryIsAnywhere(t *testing.T) {
	t.Parallel()
	for db, calls := range map[string]int{"sqlite": *canaryCalls, "postgres": max(20, *canaryCalls/10)} {
		t.Run(db, func(t *testing.T) {
			t.Parallel()
			c := setupCanaries(t, db)
			c.work(t)
			c.memory(t, calls)
			c.mistakes(t)
			c.traces(t)
			c.database(t)
			c.keys(t)
			c.database(t)
			c.logs(t)
			c.told(t)
			c.heap(t)
			c.shredding(t)
			t.Logf("%d answers of the API searched, %d of them errors", c.watch.n.Load(), c.watch.errs.Load())
		})
	}
}

func setupCanaries(t *testing.T, db string) *canaries {
	t.Helper()
	c := &canaries{
		db: db, dir: t.TempDir(), party: newCanaryParty(t), spans: collectortest.New(t),
		credential: newMarker("cred"), payload: newMarker("payl"), open: newMarker("open"),
	}
	c.party.says = func(tenant string) string {
		return `{"note":"` + c.payload.word + strings.TrimPrefix(tenant, "t") + `fed"}`
	}
	c.env = []string{
		"SSL_CERT_FILE=" + c.party.roots, "COFFERDAM_LOG_LEVEL=debug", "COFFERDAM_KEY_FRESH=250ms", "COFFERDAM_SLOTS=4", "COFFERDAM_DELETION_GRACE=0s",
		"OTEL_EXPORTER_OTLP_ENDPOINT=" + c.spans.URL, "OTEL_BSP_SCHEDULE_DELAY=100",
		"COFFERDAM_TEST_KEPT_WORD=" + c.open.word, "COFFERDAM_KEY_FILE=data/key.json",
	}
	if db == "postgres" {
		c.db = postgrestest.DSN(t)
		c.env = append(c.env, "COFFERDAM_DB="+c.db)
	}
	if err := os.Mkdir(filepath.Join(c.dir, "data"), 0o700); err != nil {
		t.Fatal(err)
	}
	c.run(t, "key", "new", "data/key.json")
	c.run(t, "key", "new", "data/key-2.json")
	c.server = processtest.Serve(t, processtest.ServerConfig{Program: "observed", Dir: c.dir, Env: append(c.env, "COFFERDAM_KEEPERS=file:data/key-2.json", clobbered)})
	c.api = clientOf(t, c.server, c.server)
	c.watch = &watching{t: t}
	c.api.http.Transport = c.watch
	wasm := runtimetest.BuildGo(t, "testdata/canary")
	if err := c.api.send(t.Context(), http.MethodPost, "/v1/plugins", "application/wasm", bytes.NewReader(wasm), nil); err != nil {
		t.Fatal(err)
	}
	// Before the first answer that could have one, all credentials are known.
	specs := make([][]map[string]any, canaryTenants)
	for i := range specs {
		specs[i] = c.connections(t, i)
	}
	c.watch.credential = c.credential
	for i, connections := range specs {
		c.post(t, "/v1/tenants", map[string]any{"name": canaryName(i), "title": c.open.of(i, "title")}, nil)
		for _, spec := range connections {
			c.post(t, c.path(i, "/connections"), spec, nil)
		}
		c.post(t, c.path(i, "/installations"), map[string]any{
			"plugin": "canary", "config": map[string]string{"url": c.party.URL + "/" + canaryName(i), "note": c.open.of(i, "config")},
		}, nil)
	}
	return c
}

// told looks at what was told to the collector.
func (c *canaries) told(t *testing.T) {
	t.Helper()
	last := telemetry.TraceID(c.executions[len(c.executions)-1].id).String()
	c.spans.Await(t, func(spans map[string][]collectortest.Span) bool {
		return slices.ContainsFunc(spans["execution"], func(s collectortest.Span) bool { return s.Trace == last })
	})
	raw := c.spans.Raw()
	for what, m := range map[string]marker{"credentials": c.credential, "payloads": c.payload, "texts": c.open} {
		m.none(t, "what the collector was sent, for "+what, raw)
	}
	spans := c.spans.Spans()
	calls := spans["host http"]
	if len(calls) == 0 || calls[0].Attributes["server.address"] == "" || len(spans["attempt"]) < len(c.executions) || len(spans["POST /v1/tenants"]) != canaryTenants {
		t.Errorf("the collector has %d requests, of which the first is %+v, and %d attempts", len(calls), calls, len(spans["attempt"]))
	}
	t.Logf("%d bytes of spans searched", len(raw))
}

func canaryName(tenant int) string { return fmt.Sprintf("t%02d", tenant) }

func (c *canaries) path(tenant int, rest string) string {
	return "/v1/tenants/" + canaryName(tenant) + rest
}

// run runs the command line beside the server.
func (c *canaries) run(t *testing.T, args ...string) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "cofferdam", args...)
	cmd.Dir, cmd.Env = c.dir, append(os.Environ(), c.env...)
	if c.api != nil {
		cmd.Env = append(cmd.Env, "COFFERDAM_URL="+c.api.base, "COFFERDAM_TOKEN="+c.api.token)
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("cofferdam %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

func (c *canaries) post(t *testing.T, path string, body, out any) {
	t.Helper()
	if err := c.api.call(t.Context(), http.MethodPost, path, body, out); err != nil {
		t.Fatalf("POST %s: %v", path, err)
	}
}

func (c *canaries) get(t *testing.T, path string) []byte {
	t.Helper()
	resp, err := c.api.open(t.Context(), http.MethodGet, path, "", nil)
	if err != nil {
		t.Fatalf("GET %s: %v", path, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// connections are one of each type.
func (c *canaries) connections(t *testing.T, i int) []map[string]any {
	t.Helper()
	key := c.privateKey(t, i)
	hosts := []string{strings.TrimPrefix(c.party.URL, "https://")}
	lent := ""
	if !signsURLs(i) {
		lent = c.credential.of(i, "session")
	}
	var all []map[string]any
	for _, s := range []struct {
		name, kind string
		place      [2]string
		credential map[string]string
	}{
		{"bearer", "bearer", [2]string{}, map[string]string{"token": c.credential.of(i, "bearer")}},
		{"basic", "basic", [2]string{}, map[string]string{"username": "user", "password": c.credential.of(i, "basic")}},
		{"header", "api_key", [2]string{"header", "X-Api-Key"}, map[string]string{"key": c.credential.of(i, "header")}},
		{"query", "api_key", [2]string{"query", "api_key"}, map[string]string{"key": c.credential.of(i, `query "&+`)}},
		{"hmac", "hmac", [2]string{"header", "X-Signature"}, map[string]string{"key": c.credential.of(i, "hmac0123456789abcdef")}},
		{"private", "private_key", [2]string{}, map[string]string{"private_key": key}},
		{"aws", "aws_sigv4", [2]string{}, map[string]string{
			"access_key_id": "AKIDEXAMPLE", "secret_access_key": c.credential.of(i, "aws"), "session_token": lent,
			"region": "eu-central-1", "service": "s3",
		}},
		{"mtls", "client_certificate", [2]string{}, map[string]string{"private_key": key, "certificate": selfSigned(t, key)}},
	} {
		spec := map[string]any{"name": s.name, "type": s.kind, "hosts": hosts, "credential": s.credential}
		if s.place[0] != "" {
			spec[s.place[0]] = s.place[1]
		}
		if s.name == "bearer" {
			spec["fields"] = map[string]string{"account": c.open.of(i, "field")}
		}
		all = append(all, spec)
	}
	return all
}

// signsURLs are the tenants that ask for signed URLs: those have a session token in
// them, as Signature Version 4 has it, which is then no secret to the plugin.
func signsURLs(tenant int) bool { return tenant%2 == 0 }

// privateKey makes a key, of which what is secret is looked for from then on.
func (c *canaries) privateKey(t *testing.T, i int) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	scalar, err := key.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	text := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	c.credential.exactly(canaryName(i)+"'s key", scalar)
	c.credential.exactly(canaryName(i)+"'s key in PEM", []byte(strings.Split(text, "\n")[1]))
	return text
}

func selfSigned(t *testing.T, key string) string {
	t.Helper()
	block, _ := pem.Decode([]byte(key))
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	signer := parsed.(*ecdsa.PrivateKey)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, signer.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// script is what the guest does.
type script struct {
	Steps []scriptStep `json:"steps"`
	Fail  string       `json:"fail,omitempty"`
	Panic bool         `json:"panic,omitempty"`
}

type scriptStep struct {
	Func    string         `json:"func"`
	Request map[string]any `json:"request"`
}

func (c *canaries) ask(i int, connection, path string) scriptStep {
	request := map[string]any{
		"method": "GET", "url": c.party.URL + "/" + canaryName(i) + path, "headers": map[string][]string{"X-Note": {c.payload.of(i, "header")}},
	}
	if connection != "" {
		request["connection"] = connection
	}
	return scriptStep{"http", request}
}

func (c *canaries) put(i int, connection string) scriptStep {
	s := c.ask(i, connection, "/echo")
	s.Request["method"], s.Request["body"] = "PUT", c.payload.of(i, "body")
	return s
}

// everything uses all of the connections, and writes everywhere.
func (c *canaries) everything(i int) []scriptStep {
	steps := []scriptStep{
		{"sign", map[string]any{"connection": "hmac", "algorithm": "hmac-sha256", "payload": c.payload.of(i, "signed")}},
		{"sign", map[string]any{"connection": "hmac", "algorithm": "HS256", "claims": map[string]string{"sub": c.payload.of(i, "claim")}}},
		{"sign", map[string]any{"connection": "private", "algorithm": "ES256", "claims": map[string]string{"sub": c.payload.of(i, "claim")}}},
		{"state_set", map[string]any{"key": c.open.of(i, "key"), "value": c.payload.of(i, "state")}},
		{"emit", map[string]any{"name": "note", "key": c.open.of(i, "record"), "data": c.payload.of(i, "record")}},
		{"tag", map[string]any{"name": "note", "value": c.open.of(i, "tag")}},
	}
	for _, connection := range []string{"bearer", "basic", "header", "query", "hmac", "aws", "mtls"} {
		steps = append(steps, c.ask(i, connection, "/echo"), c.put(i, connection))
	}
	if signsURLs(i) {
		steps = append(steps, scriptStep{"sign", map[string]any{"connection": "aws", "algorithm": "aws-sigv4", "method": "GET", "url": c.party.URL + "/object"}})
	}
	if i < 2 {
		for _, connection := range []string{"bearer", "query"} {
			for _, path := range []string{"/redirect", "/malformed", "/after", "/abort"} {
				steps = append(steps, c.ask(i, connection, path))
			}
		}
	}
	return steps
}

// act calls the action, and notes its execution.
func (c *canaries) act(t *testing.T, i int, s script, want execution.State) {
	t.Helper()
	var got execution.Execution
	var view struct {
		Execution string          `json:"execution"`
		State     execution.State `json:"state"`
		Error     *fault.Error    `json:"error"`
	}
	c.post(t, c.path(i, "/installations/canary/actions/go"), s, &view)
	got.ID, got.State = view.Execution, view.State
	processtest.Eventually(t, "execution "+got.ID, func() bool {
		if !got.State.Done() {
			if err := json.Unmarshal(c.get(t, c.path(i, "/executions/"+view.Execution)), &got); err != nil {
				t.Fatal(err)
			}
		}
		return got.State.Done()
	})
	if got.State != want {
		t.Fatalf("execution %s of %s is %s with %+v, want %s", got.ID, canaryName(i), got.State, view.Error, want)
	}
	c.executions = append(c.executions, canaryExecution{i, view.Execution})
}

// work is what all tenants do: calls that succeed, that are tried again, that die and
// that panic, deliveries, and polls.
func (c *canaries) work(t *testing.T) {
	t.Helper()
	for i := range canaryTenants {
		c.api.header = http.Header{"Idempotency-Key": {c.open.of(i, "once")}}
		c.act(t, i, script{Steps: c.everything(i)}, execution.Succeeded)
		c.api.header = nil
		c.act(t, i, script{Steps: []scriptStep{c.ask(i, "query", "/flaky?at="+rand.Text())}}, execution.Succeeded)
		c.act(t, i, script{Steps: []scriptStep{c.put(i, "bearer")}, Fail: "plugin_bug"}, execution.Dead)
		c.act(t, i, script{Steps: []scriptStep{c.ask(i, "basic", "/echo")}, Panic: true}, execution.Dead)
		c.deliver(t, i)
		var polled struct {
			Execution string          `json:"execution"`
			State     execution.State `json:"state"`
		}
		c.post(t, c.path(i, "/installations/canary/polls/feed"), nil, &polled)
		if polled.State != execution.Succeeded {
			t.Fatalf("the poll %s is %s", polled.Execution, polled.State)
		}
		c.executions = append(c.executions, canaryExecution{i, polled.Execution})
	}
	if c.party.told < 20*canaryTenants {
		t.Errorf("%d requests had a credential", c.party.told)
	}
}

// deliver sends a webhook, of which each tenant's has a secret.
func (c *canaries) deliver(t *testing.T, i int) {
	t.Helper()
	secret := c.credential.of(i, "webhook")
	var e endpointSecret
	c.post(t, c.path(i, "/endpoints"), map[string]any{"installation": "canary", "webhook": "hook", "secret": secret}, &e)
	body, err := json.Marshal(script{Steps: []scriptStep{c.ask(i, "header", "/echo?"+c.payload.of(i, "delivered"))}})
	if err != nil {
		t.Fatal(err)
	}
	s := sending{scheme: "github", secret: secret, id: c.open.of(i, "delivery"), headers: []string{"X-GitHub-Event: issues", "X-Note: " + c.payload.of(i, "note")}}
	accepted, err := c.api.deliver(t.Context(), e.ID, s, body)
	if err != nil {
		t.Fatal(err)
	}
	c.executions = append(c.executions, canaryExecution{i, accepted.Execution})
	s.secret = secret + "?"
	if _, err := c.api.deliver(t.Context(), e.ID, s, body); err == nil {
		t.Error("a delivery that is signed with something else is accepted")
	}
}

// memory searches the memory of all sandboxes in the middle of calls.
func (c *canaries) memory(t *testing.T, calls int) {
	t.Helper()
	if _, err := guestMemory(c.server.ID()); errors.Is(err, errors.ErrUnsupported) {
		t.Logf("the memory of sandboxes is not searched on this system")
		return
	}
	var mu sync.Mutex
	var searched, dumped int
	from := time.Now()
	c.party.held = func(tenant string) {
		mu.Lock()
		defer mu.Unlock()
		memory, err := guestMemory(c.server.ID())
		if err != nil {
			t.Errorf("dump the memory of the sandboxes: %v", err)
		}
		c.credential.none(t, "a sandbox", memory)
		if own := c.payload.word + tenant[1:] + "header"; !bytes.Contains(memory, []byte(own)) {
			t.Errorf("%d bytes of memory have nothing of the call that is under way", len(memory))
		}
		searched++
		dumped += len(memory)
	}
	for n := range calls {
		i := n % canaryTenants
		connection := []string{"bearer", "basic", "header", "query", "aws"}[n/canaryTenants%5]
		c.act(t, i, script{Steps: []scriptStep{c.put(i, connection), c.ask(i, "", "/hold")}}, execution.Succeeded)
	}
	c.party.held = func(string) {}
	if searched < calls {
		t.Errorf("%d of %d calls were searched", searched, calls)
	}
	t.Logf("sandboxes searched in the middle of %d calls, %d MiB, in %s", searched, dumped>>20, time.Since(from).Round(time.Second))
}

// mistakes are requests with credentials that are refused.
func (c *canaries) mistakes(t *testing.T) {
	t.Helper()
	secret := c.credential.of(0, "refused")
	for _, body := range []string{
		`{"name":"x","type":"bearer","hosts":["a.example"],"credential":{"password":"` + secret + `"}}`,
		`{"name":"x","type":"bearer","hosts":["a.example"],"credential":{"token":"` + secret + `\n"}}`,
		`{"name":"x","type":"bearer","hosts":["a.example"],"credential":"` + secret + `"}`,
		`{"name":"x","type":"bearer","hosts":["a.example"],"credential":{"token":["` + secret + `"]}}`,
		`{"name":"x","type":"bearer","hosts":["a.example"],"credential":{"secret":"` + secret + `"}}`,
		`{"name":"x","type":"bearer","hosts":["a.example"],"credential":{"token":"` + secret + `"`,
		`{"name":"x","type":"private_key","hosts":["a.example"],"credential":{"private_key":"` + secret + `"}}`,
		`{"name":"x","type":"hmac","hosts":["a.example"],"credential":{"key":"` + secret + `","key_encoding":"hex"}}`,
		`{"name":"x","type":"none","hosts":["a.example"],"credential":{"token":"` + secret + `"}}`,
		`{"name":"bearer","type":"bearer","hosts":["a.example"],"credential":{"token":"` + secret + `"}}`,
	} {
		if err := c.api.send(t.Context(), http.MethodPost, c.path(0, "/connections"), "application/json", strings.NewReader(body), nil); err == nil {
			t.Errorf("%s is accepted", body)
		}
	}
	for path, body := range map[string]string{
		"/connections/bearer/credential": `{"token":{"a":"` + secret + `"}}`,
		"/connections/none/credential":   `{"token":"` + secret + `"}`,
		"/connections/basic/credential":  `{"token":"` + secret + `"}`,
	} {
		if err := c.api.send(t.Context(), http.MethodPut, c.path(0, path), "application/json", strings.NewReader(body), nil); err == nil {
			t.Errorf("%s to %s is accepted", body, path)
		}
	}
	body := `{"installation":"canary","webhook":"hook","secret":"` + secret + `\u0000"}`
	if err := c.api.send(t.Context(), http.MethodPost, c.path(0, "/endpoints"), "application/json", strings.NewReader(body), nil); err == nil {
		t.Error("a secret with a control character is accepted")
	}
}

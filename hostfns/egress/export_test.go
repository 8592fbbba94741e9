package egress

import (
	"encoding/json"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/cofferdam-run/cofferdam/hostfns"
)

// Decodings reads a request in both ways, as encoding/json and quickly, and says whether
// the quick one takes it. What they give is to be compared.
func Decodings(raw []byte) (slow, quick map[string]any, taken bool, err error) { //nolint:revive // For tests.
	_, taken = glance(raw)
	a, err := hostfns.Decode[request](raw)
	b, quickErr := decode(json.RawMessage(raw))
	if taken && quickErr != nil {
		return nil, nil, true, quickErr
	}
	if b.text != nil {
		body := string(b.text)
		b.Body, b.text = &body, nil
	}
	return shown(a), shown(b), taken, err
}

func shown(r request) map[string]any {
	m := map[string]any{
		"connection": r.Connection, "method": r.Method, "url": r.URL, "headers": r.Headers,
		"timeout": r.TimeoutMS, "key": r.IdempotencyKey,
		"literal": r.Literal,
	}
	if r.Body != nil {
		m["body"] = *r.Body
	}
	if r.BodyBase64 != nil {
		m["body_base64"] = *r.BodyBase64
	}
	return m
}

// Prepared is of how many connections e has the forms of secrets.
func Prepared(e *Egress) int {
	e.forms.mu.Lock()
	defer e.forms.mu.Unlock()
	return len(e.forms.recent)
}

// Tick is what the time does to these forms.
func Tick(e *Egress, times int) {
	for range times {
		e.forms.sweep()
	}
}

// Quiet is after how many ticks what was not used is forgotten.
const Quiet = quiet

// Placed is a request whose placeholders are filled.
type Placed struct {
	Path, Query, Header string
	Body                []byte
}

// Place fills the placeholders of a request with the header X-Token.
func Place(slots Slots, header, query, kind string, body []byte, parts map[string]string) (Placed, error) {
	out := &outgoing{
		connection: "c", method: http.MethodPost, url: &url.URL{Scheme: "https", Host: "a.example", Path: "/p", RawQuery: query},
		header: http.Header{"X-Token": {header}, "Content-Type": {kind}}, body: body,
	}
	if !isFieldValue(header) || !isFieldValue(kind) {
		return Placed{}, invalid("the guest's own headers are refused before")
	}
	p := placer{slots: slots, connection: out.connection, part: func(name string) string { return parts[name] }}
	f, err := p.fill(out)
	if err != nil {
		return Placed{}, err
	}
	placed := Placed{Path: out.url.Path, Query: f.query, Header: header, Body: f.body}
	if filled := f.header["X-Token"]; len(filled) == 1 {
		placed.Header = filled[0]
	}
	return placed, nil
}

// Watching ends an exchange between two ticks, after so many in which there was none,
// and says after how many more there are no ticks any more.
func Watching(before int) (after int) {
	var swept atomic.Int64
	w := newWatch(func() { swept.Add(1) })
	ticking := func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.ticking
	}
	w.ticking = true // The test is the timer, for the most part.
	for range before {
		w.tick()
	}
	swept.Store(0)
	w.begin(time.Minute, nil).end()
	for ticking() {
		w.tick()
	}
	return int(swept.Load())
}

// Pools is how many e keeps.
func Pools(e *Egress) int {
	e.pools.mu.Lock()
	defer e.pools.mu.Unlock()
	return len(e.pools.byKey)
}

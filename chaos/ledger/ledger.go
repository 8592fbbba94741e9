// Package ledger is a third party that forgets nothing: it has the effects that
// were asked of it, and knows how often it was asked for each and how often it had
// it.
//
//	l := ledger.New(ledger.Config{Seed: 1, Happened: func(s ledger.Stage) { ... }})
//	server := httptest.NewServer(l)
//	...
//	for _, e := range l.Effects() { ... }
//
// A POST to /keyed or /plain with {"effect":"id"} has the effect of that id. At
// /keyed, whoever asks again with the same Idempotency-Key gets the first answer and
// no second effect; /plain knows no keys. A GET has none.
//
// It is a bad third party: slow, busy, limiting, failing after the fact, silent.
package ledger

import (
	"encoding/json"
	"errors"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// KeyHeader is the header that /keyed honours.
const KeyHeader = "Idempotency-Key"

// maxBody is far more than any request here has.
const maxBody = 1 << 20

// Stage is a moment of a request's at which its client may be killed.
type Stage string

// The stages.
const (
	// Asked is when a request has begun to come, and nothing was done.
	Asked Stage = "asked"
	// Done is when its effect was had, and nothing was answered.
	Done Stage = "done"
)

// Config configures a Ledger.
type Config struct {
	// Seed feeds what it does at random.
	Seed uint64
	// Delay is the longest that an answer usually takes. Defaults to 20 ms.
	Delay time.Duration
	// Hold is the longest that it takes when it is held back. Defaults to 400 ms.
	Hold time.Duration
	// Happened is told each Stage before the request goes on. Defaults to nobody.
	Happened func(Stage)
	// After is what is waited on. It must be set.
	After func(time.Duration) <-chan time.Time
}

// Effect is something that a client wanted to be had.
type Effect struct {
	ID string
	// Keyed says that it was asked for at /keyed.
	Keyed bool
	// Asked is how many requests for it came in whole, Had how often it was had.
	Asked, Had int
}

// Counts are of all requests.
type Counts struct {
	Gets, Posts int
	// Busy, Limited, Failed and Held are the requests that were treated badly.
	Busy, Limited, Failed, Held int
}

// Ledger is the third party. It is safe for concurrent use.
type Ledger struct {
	c Config

	mu      sync.Mutex
	random  *rand.Rand
	calm    bool
	counts  Counts
	effects map[string]*Effect
	// keys has the body that each idempotency key came with first.
	keys map[string]string
	// wrong is what no client may do.
	wrong []string
}

// New returns a Ledger without effects.
func New(c Config) *Ledger {
	if c.Delay <= 0 {
		c.Delay = 20 * time.Millisecond
	}
	if c.Hold <= 0 {
		c.Hold = 400 * time.Millisecond
	}
	if c.Happened == nil {
		c.Happened = func(Stage) {}
	}
	return &Ledger{
		c: c, random: rand.New(rand.NewPCG(c.Seed, 1)), //nolint:gosec // Accidents need no secrecy.
		effects: map[string]*Effect{}, keys: map[string]string{},
	}
}

// Calm ends all mishaps: from now on it answers well.
func (l *Ledger) Calm() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calm = true
}

// Effects are all that were asked for, in the order of their ids.
func (l *Ledger) Effects() []Effect {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := make([]Effect, 0, len(l.effects))
	for _, id := range slices.Sorted(maps.Keys(l.effects)) {
		all = append(all, *l.effects[id])
	}
	return all
}

// Counts are of the requests so far.
func (l *Ledger) Counts() Counts {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.counts
}

// Wrong says what clients did that is never right, such as to send a key with
// another body than it came with before.
func (l *Ledger) Wrong() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.wrong)
}

// ServeHTTP implements http.Handler.
func (l *Ledger) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	l.c.Happened(Asked)
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody))
	if err != nil {
		return // Its client is gone.
	}
	f := l.fate(r.Method, r.URL.Path)
	switch {
	case f.busy:
		http.Error(w, `{"error":"busy"}`, http.StatusServiceUnavailable)
		return
	case f.limited:
		w.Header().Set("Retry-After", f.retryAfter)
		http.Error(w, `{"error":"too many"}`, http.StatusTooManyRequests)
		return
	}
	if r.Method == http.MethodPost {
		if err := l.take(r, body); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		l.c.Happened(Done)
	}
	select {
	case <-l.c.After(f.delay):
	case <-r.Context().Done():
	}
	if f.failed {
		http.Error(w, `{"error":"something broke"}`, http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, `{"ok":true}`)
}

// take has a request's effect, if its key does not say that it was had.
func (l *Ledger) take(r *http.Request, body []byte) error {
	var asked struct{ Effect string }
	if err := json.Unmarshal(body, &asked); err != nil || asked.Effect == "" {
		return errors.New(`the body must be {"effect":"id"}`)
	}
	keyed := r.URL.Path == "/keyed"
	key := r.Header.Get(KeyHeader)
	l.mu.Lock()
	defer l.mu.Unlock()
	e, known := l.effects[asked.Effect]
	if !known {
		e = &Effect{ID: asked.Effect, Keyed: keyed}
		l.effects[asked.Effect] = e
	}
	e.Asked++
	if !keyed {
		e.Had++
		return nil
	}
	first, used := l.keys[key]
	switch {
	case key == "":
		l.wrong = append(l.wrong, "effect "+asked.Effect+" was asked for at /keyed without a key")
	case used && first != string(body):
		l.wrong = append(l.wrong, "key "+key+" came with "+first+" first, and then with "+string(body))
	}
	if !used || key == "" {
		e.Had++
	}
	if !used && key != "" {
		l.keys[key] = string(body)
	}
	return nil
}

// fate is what becomes of one request.
type fate struct {
	busy, limited, failed bool
	retryAfter            string
	delay                 time.Duration
}

// fate draws it. What /plain does badly cannot be mended by its client, so that it
// does it seldom; the others do it often enough that each run of a thousand requests
// has all of it.
func (l *Ledger) fate(method, path string) fate {
	l.mu.Lock()
	defer l.mu.Unlock()
	get := method == http.MethodGet
	if get {
		l.counts.Gets++
	} else {
		l.counts.Posts++
	}
	f := fate{delay: time.Duration(l.random.Int64N(int64(l.c.Delay)))}
	if l.calm {
		return f
	}
	often := 1.0
	if !get && strings.HasPrefix(path, "/plain") {
		often = 0.1
	}
	switch dice := l.random.Float64(); {
	case dice < 0.04*often:
		f.busy = true
		l.counts.Busy++
	case dice < 0.07*often:
		f.failed = true
		l.counts.Failed++
	case dice > 0.98:
		// It was not accepted, wherever it was sent.
		f.limited, f.retryAfter = true, []string{"0", "1", "2"}[l.random.IntN(3)]
		l.counts.Limited++
	case dice > 0.95:
		f.delay = time.Duration(l.random.Int64N(int64(l.c.Hold)))
		l.counts.Held++
	}
	return f
}

// Package oauthtest lists how a client of OAuth 2.0 has to behave, RFC by RFC, and who
// tests what of it: each package runs its part with Run, which fails if a behaviour is
// left out.
package oauthtest

import (
	"context"
	"slices"
	"sync"
	"testing"

	"github.com/cofferdam-run/cofferdam/host/oauth"
)

// Who tests a behaviour.
const (
	// Client is host/oauth's protocol, against servers that do what they should not.
	Client = "client"
	// Fosite is the same, against a real authorization server.
	Fosite = "fosite"
	// Authorizations is what keeps tokens fresh.
	Authorizations = "authorizations"
	// Connect is what browsers see.
	Connect = "connect"
)

// Behaviour is one that has to be.
type Behaviour struct {
	// RFC is where it is from; "concurrency" is from none.
	RFC  string
	Name string
	// By are who tests it.
	By []string
}

// String is the name that Run gives its test.
func (b Behaviour) String() string { return b.RFC + ": " + b.Name }

// Run runs the tests of by, by the names of their behaviours. It fails if one of by's
// behaviours has no test, or a test no behaviour.
func Run(t *testing.T, by string, tests map[string]func(t *testing.T)) {
	t.Helper()
	named := map[string]bool{}
	for _, b := range Behaviours() {
		if !slices.Contains(b.By, by) {
			continue
		}
		test, there := tests[b.String()]
		if named[b.String()] = true; !there {
			t.Errorf("%s has no test of %q", by, b)
			continue
		}
		t.Run(b.String(), func(t *testing.T) {
			t.Parallel()
			test(t)
		})
	}
	for name := range tests {
		if !named[name] {
			t.Errorf("%q is no behaviour that %s tests: name it in Behaviours", name, by)
		}
	}
}

// Flows is an oauth.Flows in memory. The zero Flows is ready.
type Flows struct {
	mu   sync.Mutex
	held map[string]oauth.Flow
	// Looks is how often it was asked for a flow.
	looks int
}

// PutFlow implements oauth.Flows.
func (f *Flows) PutFlow(_ context.Context, flow oauth.Flow) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.held == nil {
		f.held = map[string]oauth.Flow{}
	}
	f.held[flow.ID] = flow
	return nil
}

// TakeFlow implements oauth.Flows.
func (f *Flows) TakeFlow(_ context.Context, id string) (oauth.Flow, bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.looks++
	flow, there := f.held[id]
	delete(f.held, id)
	return flow, there, nil
}

// Looks is how often TakeFlow was called.
func (f *Flows) Looks() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.looks
}

// Held are the flows that were not taken yet.
func (f *Flows) Held() []oauth.Flow {
	f.mu.Lock()
	defer f.mu.Unlock()
	var all []oauth.Flow
	for _, flow := range f.held {
		all = append(all, flow)
	}
	return all
}

// Package faults makes a chosen statement of a database fail, in tests of what
// stands on a store: before it is executed, or after, when only its answer is lost.
// The second of a COMMIT is the one that costs effects done twice.
//
//	var plan faults.Plan
//	db, err := sqlite.Open(ctx, path, sqlite.Options{Driver: faults.SQLite(&plan)})
//	...
//	address, stop, err := faults.Postgres(ctx, dsn, &plan)
//	db, err := postgres.Open(ctx, address, postgres.Options{})
//	...
//	plan.Arm(3, faults.After) // The third from now.
//
// On SQLite each statement counts, also BEGIN, COMMIT and those of savepoints. On
// Postgres what counts is a round trip, which may carry a whole transaction; one
// that fails takes its connection with it, as a server or a network that fails does.
package faults

import "sync"

// When says when a statement fails.
type When int

// The times.
const (
	// Before it is executed.
	Before When = iota
	// After it was executed: its answer is lost.
	After
)

// Plan says which statement fails. The zero Plan lets all pass. It is safe for
// concurrent use.
type Plan struct {
	mu     sync.Mutex
	left   int
	when   When
	struck bool
}

// Arm has the n-th statement from now fail, and then no other.
func (p *Plan) Arm(n int, w When) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.left, p.when, p.struck = n, w, false
}

// Struck says whether a statement has failed since Arm.
func (p *Plan) Struck() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.struck
}

// next counts a statement, and says whether it fails, and when.
func (p *Plan) next() (fails bool, w When) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.left == 0 {
		return false, Before
	}
	p.left--
	if p.left > 0 {
		return false, Before
	}
	p.struck = true
	return true, p.when
}

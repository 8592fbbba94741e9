// Package state gives a guest its key-value state.
//
// A [Session] serves one run: reads come through a [Reader] and remember the
// version that they saw, writes are buffered and visible to the same run. What
// the run read and wrote is its [Changes]: the host checks the versions and
// applies the writes in the transaction of the execution's success, so that two
// executions cannot lose each other's update. Deltas never conflict.
//
//	session := state.NewSession(reader, state.Limits{})
//	gate := hostfns.NewGate(hostfns.GateConfig{Funcs: session.Funcs(), Now: now})
//	// ... the run ...
//	changes := session.Changes()
//
// Values are not held in memory once they were answered: a run that reads a key
// twice may see two values, and then its commit finds the first version stale,
// and the run is made again.
package state

import (
	"context"
	"encoding/json"
)

// Entry is a stored value. Version 0 means that there is none.
type Entry struct {
	Key     string
	Value   json.RawMessage
	Version int64
}

// Reader reads committed state. The host binds it to a tenant's installation.
type Reader interface {
	// Get returns an Entry with Version 0 when the key is absent.
	Get(ctx context.Context, key string) (Entry, error)
	// List returns up to limit entries whose keys begin with prefix and come
	// after the key after, in the order of the keys' bytes.
	List(ctx context.Context, prefix, after string, limit int) ([]Entry, error)
}

// Changes is what a run did to the state.
type Changes struct {
	// Reads maps each key that was read to the version that was seen.
	Reads map[string]int64
	// Writes holds one entry per key, in key order.
	Writes []Write
}

// Write is the outcome for one key. Exactly one of Value, Delete and Delta is meant.
type Write struct {
	Key string
	// Value is compact JSON.
	Value  json.RawMessage
	Delete bool
	// Delta is added to the stored integer (0 when absent) if Value is nil and
	// Delete is false. A Delta of 0 makes an absent key 0. Where the stored
	// value has become something else, or the sum no longer fits 64 bits, the
	// store reports a conflict: the run is made again, and told then.
	Delta int64
}

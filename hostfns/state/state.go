// Package state gives a guest its key-value state.
//
// A [Session] serves one run: reads come through a [Reader] and remember the
// version that they saw, writes are buffered and visible to the same run. What
// the run read and wrote is its [Changes]: the host checks the versions and
// applies the writes in the transaction of the execution's success, so that two
// executions cannot lose each other's update. Deltas never conflict.
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
	// after the key after, in key order.
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
	Key    string
	Value  json.RawMessage
	Delete bool
	// Delta is added to the stored integer (0 when absent) if Value is nil and Delete is false.
	Delta int64
}

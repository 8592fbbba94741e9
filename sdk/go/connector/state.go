package connector

import (
	"encoding/json"

	"github.com/cofferdam-run/cofferdam/sdk/go/connector/code"
)

// State is what an installation remembers between calls: JSON documents by key.
// Writes are seen by the same call and committed with its success, or not at
// all. When something that was read has changed meanwhile, the whole call is run
// again, so that two executions cannot lose each other's update.
type State struct{ client client }

// Get decodes the value of key into what v points to, and says whether there is one.
func (s State) Get(key string, v any) (found bool, err error) {
	var result struct {
		Found bool            `json:"found"`
		Value json.RawMessage `json:"value"`
	}
	if err := s.client.ask("state_get", keyed{Key: key}, &result); err != nil || !result.Found {
		return false, err
	}
	return true, Entry{key, result.Value}.Decode(v)
}

// Set stores a value, which is anything that has a JSON form.
func (s State) Set(key string, value any) error {
	return s.client.ask("state_set", struct {
		Key   string `json:"key"`
		Value any    `json:"value"`
	}{key, value}, nil)
}

// Delete removes a key, if it is there.
func (s State) Delete(key string) error {
	return s.client.ask("state_delete", keyed{Key: key}, nil)
}

// CompareAndSet stores updated if the value is old, and says whether it did. An
// old of nil means that the key must be absent.
func (s State) CompareAndSet(key string, old, updated any) (swapped bool, err error) {
	var result struct {
		Swapped bool `json:"swapped"`
	}
	err = s.client.ask("state_cas", struct {
		Key string `json:"key"`
		Old any    `json:"old,omitempty"` // Only a nil interface is left out: false and 0 stay.
		New any    `json:"new"`
	}{key, old, updated}, &result)
	return result.Swapped, err
}

// Add adds to an integer, which starts at 0, and returns the sum. It never
// conflicts with other executions; the sum may lag behind theirs.
func (s State) Add(key string, delta int64) (int64, error) {
	var result struct {
		Value int64 `json:"value"`
	}
	err := s.client.ask("state_add", struct {
		Key   string `json:"key"`
		Delta int64  `json:"delta"`
	}{key, delta}, &result)
	return result.Value, err
}

// List gives the entries whose keys begin with prefix and come after a key (none
// if empty), in the order of keys. A limit of 0 leaves their number to the host;
// more says that there are others.
func (s State) List(prefix, after string, limit int) (entries []Entry, more bool, err error) {
	var result struct {
		Entries []Entry `json:"entries"`
		More    bool    `json:"more"`
	}
	err = s.client.ask("state_list", struct {
		Prefix string `json:"prefix"`
		After  string `json:"after,omitempty"`
		Limit  int    `json:"limit,omitempty"`
	}{prefix, after, limit}, &result)
	return result.Entries, result.More, err
}

// Entry is a key and its value.
type Entry struct {
	Key   string          `json:"key"`
	Value json.RawMessage `json:"value"`
}

// Decode reads the value into what v points to.
func (e Entry) Decode(v any) error {
	if err := json.Unmarshal(e.Value, v); err != nil {
		return Errorf(code.PluginBug, "decode state %q: %w", e.Key, err)
	}
	return nil
}

type keyed struct {
	Key string `json:"key"`
}

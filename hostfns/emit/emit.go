// Package emit takes what a guest hands over to be kept: records, which become
// events when the execution succeeds, and tags, by which it can be found.
package emit

import "encoding/json"

// Record is an emitted record.
type Record struct {
	Name string          `json:"name"`
	Key  string          `json:"key,omitempty"`
	Data json.RawMessage `json:"data"`
}

// Tag marks an execution.
type Tag struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

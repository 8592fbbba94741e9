package connectortest

import (
	"bytes"
	"encoding/json"
	"maps"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/cofferdam-run/cofferdam/sdk/go/connector/code"
)

type stateRequest struct {
	Key    string          `json:"key"`
	Value  json.RawMessage `json:"value"`
	Old    json.RawMessage `json:"old"`
	New    json.RawMessage `json:"new"`
	Delta  int64           `json:"delta"`
	Prefix string          `json:"prefix"`
	After  string          `json:"after"`
	Limit  int             `json:"limit"`
}

// pageSize is how many entries a list has when the connector does not say.
const pageSize = 100

func (c *call) stateGet(r stateRequest) (any, *failure) {
	value, found := c.state[r.Key]
	return map[string]any{"found": found, "value": value}, r.needsKey()
}

func (c *call) stateSet(r stateRequest) (any, *failure) {
	if refused := r.needsKey(); refused != nil {
		return nil, refused
	}
	c.state[r.Key] = r.Value
	return struct{}{}, nil
}

func (c *call) stateDelete(r stateRequest) (any, *failure) {
	delete(c.state, r.Key)
	return struct{}{}, r.needsKey()
}

func (c *call) stateCompareAndSet(r stateRequest) (any, *failure) {
	if refused := r.needsKey(); refused != nil {
		return nil, refused
	}
	value, found := c.state[r.Key]
	swap := found && r.Old != nil && sameJSON(value, r.Old) || !found && r.Old == nil
	if swap {
		c.state[r.Key] = r.New
	}
	return map[string]any{"swapped": swap}, nil
}

func (c *call) stateAdd(r stateRequest) (any, *failure) {
	if refused := r.needsKey(); refused != nil {
		return nil, refused
	}
	var sum int64
	if value, found := c.state[r.Key]; found {
		n, err := strconv.ParseInt(string(value), 10, 64)
		if err != nil {
			return nil, refuse(code.NotANumber, "the value of %q is not an integer", r.Key)
		}
		sum = n
	}
	if r.Delta > 0 && sum > math.MaxInt64-r.Delta || r.Delta < 0 && sum < math.MinInt64-r.Delta {
		return nil, refuse(code.NotANumber, "the value of %q would not fit into 64 bits", r.Key)
	}
	sum += r.Delta
	c.state[r.Key] = json.RawMessage(strconv.FormatInt(sum, 10))
	return map[string]any{"value": sum}, nil
}

func (c *call) stateList(r stateRequest) (any, *failure) {
	type entry struct {
		Key   string          `json:"key"`
		Value json.RawMessage `json:"value"`
	}
	limit := r.Limit
	if limit <= 0 {
		limit = pageSize
	}
	entries, more := []entry{}, false
	for _, key := range slices.Sorted(maps.Keys(c.state)) {
		if !strings.HasPrefix(key, r.Prefix) || key <= r.After && r.After != "" {
			continue
		}
		if len(entries) == limit {
			more = true
			break
		}
		entries = append(entries, entry{key, c.state[key]})
	}
	return map[string]any{"entries": entries, "more": more}, nil
}

func (r stateRequest) needsKey() *failure {
	if r.Key == "" {
		return refuse(code.InvalidRequest, "state needs a key that is not empty")
	}
	return nil
}

// sameJSON compares documents by what they mean, not by their spelling.
func sameJSON(a, b json.RawMessage) bool {
	return bytes.Equal(a, b) || reflect.DeepEqual(decoded(a), decoded(b))
}

// decoded keeps numbers as they are written, since 64 bits do not fit into a float.
func decoded(data json.RawMessage) (v any) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		return err
	}
	return v
}

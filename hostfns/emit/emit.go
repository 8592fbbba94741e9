// Package emit takes what a guest hands over to be kept: records, which become
// events when the execution succeeds, and tags, by which it can be found.
//
//	kept := emit.New(emit.Limits{})
//	gate := hostfns.NewGate(hostfns.GateConfig{Funcs: kept.Funcs(), Now: now})
//	// ... the run ...
//	kept.Records()
//
// Records and tags of a run that fails are the host's to drop.
package emit

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/cofferdam-run/cofferdam/hostfns"
)

// Record is an emitted record.
type Record struct {
	Name string `json:"name"`
	Key  string `json:"key,omitempty"`
	// Data is compact JSON.
	Data json.RawMessage `json:"data"`
}

// Tag marks an execution.
type Tag struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Limits bound what one run may leave.
type Limits struct {
	// Records of a run. Defaults to 1000.
	Records int
	// RecordBytes of a record's data. Defaults to 256 KiB.
	RecordBytes int
	// TotalBytes of all records' data, which are written in one transaction.
	// Defaults to 8 MiB.
	TotalBytes int
	// Tags of a run. Defaults to 32.
	Tags int
}

// What a key and a tag's value may hold, in bytes: both are indexed.
const (
	maxKey   = 512
	maxValue = 256
)

// nameOf is what names of records and tags are like.
var nameOf = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9_.-]{0,62}$`)

// Kept is what one run has handed over. It is used by one goroutine at a time.
type Kept struct {
	limits  Limits
	records []Record
	keys    map[string]bool
	bytes   int
	tags    []Tag
}

// New returns a Kept with nothing in it.
func New(l Limits) *Kept {
	l.Records = orDefault(l.Records, 1000)
	l.RecordBytes = orDefault(l.RecordBytes, 256<<10)
	l.TotalBytes = orDefault(l.TotalBytes, 8<<20)
	l.Tags = orDefault(l.Tags, 32)
	return &Kept{
		limits: l,
		keys:   map[string]bool{},
	}
}

// Funcs gives emit and tag.
func (k *Kept) Funcs() []hostfns.Func {
	return []hostfns.Func{
		{Name: "emit", Effect: hostfns.Always(hostfns.Computed), Keeps: true, Answer: k.emit, Summarize: summarizeRecord},
		{Name: "tag", Effect: hostfns.Always(hostfns.Computed), Keeps: true, Answer: k.tag, Summarize: summarizeTag},
	}
}

// Records gives the records in the order in which they were emitted.
func (k *Kept) Records() []Record { return slices.Clone(k.records) }

// Tags gives the tags in the order in which they were set.
func (k *Kept) Tags() []Tag { return slices.Clone(k.tags) }

// emit keeps the first record of a key, as the installation does: a guest may
// emit again what it is not sure to have emitted.
func (k *Kept) emit(_ context.Context, request json.RawMessage) (any, error) {
	r, err := hostfns.Decode[Record](request)
	if err != nil {
		return nil, err
	}
	if err := k.checkName(r.Name); err != nil {
		return nil, err
	}
	if err := checkText("key", r.Key, maxKey); err != nil {
		return nil, err
	}
	if r.Data == nil {
		return nil, hostfns.Errorf(hostfns.CodeInvalidRequest, "\"data\" is missing: give any JSON value")
	}
	var data bytes.Buffer
	if err := json.Compact(&data, r.Data); err != nil {
		return nil, hostfns.Errorf(hostfns.CodeInvalidRequest, "\"data\" is not JSON")
	}
	if r.Key != "" && k.keys[r.Key] {
		return nil, nil
	}
	if err := k.checkRoom(data.Len()); err != nil {
		return nil, err
	}
	k.keys[r.Key] = true
	k.bytes += data.Len()
	k.records = append(k.records, Record{Name: r.Name, Key: r.Key, Data: data.Bytes()})
	return nil, nil
}

func (k *Kept) checkRoom(size int) error {
	switch l := k.limits; {
	case size > l.RecordBytes:
		return hostfns.Errorf(hostfns.CodeLimitExceeded, "\"data\" is %d bytes of JSON, and %d is the limit of a record: split it", size, l.RecordBytes)
	case len(k.records) >= l.Records:
		return hostfns.Errorf(hostfns.CodeLimitExceeded, "a run may emit %d records: spread the work over several executions", l.Records)
	case k.bytes+size > l.TotalBytes:
		return hostfns.Errorf(hostfns.CodeLimitExceeded,
			"a run may emit %d bytes, and this would make it %d: spread the work over several executions", l.TotalBytes, k.bytes+size)
	}
	return nil
}

// tag sets a tag; one name may have several values.
func (k *Kept) tag(_ context.Context, request json.RawMessage) (any, error) {
	t, err := hostfns.Decode[Tag](request)
	if err != nil {
		return nil, err
	}
	if err := k.checkName(t.Name); err != nil {
		return nil, err
	}
	if t.Value == "" {
		return nil, hostfns.Errorf(hostfns.CodeInvalidRequest, "\"value\" is missing or empty: a tag is found by name=value")
	}
	if err := checkText("value", t.Value, maxValue); err != nil {
		return nil, err
	}
	if slices.Contains(k.tags, t) {
		return nil, nil
	}
	if len(k.tags) >= k.limits.Tags {
		return nil, hostfns.Errorf(hostfns.CodeLimitExceeded, "a run may set %d tags: keep those that somebody searches by", k.limits.Tags)
	}
	k.tags = append(k.tags, t)
	return nil, nil
}

func (k *Kept) checkName(name string) error {
	if nameOf.MatchString(name) {
		return nil
	}
	return hostfns.Errorf(hostfns.CodeInvalidRequest,
		"\"name\" is %.64q: it must be a letter and up to 62 letters, digits, dots, underscores or hyphens", name)
}

func checkText(field, s string, limit int) error {
	if len(s) > limit {
		return hostfns.Errorf(hostfns.CodeInvalidRequest, "%q is %d bytes long, and %d is the limit", field, len(s), limit)
	}
	if strings.ContainsFunc(s, unicode.IsControl) {
		return hostfns.Errorf(hostfns.CodeInvalidRequest, "%q holds a control character: leave it out", field)
	}
	return nil
}

func summarizeRecord(request json.RawMessage) string {
	r, err := hostfns.Decode[Record](request)
	if err != nil {
		return ""
	}
	if r.Key == "" {
		return r.Name
	}
	return fmt.Sprintf("%.64s %.128q", r.Name, r.Key)
}

func summarizeTag(request json.RawMessage) string {
	t, err := hostfns.Decode[Tag](request)
	if err != nil {
		return ""
	}
	return t.Name + "=" + t.Value
}

func orDefault(n, def int) int {
	if n <= 0 {
		return def
	}
	return n
}

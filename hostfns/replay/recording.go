package replay

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/cofferdam-run/cofferdam/hostfns"
	"github.com/cofferdam-run/cofferdam/hostfns/egress"
	"github.com/cofferdam-run/cofferdam/hostfns/emit"
	"github.com/cofferdam-run/cofferdam/hostfns/journal"
	"github.com/cofferdam-run/cofferdam/hostfns/state"
	"github.com/cofferdam-run/cofferdam/runtime"
)

// Outcome is how a run ended.
type Outcome string

const (
	// Succeeded runs have an output.
	Succeeded Outcome = "succeeded"
	// Failed runs ended by the guest's own doing, which does not depend on the
	// machine: it raised an error, trapped, or used up its fuel or memory.
	Failed Outcome = "failed"
	// Suspended runs wait for the answer of their last entry.
	Suspended Outcome = "suspended"
	// Interrupted runs were ended from outside: by a deadline, a crash, an effect of
	// which nobody knew whether it was made, a conflict.
	Interrupted Outcome = "interrupted"
)

// Recording is an execution as it can be run again. None of it is secret, but for
// what its tenant thinks so: see the package comment.
type Recording struct {
	// Execution, Plugin, Version, Kind and Name say what it was; nothing depends on
	// them. Name is the action, webhook or poll.
	Execution, Plugin, Version, Kind, Name string
	// RecordedAt is when its last run ended, and Wall how long its runs took.
	RecordedAt time.Time
	Wall       time.Duration

	Export string
	Input  []byte
	World  journal.World
	// Granted names the granted functions.
	Granted []string
	Entries []journal.Entry

	// Outcome and the rest are what the last run came to. Output is that of one that
	// Succeeded, as the guest gave it or as [Kept] gives it; Error of one that Failed.
	// Fuel of 0 is not known.
	Outcome Outcome
	Output  []byte
	Error   *Error
	Fuel    int64
	// Left is what it left behind; nil if that is not known.
	Left *Left
	// Missing says what of the entries is not included, for people.
	Missing []string
	// Module is the module itself, or nil.
	Module []byte
}

// Error is a failure of the guest's.
type Error struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

// Left is what a run leaves behind if it succeeds.
type Left struct {
	Records []Record     `json:"records,omitempty"`
	Tags    []emit.Tag   `json:"tags,omitempty"`
	State   []StateWrite `json:"state,omitempty"`
}

// Record is a record that was emitted.
type Record struct {
	Name string `json:"name"`
	Key  string `json:"key,omitempty"`
	Data Body   `json:"data"`
}

// StateWrite is what became of one key of the state.
type StateWrite struct {
	Key string `json:"key"`
	// Value is nil for a key that was deleted or added to.
	Value  Body  `json:"value,omitzero"`
	Delete bool  `json:"delete,omitempty"`
	Delta  int64 `json:"delta,omitempty"`
}

// LeftOf gives what a run left behind in the form of a Recording.
func LeftOf(records []emit.Record, tags []emit.Tag, writes []state.Write) *Left {
	l := Left{Tags: slices.Clone(tags)}
	for _, r := range records {
		l.Records = append(l.Records, Record{Name: r.Name, Key: r.Key, Data: Body(r.Data)})
	}
	for _, w := range writes {
		l.State = append(l.State, StateWrite{Key: w.Key, Value: Body(w.Value), Delete: w.Delete, Delta: w.Delta})
	}
	return &l
}

// Streamed says, for a Recording's Missing, which bodies its entries have only the
// lengths and digests of.
func Streamed(entries []journal.Entry) []string {
	type body struct{ bytes, chunks, first, last int }
	bodies := map[int]*body{}
	for i := range entries {
		var asked struct{ Stream int }
		var told struct{ Result struct{ Bytes int } }
		e := &entries[i]
		if e.Func != egress.ReadFunc || json.Unmarshal(e.Request, &asked) != nil || json.Unmarshal(e.Answer, &told) != nil || told.Result.Bytes == 0 {
			continue
		}
		if bodies[asked.Stream] == nil {
			bodies[asked.Stream] = &body{first: i}
		}
		b := bodies[asked.Stream]
		b.bytes, b.chunks, b.last = b.bytes+told.Result.Bytes, b.chunks+1, i
	}
	var missing []string
	for _, n := range slices.Sorted(maps.Keys(bodies)) {
		b := bodies[n]
		missing = append(missing, fmt.Sprintf("what was read of stream %d, entries %d to %d: %d bytes in %d chunks, of which only digests are kept", n, b.first, b.last, b.bytes, b.chunks))
	}
	return missing
}

// Check says what is wrong with a Recording that cannot be one.
func (r *Recording) Check() error {
	switch r.Outcome {
	case Succeeded, Failed, Suspended, Interrupted:
	default:
		return fmt.Errorf("its outcome is %.32q: it is succeeded, failed, suspended or interrupted", r.Outcome)
	}
	if r.Export == "" {
		return fmt.Errorf("it does not say which export was called")
	}
	if _, err := digestBytes(r.World.Module); err != nil {
		return fmt.Errorf("the digest of its module: %w", err)
	}
	if r.Module != nil && DigestOf(r.Module) != r.World.Module {
		return fmt.Errorf("the module in it has the digest %s, and its execution ran %s", DigestOf(r.Module), r.World.Module)
	}
	if n := len(r.Entries) - 1; n > journal.MaxEntries {
		return fmt.Errorf("it has %d entries, and %d is the limit", n, journal.MaxEntries)
	}
	for i := range r.Entries {
		if e := &r.Entries[i]; e.Ordinal != i {
			return fmt.Errorf("its entry %d has the ordinal %d: one is missing, or they are not in order", i, e.Ordinal)
		}
		if e := &r.Entries[i]; e.Effect == hostfns.Computed && i > 0 {
			return fmt.Errorf("its entry %d, %.64s, is no answer from outside", i, e.Func)
		}
	}
	return nil
}

// DigestOf is the digest of a module, as journal.World has it.
func DigestOf(module []byte) string {
	sum := sha256.Sum256(module)
	return digestPrefix + hex.EncodeToString(sum[:])
}

const digestPrefix = "sha256:"

func digestBytes(digest string) ([]byte, error) {
	text, ok := strings.CutPrefix(digest, digestPrefix)
	b, err := hex.DecodeString(text)
	if !ok || err != nil || len(b) != sha256.Size {
		return nil, fmt.Errorf("%.80q is not %s and %d hexadecimal digits", digest, digestPrefix, hex.EncodedLen(sha256.Size))
	}
	return b, nil
}

// Limits are those to prepare a Recording's module with: not less than the defaults,
// so that it starts as it did at a server whose tenants have less, and with a deadline
// that is of no account. Run has the run bounded by its own.
func Limits(r Recording) runtime.Limits {
	l, least := r.World.Limits.WithDefaults(), runtime.Limits{}.WithDefaults()
	l.ModuleBytes = max(l.ModuleBytes, least.ModuleBytes)
	l.MemoryBytes = max(l.MemoryBytes, least.MemoryBytes)
	l.InputBytes, l.OutputBytes = max(l.InputBytes, least.InputBytes), max(l.OutputBytes, least.OutputBytes)
	l.Fuel, l.Deadline = max(l.Fuel, least.Fuel), patience
	return l
}

// callLimits are the recorded ones, but for the deadline: a slow machine must not
// change what a run does, and fuel bounds it anyway.
func callLimits(r Recording) runtime.Limits {
	l := r.World.Limits
	l.Deadline = patience
	return l
}

// patience is how long a run may take: fifty times what a machine needs for the
// fuel that a run has by default.
const patience = 10 * time.Minute

// ConfigStrings gives the top-level properties of a configuration as Extism's
// config has them: strings as they are, all else as JSON.
func ConfigStrings(config json.RawMessage) map[string]string {
	var properties map[string]json.RawMessage
	if json.Unmarshal(config, &properties) != nil {
		return nil // No object, no properties.
	}
	flat := make(map[string]string, len(properties))
	for name, value := range properties {
		var text string
		if json.Unmarshal(value, &text) == nil && value[0] == '"' {
			flat[name] = text
		} else {
			flat[name] = string(value)
		}
	}
	return flat
}

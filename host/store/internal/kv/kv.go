// Package kv decides what a run's changes do to the state of an installation:
// whether what the run read still holds, and what its writes come to. The
// drivers load the cells under a lock, apply, and store what is dirty.
package kv

import (
	"cmp"
	"slices"
	"strconv"

	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/hostfns/state"
)

// CodeNotANumber is the code of a delta on a value that is not an integer.
const CodeNotANumber = "state_not_a_number"

// Key names a cell.
type Key struct {
	Tenant, Installation, Name string
}

// Compare orders keys.
func Compare(a, b Key) int {
	return cmp.Or(cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(a.Installation, b.Installation), cmp.Compare(a.Name, b.Name))
}

// Cell is a key's value. Version 0 is an absent key.
type Cell struct {
	Key     Key
	Value   []byte
	Version int64
	dirty   bool
}

// Table holds the cells that a transaction works on.
type Table struct {
	cells map[Key]*Cell
}

// Keys lists the keys that changes read or write, in order.
func Keys(tenant, installation string, ch state.Changes) []Key {
	set := make(map[Key]struct{}, len(ch.Reads)+len(ch.Writes))
	for name := range ch.Reads {
		set[Key{tenant, installation, name}] = struct{}{}
	}
	for _, w := range ch.Writes {
		set[Key{tenant, installation, w.Key}] = struct{}{}
	}
	keys := make([]Key, 0, len(set))
	for k := range set {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, Compare)
	return keys
}

// Load sets a cell to what is stored. Cells that are not loaded are absent.
func (t *Table) Load(c Cell) {
	if t.cells == nil {
		t.cells = make(map[Key]*Cell)
	}
	c.dirty = false
	t.cells[c.Key] = &c
}

// Apply makes the changes, all of them or none. What is written gets version.
// It returns a *StateConflictError with the first key whose version is not the one
// that was read.
func (t *Table) Apply(tenant, installation string, ch state.Changes, version int64) error {
	var changed []string
	for name, seen := range ch.Reads {
		if t.version(Key{tenant, installation, name}) != seen {
			changed = append(changed, name)
		}
	}
	if len(changed) > 0 {
		return &execution.StateConflictError{Key: slices.Min(changed)}
	}
	next := make([]Cell, 0, len(ch.Writes))
	for _, w := range ch.Writes {
		c, err := t.written(Key{tenant, installation, w.Key}, w)
		if err != nil {
			return err
		}
		if c.Value != nil {
			c.Version = version
		}
		next = append(next, c)
	}
	for _, c := range next {
		t.Load(c)
		t.cells[c.Key].dirty = true
	}
	return nil
}

// Dirty returns the cells to store and the keys to delete, each in order.
func (t *Table) Dirty() (put []Cell, del []Key) {
	for _, c := range t.cells {
		switch {
		case !c.dirty:
		case c.Value == nil:
			del = append(del, c.Key)
		default:
			put = append(put, *c)
		}
	}
	slices.SortFunc(put, func(a, b Cell) int { return Compare(a.Key, b.Key) })
	slices.SortFunc(del, Compare)
	return put, del
}

func (t *Table) version(k Key) int64 {
	if c, ok := t.cells[k]; ok {
		return c.Version
	}
	return 0
}

// written returns the cell that a write makes; a nil Value is a deletion.
func (t *Table) written(k Key, w state.Write) (Cell, error) {
	switch {
	case w.Delete:
		return Cell{Key: k}, nil
	case w.Value != nil:
		return Cell{Key: k, Value: w.Value}, nil
	}
	var old int64
	if c, ok := t.cells[k]; ok && c.Version != 0 {
		n, err := strconv.ParseInt(string(c.Value), 10, 64)
		if err != nil {
			return Cell{}, notANumber("the state %q is not an integer, so that nothing can be added to it", k.Name)
		}
		old = n
	}
	sum := old + w.Delta
	if (w.Delta > 0 && sum < old) || (w.Delta < 0 && sum > old) {
		return Cell{}, notANumber("adding %d to the state %q, which is %d, leaves the range of 64-bit integers", w.Delta, k.Name, old)
	}
	return Cell{Key: k, Value: strconv.AppendInt(nil, sum, 10)}, nil
}

func notANumber(format string, args ...any) error {
	return fault.New(fault.InvalidInput, CodeNotANumber, format, args...).
		WithHint("use state_add only on keys that state_add or integers have written")
}

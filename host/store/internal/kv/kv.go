// Package kv decides what a run's changes do to the state of an installation:
// whether what the run read still holds, and what its writes come to. The
// drivers load the cells under a lock, apply, and store what is dirty.
package kv

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"

	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/store/internal/sealing"
	"github.com/cofferdam-run/cofferdam/host/vault"
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

// Cell is a key's value as it is stored, which may be sealed. Version 0 is an absent
// key.
type Cell struct {
	Key     Key
	Value   []byte
	Version int64
	// written says that the value is one of this transaction's, in the clear, to be
	// sealed with keys.
	written bool
	keys    vault.Payloads
}

// Of names the state of an installation, and has its keys.
type Of struct {
	Tenant, Installation string
	Keys                 vault.Payloads
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
	t.cells[c.Key] = &c
}

// Apply makes the changes, all of them or none. What is written gets version.
// It returns a *StateConflictError with the first key whose version is not the one
// that was read, and vault.ErrSealed if something is added to what does not open.
func (t *Table) Apply(of Of, ch state.Changes, version int64) error {
	var changed []string
	for name, seen := range ch.Reads {
		if t.version(Key{of.Tenant, of.Installation, name}) != seen {
			changed = append(changed, name)
		}
	}
	if len(changed) > 0 {
		return &execution.StateConflictError{Key: slices.Min(changed)}
	}
	next := make([]Cell, 0, len(ch.Writes))
	for _, w := range ch.Writes {
		c, err := t.write(Key{of.Tenant, of.Installation, w.Key}, of.Keys, w)
		if err != nil {
			return err
		}
		if c.Value != nil {
			c.Version = version
		}
		c.written, c.keys = true, of.Keys
		next = append(next, c)
	}
	for _, c := range next {
		t.Load(c)
	}
	return nil
}

// Written returns the cells to store, sealed, and the keys to delete, each in order.
func (t *Table) Written() (put []Cell, del []Key, err error) {
	for _, c := range t.cells {
		switch {
		case !c.written:
		case c.Value == nil:
			del = append(del, c.Key)
		default:
			sealed := *c
			if sealed.Value, err = c.keys.Seal(c.field(), c.Value); err != nil {
				return nil, nil, err
			}
			put = append(put, sealed)
		}
	}
	slices.SortFunc(put, func(a, b Cell) int { return Compare(a.Key, b.Key) })
	slices.SortFunc(del, Compare)
	return put, del, nil
}

func (c *Cell) field() vault.Field {
	return sealing.State(c.Key.Tenant, c.Key.Installation, c.Key.Name, c.Version)
}

// clear returns the value in the clear.
func (c *Cell) clear(keys vault.Payloads) ([]byte, error) {
	if c.written {
		return c.Value, nil
	}
	return keys.Open(c.field(), c.Value)
}

func (t *Table) version(k Key) int64 {
	if c, ok := t.cells[k]; ok {
		return c.Version
	}
	return 0
}

// write returns the cell that a write makes; a nil Value is a deletion.
func (t *Table) write(k Key, keys vault.Payloads, w state.Write) (Cell, error) {
	switch {
	case w.Delete:
		return Cell{Key: k}, nil
	case w.Value != nil:
		return Cell{Key: k, Value: w.Value}, nil
	}
	var old int64
	if c, ok := t.cells[k]; ok && c.Version != 0 {
		value, err := c.clear(keys)
		if err != nil {
			return Cell{}, fmt.Errorf("open the state %q: %w", k.Name, err)
		}
		n, err := strconv.ParseInt(string(value), 10, 64)
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

package vault

import (
	"context"
	"errors"
	"fmt"

	"github.com/cofferdam-run/cofferdam/host/fault"
)

// CodeKeyInUse is the code of the fault that a key cannot be retired because there are
// records that it sealed.
const CodeKeyInUse = "key_in_use"

// rotateTries is how often a change of a keyset is tried that somebody else changes
// at the same time.
const rotateTries = 5

// Rotate gives a tenant another key, which seals from now on; what was sealed before
// opens as ever. By names who does it: where the last one was of the same name, nothing
// is done, so that it can be repeated. A tenant without a key gets its first.
func (v *Vault) Rotate(ctx context.Context, tenant, by string) error {
	all, ok := v.c.Store.(Keysets)
	if !ok {
		return errors.New("rotate the key of a tenant: the store cannot replace keys")
	}
	err := v.change(ctx, tenant, func(was Key, r *ring) (*ring, error) {
		if was.RotatedBy == by {
			return r, nil
		}
		if len(r.ids) >= ringMost {
			return nil, fault.New(fault.Conflict, "too_many_keys", "the tenant has %d keys, and %d is the limit", len(r.ids), ringMost).
				WithHint("Let a rotation come to its end, which retires all keys but the last.")
		}
		next, err := r.with()
		if err != nil {
			return nil, fmt.Errorf("add a key for tenant %s: %w", tenant, err)
		}
		was.RotatedBy = by
		now, err := v.next(ctx, was, next)
		if err != nil {
			return nil, err
		}
		if n, err := all.ReplaceKeys(ctx, []Key{now}); n == 0 || err != nil {
			return nil, err
		}
		return next, nil
	})
	if isNotFound(err) {
		_, err = v.makeKey(ctx, tenant)
	}
	return err
}

// Retire destroys all keys of a tenant but the primary one: what they sealed does not
// open any more. While any record begins otherwise than what the primary key seals, it
// is a Conflict fault with CodeKeyInUse. It must come later than Fresh after the last
// Rotate, for until then other processes may seal under the key before.
func (v *Vault) Retire(ctx context.Context, tenant string) error {
	all, ok := v.c.Store.(Records)
	if !ok {
		return errors.New("retire keys of a tenant: the store does not know what is sealed")
	}
	return v.change(ctx, tenant, func(was Key, r *ring) (*ring, error) {
		if len(r.ids) == 1 && r.sealing != SealsNew {
			return r, nil
		}
		next, err := r.alone()
		if err != nil {
			return nil, fmt.Errorf("take keys of tenant %s away: %w", tenant, err)
		}
		if next.sealing == SealsNew {
			next.sealing = SealsAll // Nothing is left that is not.
		}
		now, err := v.next(ctx, was, next)
		if err != nil {
			return nil, err
		}
		if replaced, err := all.RetireKeys(ctx, now, r.header[:]); !replaced || err != nil {
			return nil, err
		}
		return next, nil
	})
}

// Keys returns how many keys a tenant has: one, unless a rotation is under way.
func (v *Vault) Keys(ctx context.Context, tenant string) (int, error) {
	r, err := v.ring(ctx, tenant, asStored)
	if err != nil {
		return 0, err
	}
	return len(r.ids), nil
}

// Reseal opens records of one tenant and place, and seals each under the primary key.
// What does not open is nil. The Auditor is told of all of them at once, unless they
// are payloads.
func (v *Vault) Reseal(ctx context.Context, p Place, was []Sealed) ([][]byte, error) {
	if len(was) == 0 {
		return nil, nil
	}
	first := was[0].Field
	r, err := v.ring(ctx, first.Tenant, asStored)
	if err != nil {
		return nil, err
	}
	now := make([][]byte, len(was))
	o := Opening{Tenant: first.Tenant, Table: first.Table, Name: first.Name, Use: UseOf(ctx)}
	open := r.open
	if p.Payload {
		open = Payloads{r}.Open
	}
	for i, s := range was {
		if s.Tenant != first.Tenant {
			return nil, fmt.Errorf("seal anew: a record of tenant %s is among those of %s", s.Tenant, first.Tenant)
		}
		o.Records = append(o.Records, s.Record)
		plaintext, err := open(s.Field, s.Bytes)
		if err != nil {
			o.Err = err
			continue
		}
		now[i], err = r.seal(s.Field, plaintext)
		if !p.Payload { // Such a one may be the stored bytes themselves.
			clear(plaintext)
		}
		if err != nil {
			return nil, err
		}
	}
	if p.Payload {
		return now, nil
	}
	if err := v.c.Auditor.Opened(ctx, o); err != nil {
		return nil, fmt.Errorf("audit the opening of %s.%s: %w", o.Table, o.Name, err)
	}
	return now, nil
}

// next is the version of a stored keyset that follows, with the keys of r. It stays
// under its KEK, which has just opened it: that is Rewrap's to change, and not to be
// undone by a process that was not told of the new one as its first yet.
func (v *Vault) next(ctx context.Context, was Key, r *ring) (Key, error) {
	wrapped, err := v.wrap(ctx, v.keeper(was.KeyID), was.Tenant, r)
	was.Wrapped = wrapped
	was.Version++
	was.Generation = r.generation
	was.Sealing = r.sealing
	return was, err
}

// change does something to the stored keyset, which returns what it has made of it, or
// nil if somebody else was quicker. Then it is tried again, a few times.
func (v *Vault) change(ctx context.Context, tenant string, do func(Key, *ring) (*ring, error)) error {
	for range rotateTries {
		at := v.c.Now()
		stored, err := v.c.Store.Key(ctx, tenant)
		if err != nil {
			return fmt.Errorf("find the key of tenant %s: %w", tenant, err)
		}
		r, err := v.unwrap(ctx, stored)
		if err != nil {
			return err
		}
		next, err := do(stored, r)
		if err != nil {
			return err
		}
		if next != nil {
			v.keys.put(tenant, next, at)
			return nil
		}
	}
	return fault.New(fault.Conflict, "key_changed", "the key of tenant %s was changed by somebody else %d times in a row", tenant, rotateTries).
		WithHint("Try again.")
}

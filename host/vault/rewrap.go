package vault

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/tink-crypto/tink-go/v2/keyset"
)

const (
	// rewrapBatch is how many keysets are written in one transaction, and rewrapAtOnce
	// how many a keeper is asked for at once: one elsewhere takes milliseconds for each.
	rewrapBatch  = 200
	rewrapAtOnce = 8
	// unopenedShown is how many tenants are named whose keysets do not open.
	unopenedShown = 20
)

// Rewrapped is how far a Rewrap has come.
type Rewrapped struct {
	// Total is how many keysets there were to wrap anew when it began.
	Total int `json:"total"`
	// Done are those that it has wrapped anew, and Skipped those that somebody else
	// changed, or took away, meanwhile.
	Done    int `json:"done"`
	Skipped int `json:"skipped"`
	// Unopened names tenants whose keysets do not open: they stay as they are.
	Unopened []string `json:"unopened,omitempty"`
}

// Rewrap has all keysets wrapped by the Keeper that are wrapped by one of Others; with
// again, also those that an older version of the Keeper's own KEK wraps, if it is a
// Rewrapper. Everything goes on meanwhile, and any number of processes may do it at
// once. Where it ends early, calling it again does the rest. Progress is called after
// each batch.
func (v *Vault) Rewrap(ctx context.Context, again bool, progress func(Rewrapped)) (Rewrapped, error) {
	all, ok := v.c.Store.(Keysets)
	if !ok {
		return Rewrapped{}, errors.New("wrap keys anew: the store cannot replace keys")
	}
	counts, err := all.KeyCounts(ctx)
	if err != nil {
		return Rewrapped{}, fmt.Errorf("count the keys: %w", err)
	}
	var w Rewrapped
	var from []string
	for _, n := range counts {
		if _, versioned := v.c.Keeper.(Rewrapper); n.KeyID == v.c.Keeper.KeyID() && (!again || !versioned) {
			continue
		}
		w.Total += n.Tenants
		from = append(from, n.KeyID)
	}
	for _, id := range from {
		if err := v.rewrapAll(ctx, all, id, &w, progress); err != nil {
			return w, err
		}
	}
	return w, nil
}

// rewrapAll does the keysets that one KEK wraps.
func (v *Vault) rewrapAll(ctx context.Context, all Keysets, id string, w *Rewrapped, progress func(Rewrapped)) error {
	for after := ""; ; {
		batch, err := all.KeysUnder(ctx, id, after, rewrapBatch)
		if err != nil {
			return fmt.Errorf("list the keys under %s: %w", id, err)
		}
		if len(batch) == 0 {
			return nil
		}
		after = batch[len(batch)-1].Tenant
		changed, err := v.rewrapBatch(ctx, batch, w)
		if err != nil {
			return err
		}
		n, err := all.ReplaceKeys(ctx, changed)
		if err != nil {
			return fmt.Errorf("store keys that were wrapped anew: %w", err)
		}
		w.Done += n
		w.Skipped += len(changed) - n
		progress(*w)
	}
}

// rewrapBatch returns what to store, without what does not open.
func (v *Vault) rewrapBatch(ctx context.Context, batch []Key, w *Rewrapped) ([]Key, error) {
	done, errs := make([]Key, len(batch)), make([]error, len(batch))
	var wait sync.WaitGroup
	slots := make(chan struct{}, rewrapAtOnce)
	for i, k := range batch {
		slots <- struct{}{}
		wait.Go(func() {
			defer func() { <-slots }()
			done[i], errs[i] = v.rewrap(ctx, k)
		})
	}
	wait.Wait()
	changed := make([]Key, 0, len(batch))
	for i, err := range errs {
		switch {
		case errors.Is(err, ErrSealed):
			if len(w.Unopened) < unopenedShown {
				w.Unopened = append(w.Unopened, batch[i].Tenant)
			}
		case err != nil:
			return nil, err
		default:
			changed = append(changed, done[i])
		}
	}
	return changed, nil
}

// rewrap returns the next version of a keyset: the same keys, wrapped anew.
func (v *Vault) rewrap(ctx context.Context, k Key) (Key, error) {
	var err error
	if versioned, ok := v.c.Keeper.(Rewrapper); ok && k.KeyID == v.c.Keeper.KeyID() {
		k.Wrapped, err = rewrapped(ctx, versioned, k)
	} else {
		var r *ring
		if r, err = v.unwrap(ctx, k); err == nil {
			k.Wrapped, err = v.wrap(ctx, v.c.Keeper, k.Tenant, r)
		}
	}
	k.KeyID = v.c.Keeper.KeyID()
	k.Version++
	return k, err
}

// rewrapped has a keeper bring to its latest version what it has wrapped, which stands
// inside of what Tink stores.
func rewrapped(ctx context.Context, k Rewrapper, stored Key) ([]byte, error) {
	inside, err := keyset.NewBinaryReader(bytes.NewReader(stored.Wrapped)).ReadEncrypted()
	if err != nil {
		return nil, ErrSealed
	}
	if inside.EncryptedKeyset, err = k.Rewrap(ctx, stored.Tenant, inside.GetEncryptedKeyset()); err != nil {
		return nil, fmt.Errorf("wrap the key of tenant %s anew: %w", stored.Tenant, err)
	}
	var b bytes.Buffer
	if err := keyset.NewBinaryWriter(&b).WriteEncrypted(inside); err != nil {
		return nil, fmt.Errorf("encode the key of tenant %s: %w", stored.Tenant, err)
	}
	return b.Bytes(), nil
}

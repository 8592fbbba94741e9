package vault

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/cofferdam-run/cofferdam/host/fault"
)

// awayFor is how long a keeper that could not be asked is not asked again: those who
// come meanwhile need not all wait for it.
const awayFor = time.Second

// Unavailable is the fault of a keeper that does not answer: the same call may work
// later. What names the keeper, and err is the cause, which only operators see.
func Unavailable(what string, err error) *fault.Error {
	return fault.New(fault.Platform, fault.CodeKeeperUnavailable, "the keeper of the key, %s, does not answer", what).
		WithHint("Tenants whose keys are in memory go on. Check that it runs and can be reached from here; the call can be made again.").
		Because(err)
}

// Refused is the fault of a keeper that answers, and not with what was asked for.
func Refused(what string, err error) *fault.Error {
	return fault.New(fault.Platform, fault.CodeKeeperRefused, "the keeper of the key, %s, refuses", what).
		WithHint("Tenants whose keys are in memory go on. Check the credential that this server has for it, its permissions and the key's state.").
		Because(err)
}

// keeper returns the one of a KEK, or nil.
func (v *Vault) keeper(id string) Keeper {
	if v.c.Keeper.KeyID() == id {
		return v.c.Keeper
	}
	for _, k := range v.c.Others {
		if k.KeyID() == id {
			return k
		}
	}
	return nil
}

func (v *Vault) wrap(ctx context.Context, k Keeper, tenant string, r *ring) (wrapped []byte, err error) {
	err = v.ask(ctx, k.KeyID(), func() error {
		wrapped, err = r.wrap(ctx, k, tenant)
		return err
	})
	return wrapped, err
}

func (v *Vault) unwrap(ctx context.Context, stored Key) (r *ring, err error) {
	k := v.keeper(stored.KeyID)
	if k == nil {
		ids := []string{v.c.Keeper.KeyID()}
		for _, other := range v.c.Others {
			ids = append(ids, other.KeyID())
		}
		return nil, fault.New(fault.Platform, "wrong_key", "what is stored was sealed under the key %s, and this is the key %s",
			stored.KeyID, strings.Join(ids, " with ")).
			WithHint("Start with the key file whose id is %s: restore it from a backup. Nothing else opens what is stored.", stored.KeyID)
	}
	err = v.ask(ctx, stored.KeyID, func() error {
		r, err = unwrap(ctx, k, stored)
		return err
	})
	return r, err
}

// ask does what needs a keeper, unless the keeper was away a moment ago.
func (v *Vault) ask(ctx context.Context, id string, do func() error) error {
	now := v.c.Now()
	if err := v.health.lately(id, now); err != nil {
		return err
	}
	err := do()
	if f, ok := errors.AsType[*fault.Error](err); ok && f.Code == fault.CodeKeeperUnavailable && ctx.Err() == nil {
		v.health.note(id, *f, v.c.Now().Add(awayFor))
	}
	return err
}

// health remembers keepers that were away.
type health struct {
	mu   sync.Mutex
	away map[string]outage
}

type outage struct {
	fault fault.Error
	until time.Time
}

func (h *health) lately(id string, now time.Time) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if o, ok := h.away[id]; ok && now.Before(o.until) {
		return &o.fault // A copy of its own: whoever gets a fault may add to it.
	}
	return nil
}

func (h *health) note(id string, f fault.Error, until time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.away[id] = outage{f, until}
}

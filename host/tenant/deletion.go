package tenant

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/cofferdam-run/cofferdam/host/fault"
)

// Deletion is the end of a tenant:
//
//	         ask                 due at                     nothing left
//	tenant --------> asked -------------------> erasing -----------------> done
//	  ^                |     its key is destroyed        its rows go
//	  +--- restore ----+
//
// Between due at and the end of the key, an hour at most, what users have agreed to is
// revoked where they did: who restores a tenant then has its accounts to connect again.
//
// It is there from when it was asked for, and stays when the tenant is gone.
type Deletion struct {
	// Tenant is its id, and Name what it was called: the name is free once it is done.
	Tenant string        `json:"tenant"`
	Name   string        `json:"name"`
	State  DeletionState `json:"state"`
	// AskedBy is the id of a token, or who has logged in.
	AskedAt time.Time `json:"asked_at"`
	AskedBy string    `json:"asked_by,omitempty"`
	// DueAt is when the key is destroyed; until then it can be restored.
	DueAt time.Time `json:"due_at"`
	// Was is the tenant's state before, which Restore gives it back.
	Was State `json:"was"`
	// DestroyedAt is when the key was destroyed.
	DestroyedAt time.Time `json:"destroyed_at,omitzero"`
	FinishedAt  time.Time `json:"finished_at,omitzero"`
	// Waits says what has to end first, or is empty.
	Waits  string `json:"waits,omitempty"`
	Report Report `json:"report"`
}

// DeletionState says how far a deletion has come.
type DeletionState string

// The states of a deletion.
const (
	DeletionAsked   DeletionState = "asked"
	DeletionErasing DeletionState = "erasing"
	DeletionDone    DeletionState = "done"
)

// Report says what a deletion has taken away, and what it has not.
type Report struct {
	// Key is the one that was destroyed; none if the tenant had sealed nothing.
	Key *DestroyedKey `json:"key,omitempty"`
	// Erased counts rows by table. Each step is counted in its own transaction, so that
	// the sums are exact wherever a process has died.
	Erased map[string]int64 `json:"erased"`
	// Modules are the digests of plugins of its own.
	Modules []string `json:"modules,omitempty"`
	// Remains is filled in at the end.
	Remains []Remain `json:"remains,omitempty"`
}

// DestroyedKey tells which key was destroyed, so that it can be looked for in backups.
type DestroyedKey struct {
	// KEK is the id of the key that wrapped it.
	KEK string `json:"kek"`
	// IDs are those of the keys in the keyset that its records were found to be sealed
	// with, and Generation how often the keys were changed.
	IDs        []string `json:"ids,omitempty"`
	Generation int64    `json:"generation"`
	// Payloads says that all bodies, outputs, journals and state were sealed with it. Those
	// of a tenant from before they were are not until its key was rotated.
	Payloads bool `json:"payloads"`
	// SHA256 is of the wrapped keyset as it was stored last.
	SHA256 string `json:"sha256"`
}

// Remain is something of a tenant's that a deletion leaves.
type Remain struct {
	// Where it is: a table, a file, or a place outside of the database.
	Where string `json:"where"`
	// What it is, and of what it says something.
	What string `json:"what"`
	// Rows is how many, where they can be counted.
	Rows int64 `json:"rows,omitempty"`
	// Until says when it goes.
	Until string `json:"until"`
}

// Deletions keeps the ends of tenants. Each method may be called again after any of its
// calls was lost half-way.
type Deletions interface {
	// AskDeletion pauses what was read as was, and notes that it is to be deleted when
	// grace is over, or changes when that is. It returns a Conflict fault with
	// CodeChanged if the tenant is no longer that, and one with CodePublisher if other
	// tenants have installed plugins of its own.
	AskDeletion(ctx context.Context, was Tenant, grace time.Duration) (Deletion, error)
	// RestoreTenant calls a deletion off, and gives the tenant back the state that it
	// had. It returns a Conflict fault with CodeDeleting once the key is destroyed, and
	// changes nothing where there is no deletion.
	RestoreTenant(ctx context.Context, tenant string) error
	// DestroyKey takes the key and the tokens of a tenant whose deletion is due, and
	// marks it as Deleting, in one transaction. It says whether that is so now.
	DestroyKey(ctx context.Context, tenant string) (bool, error)
	// Deletion finds by the tenant's id or by its name, of several the latest.
	Deletion(ctx context.Context, idOrName string) (Deletion, error)
	// Deletions lists up to limit after a tenant's id, by id.
	Deletions(ctx context.Context, after string, limit int) ([]Deletion, error)
}

const (
	// defaultGrace is long enough for somebody to miss what is gone.
	defaultGrace = 7 * 24 * time.Hour
	maxGrace     = 90 * 24 * time.Hour
)

// Delete asks for the deletion of a tenant: it is paused now, and deleted when grace is
// over, of which nil is the host's default. Until then Restore calls it off. Then its key
// is destroyed first: what it had sealed cannot be opened any more, from no backup that
// lacks the key. The rest, all that it owns but what it has used, is taken away in the
// background. The Deletion says how far that is, and stays.
//
// With a grace of 0 the key and the tokens are gone when this returns. Deleting again
// changes nothing but the grace, which counts from when it was asked for first.
//
// A tenant whose own plugins others have installed is not deleted.
func (t *Tenants) Delete(ctx context.Context, idOrName string, grace *time.Duration) (Deletion, error) {
	if grace != nil && (*grace < 0 || *grace > maxGrace) {
		return Deletion{}, fault.New(fault.InvalidInput, "grace_invalid", "the grace is %s, and must be from 0s to 90 days", *grace).At("grace")
	}
	var d Deletion
	var err error
	for range updateTries {
		d, err = t.ask(ctx, idOrName, grace)
		if !isChanged(err) {
			break
		}
	}
	if err != nil {
		return Deletion{}, err
	}
	if d.State == DeletionAsked && d.DueAt.Equal(d.AskedAt) {
		if t.c.Leave != nil {
			t.c.Leave(ctx, d.Tenant)
		}
		if _, err := t.c.Store.DestroyKey(ctx, d.Tenant); err != nil {
			return Deletion{}, fmt.Errorf("destroy the key: %w", err)
		}
		if d, err = t.c.Store.Deletion(ctx, d.Tenant); err != nil {
			return Deletion{}, fmt.Errorf("find the deletion: %w", err)
		}
	}
	if t.c.Deleted != nil {
		t.c.Deleted(d.Tenant)
	}
	return d, nil
}

// ask asks once.
func (t *Tenants) ask(ctx context.Context, idOrName string, grace *time.Duration) (Deletion, error) {
	found, err := t.Get(ctx, idOrName)
	if err != nil {
		if gone, lost := t.c.Store.Deletion(ctx, idOrName); lost == nil {
			return gone, nil // It has been deleted: asking again changes nothing.
		}
		return Deletion{}, err
	}
	if found.State == Deleting || !found.DeleteAt.IsZero() && grace == nil {
		return t.Deletion(ctx, found.ID)
	}
	if grace == nil {
		grace = &t.c.Grace
	}
	d, err := t.c.Store.AskDeletion(ctx, found, *grace)
	if err != nil {
		return Deletion{}, fmt.Errorf("delete tenant: %w", err)
	}
	return d, nil
}

// Restore calls a deletion off, before it is due: the tenant is as it was before. A
// tenant that is not to be deleted stays as it is.
func (t *Tenants) Restore(ctx context.Context, idOrName string) (Tenant, error) {
	found, err := t.Get(ctx, idOrName)
	if err != nil {
		return Tenant{}, err
	}
	if err := t.c.Store.RestoreTenant(ctx, found.ID); err != nil {
		return Tenant{}, fmt.Errorf("restore tenant: %w", err)
	}
	if found, err = t.Get(ctx, found.ID); err != nil {
		return Tenant{}, err
	}
	if found.State == Active {
		if err := t.c.Release(ctx, found.ID); err != nil {
			return Tenant{}, fmt.Errorf("release executions: %w", err)
		}
	}
	return found, nil
}

// Deletion returns the deletion of a tenant, which may be gone, by its id or name.
func (t *Tenants) Deletion(ctx context.Context, idOrName string) (Deletion, error) {
	if living, err := t.c.Store.Tenant(ctx, idOrName); err == nil {
		idOrName = living.ID // And not one that was called so before.
	}
	d, err := t.c.Store.Deletion(ctx, idOrName)
	if err != nil {
		return Deletion{}, fmt.Errorf("find the deletion: %w", err)
	}
	return d, nil
}

// Deletions lists up to limit deletions after a tenant's id; a limit of 0, or above 200,
// is 200.
func (t *Tenants) Deletions(ctx context.Context, after string, limit int) ([]Deletion, error) {
	if limit <= 0 || limit > maxPage {
		limit = maxPage
	}
	found, err := t.c.Store.Deletions(ctx, after, limit)
	if err != nil {
		return nil, fmt.Errorf("list deletions: %w", err)
	}
	return found, nil
}

// isChanged says that another change came before.
func isChanged(err error) bool {
	e, ok := errors.AsType[*fault.Error](err)
	return ok && e.Code == CodeChanged
}

// Leaving is the fault of what cannot be done to a tenant whose deletion was asked for.
func Leaving(t Tenant) *fault.Error {
	return fault.New(fault.Conflict, CodeLeaving, "the tenant %q is to be deleted, at %s", t.Name, t.DeleteAt.UTC().Format(time.RFC3339)).
		WithHint("call that off first: `cofferdam tenant restore %s`", t.Name)
}

// Name is how the key is called in the audit log.
func (k *DestroyedKey) Name() string {
	if k == nil {
		return ""
	}
	return strings.Join(k.IDs, ",") + " under " + k.KEK
}

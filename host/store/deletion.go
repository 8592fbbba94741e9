package store

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"slices"
	"time"

	"github.com/cofferdam-run/cofferdam/host/audit"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/ident"
	"github.com/cofferdam-run/cofferdam/host/store/internal/column"
	"github.com/cofferdam-run/cofferdam/host/tenant"
	"github.com/cofferdam-run/cofferdam/host/vault"
)

const deletionColumns = `SELECT tenant, name, state, was, asked_at, asked_by, due_at, destroyed_at, finished_at, waits, report FROM deletions `

// waitsForPlugins is what a deletion waits for while others need plugins of the tenant's.
const waitsForPlugins = "other tenants that use its plugins"

// AskDeletion implements tenant.Store.
func (s *SQL) AskDeletion(ctx context.Context, was tenant.Tenant, grace time.Duration) (tenant.Deletion, error) {
	now := s.d.Clock()
	who := audit.Host
	if e, _, ok := audit.EntryOf(ctx, now); ok {
		who = e.Who
	}
	err := s.write(ctx, "ask for a deletion", func(ctx context.Context, tx Conn) error {
		used, err := usedByOthers(ctx, tx, was.ID)
		if err != nil {
			return err
		}
		if len(used) > 0 {
			return conflict(tenant.CodePublisher, "the tenant %q has published plugins that other tenants have installed, such as %q", was.Name, used[0]).
				WithHint("remove those installations first: the plugins would go with the tenant")
		}
		n, err := execOn(ctx, tx, `UPDATE tenants SET state = 'paused' WHERE id = $1 AND name = $2 AND state = $3 AND state IN ('active', 'paused')`,
			was.ID, was.Name, string(was.State))
		if err != nil {
			return err
		}
		if n == 0 {
			return tenantChanged(ctx, tx, was)
		}
		due, err := scanInt64(tx.QueryRowContext(ctx,
			`INSERT INTO deletions (tenant, name, state, was, asked_at, asked_by, due_at) VALUES ($1, $2, 'asked', $3, $4, $5, $6)
			 ON CONFLICT (tenant) DO UPDATE SET due_at = deletions.asked_at + $7 RETURNING due_at`,
			was.ID, was.Name, string(was.State), column.Micros(now), who, column.Micros(now.Add(grace)), grace.Microseconds()))
		if err != nil {
			return err
		}
		_, err = execOn(ctx, tx, `UPDATE tenants SET delete_at = $2 WHERE id = $1`, was.ID, due)
		return err
	})
	if err != nil {
		return tenant.Deletion{}, err
	}
	return s.Deletion(ctx, was.ID)
}

// usedByOthers names some plugins of a tenant's own that others have installed.
func usedByOthers(ctx context.Context, tx Conn, tenant string) ([]string, error) {
	return listOn(ctx, tx, scanString,
		`SELECT DISTINCT p.name FROM publishers b JOIN plugins p ON p.publisher = b.id JOIN plugin_versions v ON v.plugin = p.id
		 JOIN installations i ON i.version_id = v.id WHERE b.tenant = $1 AND i.tenant <> $1 AND i.state <> 'removed'
		 ORDER BY p.name LIMIT 3`, tenant)
}

// RestoreTenant implements tenant.Store.
func (s *SQL) RestoreTenant(ctx context.Context, id string) error {
	err := s.write(ctx, "call a deletion off", func(ctx context.Context, tx Conn) error {
		// The tenant first, as all do: who destroys the key waits, and finds none to destroy.
		state, err := scanString(tx.QueryRowContext(ctx, `UPDATE tenants SET delete_at = 0 WHERE id = $1 AND state = 'paused' AND delete_at <> 0 RETURNING state`, id))
		if errors.Is(err, sql.ErrNoRows) {
			return s.notRestorable(ctx, tx, id)
		}
		if err != nil {
			return err
		}
		was, err := scanString(tx.QueryRowContext(ctx, `DELETE FROM deletions WHERE tenant = $1 AND state = 'asked' RETURNING was`, id))
		if err != nil || was == state {
			return err
		}
		_, err = execOn(ctx, tx, `UPDATE tenants SET state = $2 WHERE id = $1`, id, was)
		return err
	})
	if errors.Is(err, errUnchanged) {
		return nil
	}
	return err
}

// notRestorable says why there was nothing to call off.
func (*SQL) notRestorable(ctx context.Context, tx Conn, id string) error {
	var name, state string
	err := tx.QueryRowContext(ctx, `SELECT name, state FROM tenants WHERE id = $1`, id).Scan(&name, &state)
	switch {
	case errors.Is(err, sql.ErrNoRows), state == "deleted":
		return fault.NotFound("tenant", id)
	case err != nil:
		return err
	case state == string(tenant.Deleting):
		return tenant.BeingDeleted(tenant.Tenant{Name: name})
	default:
		return errUnchanged
	}
}

// DestroyKey implements tenant.Store. The key goes with the mark: from here on nothing
// that it sealed can be opened.
func (s *SQL) DestroyKey(ctx context.Context, id string) (bool, error) {
	destroyed := false
	err := s.write(ctx, "destroy a tenant's key", func(ctx context.Context, tx Conn) error {
		var err error
		destroyed, err = s.destroyKey(ctx, tx, id)
		if err == nil && !destroyed {
			return errUnchanged
		}
		return err
	})
	if errors.Is(err, errUnchanged) {
		return s.stillStanding(ctx, id)
	}
	return destroyed && err == nil, err
}

func (s *SQL) destroyKey(ctx context.Context, tx Conn, id string) (bool, error) {
	used, err := usedByOthers(ctx, tx, id)
	if err != nil || len(used) > 0 {
		return false, err
	}
	now := s.d.Clock()
	n, err := execOn(ctx, tx, `UPDATE tenants SET state = 'deleting' WHERE id = $1 AND state = 'paused' AND delete_at <> 0 AND delete_at <= $2`,
		id, column.Micros(now))
	if err != nil || n == 0 {
		return false, err
	}
	key, err := destroyedKey(ctx, tx, id)
	if err != nil {
		return false, err
	}
	report := tenant.Report{Key: key, Erased: map[string]int64{}}
	if err := shred(ctx, tx, id, report.Erased); err != nil {
		return false, err
	}
	doc, err := column.JSON(report)
	if err != nil {
		return false, err
	}
	_, err = execOn(ctx, tx, `UPDATE deletions SET state = 'erasing', destroyed_at = $2, waits = '', report = $3 WHERE tenant = $1`, id, column.Micros(now), doc)
	if err != nil {
		return false, err
	}
	return true, s.noteEnd(ctx, tx, audit.Entry{At: now, Tenant: id, Action: "tenant.key.destroy", Object: id, Key: key.Name()})
}

// noteEnd adds an entry of what the program does to a tenant by itself.
func (*SQL) noteEnd(ctx context.Context, tx Conn, e audit.Entry) error {
	e.ID, e.Who, e.Purpose, e.Result = ident.New(audit.Prefix, e.At), audit.Host, "deletion", audit.Done
	text, err := e.Text()
	if err != nil {
		return err
	}
	return addAct(ctx, tx, e, text)
}

// stillStanding says why a key was not destroyed: the deletion is over that already, is
// not due yet, or waits. One of a tenant that a server of the version before has resumed
// is off: what somebody has put to use again is not destroyed.
func (s *SQL) stillStanding(ctx context.Context, id string) (bool, error) {
	d, err := s.Deletion(ctx, id)
	if isGone(err) {
		return false, nil // It was called off meanwhile.
	}
	if err != nil {
		return false, err
	}
	if d.State != tenant.DeletionAsked {
		return true, nil
	}
	t, err := s.Tenant(ctx, id)
	if err != nil {
		return false, err
	}
	if t.State == tenant.Active {
		return false, s.write(ctx, "call a deletion off", func(ctx context.Context, tx Conn) error {
			n, err := execOn(ctx, tx, `UPDATE tenants SET delete_at = 0 WHERE id = $1 AND state = 'active'`, id)
			if err != nil || n == 0 {
				return err
			}
			_, err = execOn(ctx, tx, `DELETE FROM deletions WHERE tenant = $1 AND state = 'asked'`, id)
			return err
		})
	}
	_, err = s.Needed(ctx, id)
	return false, err
}

// Needed implements retention.Store.
func (s *SQL) Needed(ctx context.Context, id string) (bool, error) {
	used, err := usedByOthers(ctx, s.d.Reader(), id)
	if err != nil || len(used) == 0 {
		return false, Fault(s.d, err, "read the database")
	}
	return true, s.NoteWait(ctx, id, waitsForPlugins)
}

// NoteWait implements retention.Store.
func (s *SQL) NoteWait(ctx context.Context, id, what string) error {
	_, err := s.exec(ctx, "note what a deletion waits for", `UPDATE deletions SET waits = $2 WHERE tenant = $1 AND waits <> $2`, id, what)
	return err
}

// destroyedKey reads which key is to be destroyed, nil for none.
func destroyedKey(ctx context.Context, tx Conn, id string) (*tenant.DestroyedKey, error) {
	k, err := scanKey(tx.QueryRowContext(ctx, keyColumns+`WHERE tenant = $1`, id))
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil //nolint:nilnil // A tenant that has sealed nothing has no key.
	}
	if err != nil {
		return nil, err
	}
	ids, err := keyIDs(ctx, tx, id)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(k.Wrapped)
	return &tenant.DestroyedKey{
		KEK: k.KeyID, IDs: ids, Generation: k.Generation, Payloads: k.Sealing == vault.SealsAll, SHA256: hex.EncodeToString(sum[:]),
	}, nil
}

// keyIDs are those of the keys that a tenant's records were sealed with, of which one of
// each column is looked at: they are inside of the keyset, which is wrapped.
func keyIDs(ctx context.Context, tx Conn, id string) ([]string, error) {
	var ids []string
	for _, c := range sealedColumns() {
		found, err := listOn(ctx, tx, scanBytes, `SELECT `+c.column+` FROM `+c.Table+` WHERE `+c.owner+` = $1 AND `+c.column+` IS NOT NULL LIMIT 1`, id)
		if err != nil {
			return nil, err
		}
		for _, sealed := range found {
			if key := vault.KeyID(sealed); key != "" && !slices.Contains(ids, key) {
				ids = append(ids, key)
			}
		}
	}
	slices.Sort(ids)
	return ids, nil
}

// shred deletes a tenant's key, its tokens, and the key that signs tokens.
func shred(ctx context.Context, tx Conn, tenant string, erased map[string]int64) error {
	for _, t := range []string{"tenant_keys", "tokens", "token_keys"} {
		n, err := execOn(ctx, tx, `DELETE FROM `+t+` WHERE tenant = $1`, tenant)
		if err != nil {
			return err
		}
		if n > 0 {
			erased[t] += n
		}
	}
	return nil
}

// Deletion implements tenant.Store.
func (s *SQL) Deletion(ctx context.Context, idOrName string) (tenant.Deletion, error) {
	return find(ctx, s, fault.NotFound("deletion of tenant", idOrName), scanDeletion,
		deletionColumns+`WHERE tenant = $1 OR name = $1 ORDER BY CASE WHEN tenant = $1 THEN 0 ELSE 1 END, tenant DESC LIMIT 1`, idOrName)
}

// Deletions implements tenant.Store.
func (s *SQL) Deletions(ctx context.Context, after string, limit int) ([]tenant.Deletion, error) {
	return list(ctx, s, scanDeletion, deletionColumns+`WHERE tenant > $1 ORDER BY tenant LIMIT $2`, after, limit)
}

func scanDeletion(r scanner) (tenant.Deletion, error) {
	var d tenant.Deletion
	var asked, due, destroyed, finished int64
	var report []byte
	err := r.Scan(&d.Tenant, &d.Name, &d.State, &d.Was, &asked, &d.AskedBy, &due, &destroyed, &finished, &d.Waits, &report)
	if err != nil {
		return d, err
	}
	d.AskedAt, d.DueAt, d.DestroyedAt, d.FinishedAt = column.Time(asked), column.Time(due), column.Time(destroyed), column.Time(finished)
	d.Report.Erased = map[string]int64{}
	if len(report) == 0 {
		return d, nil
	}
	err = column.FromJSON(report, &d.Report)
	return d, err
}

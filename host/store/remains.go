package store

import (
	"context"
	"fmt"
	"strings"

	"github.com/cofferdam-run/cofferdam/host/tenant"
)

// Residue is what a Driver can do besides: say what the database's own files keep of rows
// that were deleted, after it has done what it can so that this is little.
type Residue interface {
	Residue(ctx context.Context) []tenant.Remain
}

// remains counts what a deletion leaves, and returns what fits it to the report.
func (s *SQL) remains(ctx context.Context, id string) (func(r tenant.Report) []tenant.Remain, error) {
	counts := map[string]int64{}
	for name, query := range map[string]string{
		"usage_days":    `SELECT count(*) FROM usage_days WHERE tenant = $1`,
		"audit_leaves":  `SELECT count(*) FROM audit_leaves WHERE about = $1`,
		"audit_pending": `SELECT count(*) FROM audit_pending WHERE about = $1`,
	} {
		n, err := find(ctx, s, nil, scanInt64, query, id)
		if err != nil {
			return nil, err
		}
		counts[name] = n
	}
	var files []tenant.Remain
	if d, ok := driverOf(s.d).(Residue); ok {
		files = d.Residue(ctx)
	}
	shared, err := s.sharedModules(ctx, id)
	if err != nil {
		return nil, err
	}
	return func(r tenant.Report) []tenant.Remain {
		all := inTables(counts)
		if shared > 0 {
			all = append(all, tenant.Remain{
				Where: "blobs", Rows: shared, What: "modules that it had published and others have, too, byte for byte: under their names",
				Until: "those others delete them",
			})
		}
		return append(append(all, files...), elsewhere(r)...)
	}, nil
}

// inTables is what is left in the database.
func inTables(counts map[string]int64) []tenant.Remain {
	return []tenant.Remain{
		{
			Where: "tenants", Rows: 1, Until: "for good: ids of usage refer to it",
			What: "the id, when it was made, its limits and retention; no name, no title",
		},
		{
			Where: "deletions", Rows: 1, Until: "for good: it shows that this was done",
			What: "this report: the id, the name, who asked and when, the ids of the key, counts of rows, digests of its plugins",
		},
		{
			Where: "usage_days", Rows: counts["usage_days"], Until: "for good: bills are made of it",
			What: "totals by day: the ids of the tenant and its installations, and numbers",
		},
		{
			Where: "audit_leaves", Rows: counts["audit_leaves"] + counts["audit_pending"],
			What: "entries of the audit log: when, who (the id of a token or a login) and from which address, what was done to which ids, " +
				"how it ended, and for uses of credentials the execution and the purpose; no names, no bodies, no credentials",
			Until: "their text for as long as the log keeps it, 400 days unless it is told otherwise; their hashes for good",
		},
		{
			Where: "idempotency_keys", Until: "48 hours after each request",
			What: "answers to requests of the operator's that had an Idempotency-Key, which may have been about it; those to its own are gone",
		},
	}
}

// elsewhere is what is left outside of the database.
func elsewhere(r tenant.Report) []tenant.Remain {
	all := []tenant.Remain{backups(r.Key)}
	if len(r.Modules) > 0 {
		all = append(all, tenant.Remain{
			Where: "cache folders of the servers", Rows: int64(len(r.Modules)), Until: "somebody empties the folders, or they fill up",
			What: "compiled code of plugins of its own, by digest: " + strings.Join(r.Modules, ", "),
		})
	}
	return append(all,
		tenant.Remain{
			Where: "logs of the servers", Until: "whoever keeps them deletes them",
			What: "ids, addresses, and texts of errors; no bodies and no credentials",
		},
		tenant.Remain{
			Where: "exports", Until: "whoever has them deletes them",
			What: "what was given out before: archives of the tenant, recordings of executions, transcripts of the audit log",
		})
}

// backups says when a backup is shredded, too, which is not in our hands.
func backups(key *tenant.DestroyedKey) tenant.Remain {
	r := tenant.Remain{
		Where: "backups of the database", Until: "the backups from before the key was destroyed expire",
		What: "all that was not sealed, as it was. The tenant had no key, so that nothing was sealed",
	}
	if key == nil {
		return r
	}
	r.What = fmt.Sprintf("all that was not sealed, as it was; and what was sealed, with the tenant's key (%s, generation %d) wrapped by the key %s. "+
		"A backup that holds the wrapped key is not shredded while %[3]s exists, or another that has wrapped it before: whoever has both opens what is sealed. "+
		"It is shredded once those are destroyed (rotate with `cofferdam key rewrap`, then destroy the one before wherever it is kept) or the backup is. "+
		"The SHA-256 of the wrapped key as it was stored last is %s",
		strings.Join(key.IDs, ", "), key.Generation, key.KEK, key.SHA256)
	if !key.Payloads {
		r.What += ". Among what was not sealed are payloads from before they were, which no rotation of its key has sealed"
	}
	r.Until = "the backups from before the key was destroyed expire, or every key that has wrapped it is destroyed"
	return r
}

// sharedModules counts the modules of a deletion that others have, too.
func (s *SQL) sharedModules(ctx context.Context, id string) (int64, error) {
	d, err := s.Deletion(ctx, id)
	if isGone(err) {
		return 0, nil // One that a server of the version before has begun, of a tenant that had nothing.
	}
	if err != nil {
		return 0, err
	}
	total := int64(0)
	for _, digest := range d.Report.Modules {
		n, err := find(ctx, s, nil, scanInt64, `SELECT count(*) FROM blobs WHERE digest = $1`, digest)
		if err != nil {
			return 0, err
		}
		total += n
	}
	return total, nil
}

// driverOf is the database's own Driver.
func driverOf(d Driver) Driver {
	if r, ok := d.(recorded); ok {
		return r.Driver
	}
	return d
}

// Package record writes what the runs of an execution have recorded, one
// statement at a time: for the one writer of SQLite, and for what is rare. Whoever
// calls it has looked in the same transaction that it may.
package record

import (
	"bytes"
	"context"
	"database/sql"
	"maps"
	"slices"

	"github.com/cofferdam-run/cofferdam/hostfns/journal"
)

// WorldSeq is the number of the world, which lies before the segments.
const WorldSeq = 0

// Tx is a transaction.
type Tx interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// Of names an execution's journal.
type Of struct {
	Tenant, Execution string
}

// World pins a world, in the place of an earlier one.
func World(ctx context.Context, tx Tx, of Of, world []byte) error {
	_, err := tx.ExecContext(ctx,
		`INSERT INTO journal (tenant, execution, seq, body) VALUES ($1, $2, $3, $4)
		 ON CONFLICT (tenant, execution, seq) DO UPDATE SET body = excluded.body`,
		of.Tenant, of.Execution, WorldSeq, world)
	return err
}

// Segment adds a segment. One with the number of another is a broken key.
func Segment(ctx context.Context, tx Tx, of Of, s journal.Segment, now int64) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO journal (tenant, execution, seq, body) VALUES ($1, $2, $3, $4)`,
		of.Tenant, of.Execution, s.Seq, s.Data)
	if err != nil {
		return err
	}
	return Large(ctx, tx, of, s, now)
}

// Large keeps the large bodies of a segment that is there already.
func Large(ctx context.Context, tx Tx, of Of, s journal.Segment, now int64) error {
	for _, d := range Digests(s) {
		// What is there already is marked as used: the lock that this takes, or the
		// time, keeps a purge from it.
		_, err := tx.ExecContext(ctx,
			`INSERT INTO journal_bodies (tenant, digest, bytes, used_at) VALUES ($1, $2, $3, $4)
			 ON CONFLICT (tenant, digest) DO UPDATE SET used_at = excluded.used_at`,
			of.Tenant, d[:], s.Large[d], now)
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx,
			`INSERT INTO journal_refs (tenant, execution, digest) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`,
			of.Tenant, of.Execution, d[:])
		if err != nil {
			return err
		}
	}
	return nil
}

// Digests are those of a segment's large bodies, in the order in which all lock them.
func Digests(s journal.Segment) []journal.Digest {
	return slices.SortedFunc(maps.Keys(s.Large), func(a, b journal.Digest) int { return bytes.Compare(a[:], b[:]) })
}

// Bytes is how much a segment carries; nil carries nothing.
func Bytes(s *journal.Segment) int {
	if s == nil {
		return 0
	}
	n := len(s.Data)
	for _, b := range s.Large {
		n += len(b)
	}
	return n
}

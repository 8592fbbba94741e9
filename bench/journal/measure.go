package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/cofferdam-run/cofferdam/bench/internal/database"
)

// lies is what a database holds.
type lies struct {
	executions, rows, journal, total float64
}

// measure looks how large everything is: the journal's own bytes, without what the
// database keeps around them, and the whole database.
func (s *side) measure(ctx context.Context) (l lies, err error) {
	total := `SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()`
	if s.database == database.Postgres {
		total = `SELECT pg_database_size(current_database())`
	}
	for query, to := range map[string]*float64{
		`SELECT COUNT(*) FROM executions`:                    &l.executions,
		`SELECT COUNT(*) FROM journal`:                       &l.rows,
		`SELECT COALESCE(SUM(LENGTH(body)), 0) FROM journal`: &l.journal,
		total: &l.total,
	} {
		err = errors.Join(err, s.Look.QueryRowContext(ctx, query).Scan(to))
	}
	if err != nil {
		err = fmt.Errorf("look at the database: %w", err)
	}
	return l, err
}

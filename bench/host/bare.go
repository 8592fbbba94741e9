package main

import (
	"context"
	"fmt"

	"github.com/cofferdam-run/cofferdam/bench/internal/database"
)

// bareInserts returns how many rows of one body a second the same clients insert
// with nothing around it: one statement, one durable transaction each.
func (s *suite) bareInserts(ctx context.Context, d *database.Database, body []byte) (float64, error) {
	address, err := d.Create(ctx)
	if err != nil {
		return 0, fmt.Errorf("make the peer's database: %w", err)
	}
	db, err := d.Plain(address, "_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)")
	if err != nil {
		return 0, fmt.Errorf("open the peer: %w", err)
	}
	defer db.Close()
	blob, connections := "BLOB", 1 // SQLite has one lock for writing.
	if d.Name == database.Postgres {
		blob, connections = "BYTEA", clients
	}
	db.SetMaxOpenConns(connections)
	if _, err := db.ExecContext(ctx, "CREATE TABLE bare (id TEXT PRIMARY KEY, body "+blob+" NOT NULL)"); err != nil {
		return 0, fmt.Errorf("make the peer's table: %w", err)
	}
	return flatOut(clients, s.seconds, func() error {
		_, err := db.ExecContext(ctx, "INSERT INTO bare (id, body) VALUES ($1, $2)", newID(), body)
		return err
	})
}

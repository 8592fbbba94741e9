package store

import (
	"context"
	"strconv"
	"strings"

	"github.com/cofferdam-run/cofferdam/host/audit"
)

// recorded is a Driver whose transactions have the audit log's entry of what they are
// for in them. Those that are for no act, as are all that run executions, have none and
// cost nothing.
type recorded struct{ Driver }

// Write implements Driver.
func (d recorded) Write(ctx context.Context, fn func(ctx context.Context, tx Conn) error) error {
	e, committed, ok := audit.EntryOf(ctx, d.Clock())
	if !ok {
		return d.Driver.Write(ctx, fn)
	}
	text, err := e.Text()
	if err != nil {
		return err
	}
	err = d.Driver.Write(ctx, func(ctx context.Context, tx Conn) error {
		if err := fn(ctx, tx); err != nil {
			return err
		}
		return addAct(ctx, tx, e, text)
	})
	if err == nil {
		committed()
	}
	return err
}

// addAct adds an entry to those that are pending. One that is there already, because a
// commit was not known to have succeeded, stays.
func addAct(ctx context.Context, tx Conn, e audit.Entry, text []byte) error {
	_, err := execOn(ctx, tx, insertRows(`audit_pending (id, about, body)`, 1, 3)+keepFirst, e.ID, e.Tenant, text)
	return err
}

// AddIntent adds the entry of an intent, which may be nil, as one that is pending. It
// is for the transaction that records what the intent is of.
func AddIntent(ctx context.Context, tx Conn, i *audit.Intent) error {
	if i == nil {
		return nil
	}
	text, err := i.Entry.Text()
	if err != nil {
		return err
	}
	return addAct(ctx, tx, i.Entry, text)
}

const keepFirst = ` ON CONFLICT (id) DO NOTHING`

// insertRows is an INSERT of rows of so many values each.
func insertRows(into string, rows, values int) string {
	var q strings.Builder
	q.WriteString(`INSERT INTO ` + into + ` VALUES `)
	for i := range rows * values {
		switch {
		case i == 0:
			q.WriteString("(")
		case i%values == 0:
			q.WriteString("), (")
		default:
			q.WriteString(", ")
		}
		q.WriteString("$" + strconv.Itoa(i+1))
	}
	return q.String() + ")"
}

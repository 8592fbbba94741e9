package store

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/cofferdam-run/cofferdam/host/vault"
)

// part is how a part of a row's key is written in the name of its record.
type part int

const (
	// text is an id or a name.
	text part = iota
	// number is an integer.
	number
	// raw is bytes that are text.
	raw
	// digest is bytes, in hexadecimal.
	digest
)

// keyPart is a column of a row's key.
type keyPart struct {
	column string
	part
}

// sealedColumn is a column that holds what is sealed. A row is bound to its tenant, its
// key and its version, as whoever sealed it has named them: for payloads that is the
// package sealing.
type sealedColumn struct {
	vault.Place
	column string
	// owner is the column of the tenant.
	owner string
	// version is an expression.
	version string
	key     []keyPart
}

// sealedColumns are all there are.
func sealedColumns() []sealedColumn {
	id := []keyPart{{"id", text}}
	all := []sealedColumn{
		{Place: vault.Place{Table: "connections", Name: "credential"}, column: "sealed", version: "version", key: id},
		{Place: vault.Place{Table: "endpoints", Name: "secret"}, column: "sealed", version: "version", key: id},
		{Place: vault.Place{Table: "token_keys", Name: "secret"}, column: "sealed", version: "version", key: id},
		{Place: vault.Place{Table: "oauth_apps", Name: "secret"}, column: "sealed", version: "version", key: id},
		{Place: vault.Place{Table: "authorizations", Name: "tokens"}, column: "sealed", version: "version", key: []keyPart{{"connection", text}}},
		{Place: vault.Place{Table: "oauth_flows", Name: "flow"}, column: "sealed", key: id},
		{Place: vault.Place{Table: "connect_sessions", Name: "visit"}, column: "sealed", version: "version", key: id},
		{Place: vault.Place{Table: "destinations", Name: "secret"}, column: "sealed", version: "version", key: id},
	}
	for _, c := range []sealedColumn{
		{Place: vault.Place{Table: "events", Name: "request"}, column: "request", key: id},
		{Place: vault.Place{Table: "events", Name: "body"}, column: "body", key: id},
		{Place: vault.Place{Table: "event_bodies", Name: "bytes"}, column: "bytes", key: []keyPart{{"digest", digest}}},
		{Place: vault.Place{Table: "executions", Name: "output"}, column: "output", key: id},
		{Place: vault.Place{Table: "executions", Name: "error"}, column: "error", key: id},
		{Place: vault.Place{Table: "attempts", Name: "body"}, column: "body", key: []keyPart{{"execution", text}, {"claim", number}}},
		{Place: vault.Place{Table: "journal", Name: "body"}, column: "body", key: []keyPart{{"execution", text}, {"seq", number}}},
		{Place: vault.Place{Table: "journal_bodies", Name: "bytes"}, column: "bytes", key: []keyPart{{"digest", digest}}},
		{Place: vault.Place{Table: "state_values", Name: "value"}, column: "value", version: "version", key: []keyPart{{"installation", text}, {"key", raw}}},
		{Place: vault.Place{Table: "checkpoints", Name: "cursor"}, column: "cursor_value", key: []keyPart{{"installation", text}, {"poll", text}}},
		{Place: vault.Place{Table: "schedules", Name: "input"}, column: "input", key: id},
		{Place: vault.Place{Table: "deliveries", Name: "log"}, column: "log", key: id},
		{Place: vault.Place{Table: "jobs", Name: "progress"}, column: "progress", key: id},
		{Place: vault.Place{Table: "idempotency_keys", Name: "answer"}, column: "body", owner: "scope", key: []keyPart{{"key", raw}}},
	} {
		c.Payload = true
		all = append(all, c)
	}
	for i := range all {
		c := &all[i]
		if c.owner == "" {
			c.owner = "tenant"
		}
		if c.version == "" {
			c.version = "1"
		}
	}
	return all
}

// SealedPlaces implements vault.Records.
func (*SQL) SealedPlaces() []vault.Place {
	var all []vault.Place
	for _, c := range sealedColumns() {
		all = append(all, c.Place)
	}
	return all
}

func columnOf(p vault.Place) (sealedColumn, error) { return columnNamed(p.Table, p.Name) }

func columnNamed(table, name string) (sealedColumn, error) {
	for _, c := range sealedColumns() {
		if c.Table == table && c.Name == name {
			return c, nil
		}
	}
	return sealedColumn{}, fmt.Errorf("find what is sealed: there is no %s.%s", table, name)
}

// stale is the condition that a value of the tenant $1 begins otherwise than a header of
// $2.
func (c sealedColumn) stale(header []byte) string {
	return fmt.Sprintf(`%s = $1 AND %s IS NOT NULL AND substr(%[2]s, 1, %d) <> $2`, c.owner, c.column, len(header))
}

// keys are the columns of the key.
func (c sealedColumn) keys() string {
	names := make([]string, len(c.key))
	for i, k := range c.key {
		names[i] = k.column
	}
	return strings.Join(names, ", ")
}

// dest is where a key is scanned to.
func (c sealedColumn) dest() []any {
	to := make([]any, len(c.key))
	for i, k := range c.key {
		switch k.part {
		case text:
			to[i] = new(string)
		case number:
			to[i] = new(int64)
		case raw, digest:
			to[i] = new([]byte)
		}
	}
	return to
}

// join is the name of the record whose key was scanned.
func (c sealedColumn) join(key []any) string {
	parts := make([]string, len(c.key))
	for i, k := range c.key {
		switch v := key[i].(type) {
		case *string:
			parts[i] = *v
		case *int64:
			parts[i] = strconv.FormatInt(*v, 10)
		case *[]byte:
			if parts[i] = string(*v); k.part == digest {
				parts[i] = hex.EncodeToString(*v)
			}
		}
	}
	return strings.Join(parts, "/")
}

// split is the key of a record that join has named.
func (c sealedColumn) split(record string) ([]any, error) {
	parts := strings.SplitN(record, "/", len(c.key))
	if len(parts) != len(c.key) {
		return nil, fmt.Errorf("find the record %q of %s: its key has %d parts", record, c.Table, len(c.key))
	}
	key := make([]any, len(parts))
	for i, p := range parts {
		var err error
		switch c.key[i].part {
		case text:
			key[i] = p
		case number:
			key[i], err = strconv.ParseInt(p, 10, 64)
		case raw:
			key[i] = []byte(p)
		case digest:
			key[i], err = hex.DecodeString(p)
		}
		if err != nil {
			return nil, fmt.Errorf("find the record %q of %s: %w", record, c.Table, err)
		}
	}
	return key, nil
}

// places are some parameters, from the one with a number.
func places(from, n int) string {
	names := make([]string, n)
	for i := range names {
		names[i] = "$" + strconv.Itoa(from+i)
	}
	return strings.Join(names, ", ")
}

package storetest

import (
	"slices"
	"testing"

	"github.com/cofferdam-run/cofferdam/host/store"
)

// Catalogue is how to look at a store's tables themselves.
type Catalogue struct {
	Conn func(s store.Store) store.Conn
	// Columns is a query of the names of all tables of ours and of their columns.
	Columns string
}

// kept is a store whose rows are counted.
type kept struct {
	*bundle

	catalogue Catalogue
}

// rows counts the rows of a tenant's, by table, and those of nobody's as "".
func (k *kept) rows(t testing.TB, tenantID string) map[string]int {
	t.Helper()
	found := make(map[string]int)
	for table, columns := range k.tables(t) {
		owner := owner(table, columns)
		query, args := "SELECT count(*) FROM "+table, []any{}
		if owner != "" {
			query, args = query+" WHERE "+owner+" = $1", append(args, tenantID)
		}
		if owner == "" && tenantID != "" {
			continue
		}
		var n int
		must(t, k.catalogue.Conn(k.Store).QueryRowContext(t.Context(), query, args...).Scan(&n))
		if n > 0 {
			found[table] = n
		}
	}
	return found
}

// owner is the column that says whose a row is.
func owner(table string, columns []string) string {
	switch {
	case table == "tenants":
		return "id"
	case table == "idempotency_keys":
		return "scope"
	case slices.Contains(columns, "tenant"):
		return "tenant"
	default:
		return ""
	}
}

func (k *kept) tables(t testing.TB) map[string][]string {
	t.Helper()
	rows, err := k.catalogue.Conn(k.Store).QueryContext(t.Context(), k.catalogue.Columns)
	must(t, err)
	defer func() { _ = rows.Close() }()
	found := make(map[string][]string)
	for rows.Next() {
		var table, column string
		must(t, rows.Scan(&table, &column))
		found[table] = append(found[table], column)
	}
	must(t, rows.Err())
	if len(found) < 20 {
		t.Fatalf("found %d tables, of more: %v", len(found), found)
	}
	return found
}

// lost is what was there before and is not now.
func lost(before, now map[string]int) map[string]int {
	d := make(map[string]int)
	for table, n := range before {
		if n != now[table] {
			d[table] = n - now[table]
		}
	}
	for table, n := range now {
		if _, ok := before[table]; !ok {
			d[table] = -n
		}
	}
	return d
}

func only(rows map[string]int, tables ...string) map[string]int {
	found := make(map[string]int)
	for _, t := range tables {
		if n, ok := rows[t]; ok {
			found[t] = n
		}
	}
	return found
}

func sum(ns []int) int {
	total := 0
	for _, n := range ns {
		total += n
	}
	return total
}

package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/cofferdam-run/cofferdam/host/audit"
	"github.com/cofferdam-run/cofferdam/host/audit/transcript"
	"github.com/cofferdam-run/cofferdam/host/store/internal/column"
)

// insertedRows is how many rows an INSERT has, where there are as many: few statements,
// which stay prepared. With SQLite, to bind more takes longer than it saves.
const insertedRows = 32

// inserts are INSERTs of n rows, which values gives, each as its values.
func inserts(into, conflict string, n int, values func(i int) []any) []Statement {
	var all []Statement
	for i := 0; i < n; {
		rows := 1
		if n-i >= insertedRows {
			rows = insertedRows
		}
		var args []any
		for range rows {
			args = append(args, values(i)...)
			i++
		}
		all = append(all, Statement{insertRows(into, rows, len(args)/rows) + conflict, args})
	}
	return all
}

// AddActs implements audit.Store.
func (s *SQL) AddActs(ctx context.Context, es []audit.Entry) error {
	texts := make([][]byte, len(es))
	for i, e := range es {
		var err error
		if texts[i], err = e.Text(); err != nil {
			return err
		}
	}
	_, err := s.execAll(ctx, "write to the audit log", inserts(`audit_pending (id, about, body)`, keepFirst, len(es), func(i int) []any {
		return []any{es[i].ID, es[i].Tenant, texts[i]}
	}))
	return err
}

// SequenceActs implements audit.Store. The row of the tree is locked first, so that
// processes do it one after the other, each on what the one before has left.
func (s *SQL) SequenceActs(ctx context.Context, limit int) (int, audit.Tree, error) {
	waiting, err := list(ctx, s, scanInt, `SELECT 1 FROM audit_pending LIMIT 1`)
	if err != nil {
		return 0, audit.Tree{}, err
	}
	if len(waiting) == 0 {
		t, err := s.ActTree(ctx)
		return 0, t, err
	}
	var grown audit.Grown
	err = s.write(ctx, "add to the audit log", func(ctx context.Context, tx Conn) error {
		t, err := scanTree(tx.QueryRowContext(ctx, `UPDATE audit_tree SET size = size WHERE id = 1 RETURNING size, root`))
		if err != nil {
			return err
		}
		pending, err := s.pendingActs(ctx, tx, limit)
		if err != nil {
			return err
		}
		grown, err = audit.Grow(ctx, t, pending, func(ctx context.Context, level int, n int64) ([]byte, error) {
			return tileOn(ctx, tx, level, n)
		})
		if err != nil {
			return err
		}
		return s.keepLeaves(ctx, tx, grown, pending)
	})
	if err != nil {
		return 0, audit.Tree{}, err
	}
	return len(grown.Leaves), grown.Tree, nil
}

// pendingActs reads what has waited longest, and which leaves come before it.
func (s *SQL) pendingActs(ctx context.Context, tx Conn, limit int) ([]audit.Pending, error) {
	pending, err := listOn(ctx, tx, scanPending, `SELECT id, about, body FROM audit_pending ORDER BY seq LIMIT $1`, limit)
	if err != nil {
		return nil, err
	}
	about := make([]string, 0, len(pending))
	before := map[string]int64{}
	for _, p := range pending {
		if _, ok := before[p.Tenant]; !ok {
			before[p.Tenant] = -1
			about = append(about, p.Tenant)
		}
	}
	all, err := texts(about)
	if err != nil {
		return nil, err
	}
	rows, err := listOn(ctx, tx, scanLast,
		`WITH e(about) AS (`+s.d.Each("$1")+`) SELECT e.about, COALESCE((SELECT l.n FROM audit_leaves l WHERE l.about = e.about
		 ORDER BY l.about DESC, l.n DESC LIMIT 1), -1) FROM e`, all)
	if err != nil {
		return nil, err
	}
	for _, r := range rows {
		before[r.about] = r.n
	}
	for i, p := range pending {
		pending[i].Before = before[p.Tenant]
	}
	return pending, nil
}

// keepLeaves stores what a tree has grown by, and takes it from what is pending.
func (s *SQL) keepLeaves(ctx context.Context, tx Conn, g audit.Grown, pending []audit.Pending) error {
	all := inserts(`audit_leaves (n, about, action, at, hash, body)`, ``, len(g.Leaves), func(i int) []any {
		l := g.Leaves[i]
		return []any{l.N, l.Tenant, l.Action, column.Micros(l.At), l.Hash[:], l.Text}
	})
	for _, t := range g.Tiles {
		all = append(all, Statement{
			`INSERT INTO audit_tiles (level, n, data) VALUES ($1, $2, $3) ON CONFLICT (level, n) DO UPDATE SET data = excluded.data`,
			[]any{t.Level, t.N, t.Data},
		})
	}
	ids := make([]string, len(pending))
	for i, p := range pending {
		ids[i] = p.ID
	}
	gone, err := texts(ids)
	if err != nil {
		return err
	}
	all = append(all,
		Statement{`DELETE FROM audit_pending WHERE ` + s.d.In("id", s.d.Each("$1")), []any{gone}},
		Statement{`UPDATE audit_tree SET size = $1, root = $2 WHERE id = 1`, []any{g.Tree.Size, g.Tree.Root[:]}})
	_, err = s.d.ExecAll(ctx, tx, all)
	return err
}

// ForgetActs implements audit.Store. Which keys the log was signed with is kept for as
// long as the log is: who verifies it follows them.
func (s *SQL) ForgetActs(ctx context.Context, before time.Time, limit int) (int, error) {
	const oldest = `SELECT q.n FROM (SELECT n, at FROM audit_leaves WHERE body IS NOT NULL AND action <> '` + transcript.KeyAction + `' ORDER BY n LIMIT $2) q WHERE q.at < $1`
	args := []any{column.Micros(before), limit}
	old, err := list(ctx, s, scanInt64, oldest, args...)
	if err != nil || len(old) == 0 {
		return 0, err
	}
	n, err := s.exec(ctx, "forget texts of the audit log", `UPDATE audit_leaves SET body = NULL WHERE `+s.d.In("n", oldest), args...)
	return int(n), err
}

// AddCheckpoint implements audit.Store.
func (s *SQL) AddCheckpoint(ctx context.Context, c audit.Signed) error {
	_, err := s.exec(ctx, "keep a checkpoint", `INSERT INTO audit_checkpoints (size, at, note) VALUES ($1, $2, $3) ON CONFLICT (size) DO NOTHING`,
		c.Size, column.Micros(c.At), c.Note)
	return err
}

// ActTree implements audit.Store.
func (s *SQL) ActTree(ctx context.Context) (audit.Tree, error) {
	return find(ctx, s, fmt.Errorf("the row of the tree is gone: %w", audit.ErrDamaged), scanTree, `SELECT size, root FROM audit_tree WHERE id = 1`)
}

// Acts implements audit.Store.
func (s *SQL) Acts(ctx context.Context, f audit.Filter) ([]audit.Leaf, error) {
	if f.To == 0 {
		f.To = math.MaxInt64
	}
	cond, args := `n >= $1 AND n < $2`, []any{f.From, f.To, f.Limit}
	if f.OfTenant {
		args = append(args, f.Tenant)
		cond += fmt.Sprintf(` AND about = $%d`, len(args))
	}
	if f.Action != "" {
		args = append(args, f.Action)
		cond += fmt.Sprintf(` AND action = $%d`, len(args))
	}
	return list(ctx, s, scanLeaf, `SELECT n, about, action, at, hash, body FROM audit_leaves WHERE `+cond+` ORDER BY n LIMIT $3`, args...)
}

// ActTile implements audit.Store.
func (s *SQL) ActTile(ctx context.Context, level int, n int64) ([]byte, error) {
	data, err := tileOn(ctx, s.d.Reader(), level, n)
	return data, Fault(s.d, err, "read the audit log")
}

// ActCheckpoints implements audit.Store.
func (s *SQL) ActCheckpoints(ctx context.Context, after, upTo int64, limit int) ([]audit.Signed, error) {
	if upTo == 0 {
		upTo = math.MaxInt64
	}
	order := `ORDER BY size`
	if limit < 0 {
		order, limit = `ORDER BY size DESC`, 1
	}
	return list(ctx, s, scanSigned, `SELECT size, at, note FROM audit_checkpoints WHERE size > $1 AND size <= $2 `+order+` LIMIT $3`, after, upTo, limit)
}

// tileOn reads a tile, nothing of which may be there.
func tileOn(ctx context.Context, c Conn, level int, n int64) ([]byte, error) {
	var data []byte
	err := c.QueryRowContext(ctx, `SELECT data FROM audit_tiles WHERE level = $1 AND n = $2`, level, n).Scan(&data)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	return data, err
}

func scanTree(r scanner) (audit.Tree, error) {
	var t audit.Tree
	var root []byte
	if err := r.Scan(&t.Size, &root); err != nil {
		return t, err
	}
	if len(root) != tlog.HashSize || t.Size < 0 {
		return t, fmt.Errorf("read the tree: %w", audit.ErrDamaged)
	}
	copy(t.Root[:], root)
	return t, nil
}

func scanPending(r scanner) (audit.Pending, error) {
	var p audit.Pending
	err := r.Scan(&p.ID, &p.Tenant, &p.Text)
	return p, err
}

// last is the last leaf about somebody.
type last struct {
	about string
	n     int64
}

func scanLast(r scanner) (last, error) {
	var l last
	err := r.Scan(&l.about, &l.n)
	return l, err
}

func scanLeaf(r scanner) (audit.Leaf, error) {
	var l audit.Leaf
	var at int64
	var hash []byte
	err := r.Scan(&l.N, &l.Tenant, &l.Action, &at, &hash, &l.Text)
	copy(l.Hash[:], hash)
	l.At, l.Text = column.Time(at), column.Bytes(l.Text)
	return l, err
}

func scanSigned(r scanner) (audit.Signed, error) {
	var c audit.Signed
	var at int64
	err := r.Scan(&c.Size, &at, &c.Note)
	c.At = column.Time(at)
	return c, err
}

package store

import (
	"context"
	"time"

	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/notice"
	"github.com/cofferdam-run/cofferdam/host/store/internal/column"
)

const noticeColumns = `SELECT tenant, id, subject, kind, body, created_at, told_at FROM notices `

const insertNotice = `INSERT INTO notices (tenant, id, subject, kind, body, created_at)
	 SELECT id, $2, $3, $4, $5, $6 FROM tenants WHERE id = $1 ON CONFLICT (tenant, subject) DO NOTHING`

// InsertNotice implements notice.Store.
func (s *SQL) InsertNotice(ctx context.Context, n notice.Notice) (bool, error) {
	row, err := noticeRow(n)
	if err != nil {
		return false, err
	}
	added, err := s.exec(ctx, "keep a notice", insertNotice, row...)
	return added == 1, err
}

func noticeRow(n notice.Notice) ([]any, error) {
	body, err := column.JSON(n)
	return []any{n.Tenant, n.ID, n.Subject, string(n.Kind), body, column.Micros(n.CreatedAt)}, err
}

// Notices implements notice.Store.
func (s *SQL) Notices(ctx context.Context, tenant, before string, limit int) ([]notice.Notice, error) {
	return list(ctx, s, scanNotice,
		noticeColumns+`WHERE (tenant = $1 OR $1 = '') AND (id < $2 OR $2 = '') ORDER BY id DESC LIMIT $3`, tenant, before, limit)
}

// Notice implements notice.Store.
func (s *SQL) Notice(ctx context.Context, tenant, id string) (notice.Notice, error) {
	return find(ctx, s, fault.NotFound("notice", id), scanNotice, noticeColumns+`WHERE tenant = $1 AND id = $2`, tenant, id)
}

// UntoldNotices implements notice.Store.
func (s *SQL) UntoldNotices(ctx context.Context, since time.Time, after notice.Notice, limit int) ([]notice.Notice, error) {
	return list(ctx, s, scanNotice,
		noticeColumns+`WHERE told_at = 0 AND created_at >= $1 AND (created_at > $2 OR created_at = $2 AND id > $3) ORDER BY created_at, id LIMIT $4`,
		column.Micros(since), column.Micros(after.CreatedAt), after.ID, limit)
}

// NoticeTold implements notice.Store.
func (s *SQL) NoticeTold(ctx context.Context, tenant, id string, at time.Time) error {
	_, err := s.exec(ctx, "say that a notice is told", `UPDATE notices SET told_at = $3 WHERE tenant = $1 AND id = $2`, tenant, id, column.Micros(at))
	return err
}

func scanNotice(r scanner) (notice.Notice, error) {
	var n, row notice.Notice
	var body []byte
	var created, told int64
	if err := r.Scan(&row.Tenant, &row.ID, &row.Subject, &row.Kind, &body, &created, &told); err != nil {
		return n, err
	}
	err := column.FromJSON(body, &n)
	n.Tenant, n.ID, n.Subject, n.Kind = row.Tenant, row.ID, row.Subject, row.Kind
	n.CreatedAt, n.ToldAt = column.Time(created), column.Time(told)
	return n, err
}

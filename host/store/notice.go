package store

import (
	"context"
	"time"

	"github.com/cofferdam-run/cofferdam/host/notice"
	"github.com/cofferdam-run/cofferdam/host/store/internal/column"
)

const noticeColumns = `SELECT tenant, id, subject, kind, body, created_at, told_at FROM notices `

// InsertNotice implements notice.Store.
func (s *SQL) InsertNotice(ctx context.Context, n notice.Notice) (bool, error) {
	body, err := column.JSON(n)
	if err != nil {
		return false, err
	}
	added, err := s.exec(ctx, "keep a notice",
		`INSERT INTO notices (tenant, id, subject, kind, body, created_at)
		 SELECT id, $2, $3, $4, $5, $6 FROM tenants WHERE id = $1 ON CONFLICT (tenant, subject) DO NOTHING`,
		n.Tenant, n.ID, n.Subject, string(n.Kind), body, column.Micros(n.CreatedAt))
	return added == 1, err
}

// Notices implements notice.Store.
func (s *SQL) Notices(ctx context.Context, tenant, before string, limit int) ([]notice.Notice, error) {
	return list(ctx, s, scanNotice,
		noticeColumns+`WHERE (tenant = $1 OR $1 = '') AND (id < $2 OR $2 = '') ORDER BY id DESC LIMIT $3`, tenant, before, limit)
}

// UntoldNotices implements notice.Store.
func (s *SQL) UntoldNotices(ctx context.Context, since time.Time, limit int) ([]notice.Notice, error) {
	return list(ctx, s, scanNotice,
		noticeColumns+`WHERE told_at = 0 AND created_at >= $1 ORDER BY created_at, id LIMIT $2`, column.Micros(since), limit)
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

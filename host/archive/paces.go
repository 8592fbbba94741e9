package archive

import (
	"context"
	"time"

	"github.com/cofferdam-run/cofferdam/host/pace"
)

// paces are as they are when they are read: they are no older than their connections.
func (r *reading) paces(ctx context.Context, after string, give yield) error {
	all, err := r.s.Paces(ctx, r.tenant.ID)
	if err != nil {
		return err
	}
	return those(r, all, after, func(p pace.Pace) (string, time.Time) { return p.Connection, time.Time{} }, give)
}

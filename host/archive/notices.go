package archive

import (
	"context"

	"github.com/cofferdam-run/cofferdam/host/ident"
)

func (r *reading) notices(ctx context.Context, after string, give yield) error {
	before := r.before(ident.Notice, after)
	for {
		some, err := r.s.Notices(ctx, r.tenant.ID, before, page)
		if err != nil {
			return err
		}
		for _, n := range some {
			if err := give(n, n.ID); err != nil {
				return err
			}
			before = n.ID
		}
		if len(some) < page {
			return nil
		}
	}
}

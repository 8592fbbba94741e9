package archive

import (
	"context"
	"time"

	"github.com/cofferdam-run/cofferdam/host/alert"
	"github.com/cofferdam-run/cofferdam/host/ident"
)

func (r *reading) destinations(ctx context.Context, after string, give yield) error {
	before := r.before(ident.Destination, after)
	for {
		some, err := r.s.Destinations(ctx, r.tenant.ID, before, page)
		if err != nil {
			return err
		}
		for _, d := range some {
			if err := give(d, d.ID); err != nil {
				return err
			}
			before = d.ID
		}
		if len(some) < page {
			return nil
		}
	}
}

func (r *reading) watches(ctx context.Context, after string, give yield) error {
	all, err := r.s.Watches(ctx, r.tenant.ID)
	if err != nil {
		return err
	}
	return those(r, all, after, func(w alert.Watch) (string, time.Time) { return w.Object, w.CreatedAt }, give)
}

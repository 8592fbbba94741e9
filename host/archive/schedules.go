package archive

import (
	"context"

	"github.com/cofferdam-run/cofferdam/host/ident"
	"github.com/cofferdam-run/cofferdam/host/schedule"
)

func (r *reading) schedules(ctx context.Context, after string, give yield) error {
	before := r.before(ident.Schedule, after)
	for {
		some, err := r.s.Schedules(ctx, r.tenant.ID, schedule.Filter{Before: before, Limit: page})
		if err != nil {
			return err
		}
		for _, listed := range some {
			before = listed.ID
			s, err := r.s.Schedule(ctx, r.tenant.ID, listed.ID) // The list has no inputs.
			if isGone(err) {
				continue
			}
			if err != nil {
				return err
			}
			if err := give(s, s.ID); err != nil {
				return err
			}
		}
		if len(some) < page {
			return nil
		}
	}
}

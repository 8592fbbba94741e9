package job

import (
	"context"

	"github.com/cofferdam-run/cofferdam/host/fault"
)

// Of are the jobs of one kind as a T, which is what people see of them. It is what a
// Handler's package embeds to have them shown and steered.
type Of[T any] struct {
	jobs       *Jobs
	kind, noun string
	view       func(Job) (T, error)
}

// NewOf returns the jobs of a kind. The noun is what one that is not there is called.
func NewOf[T any](jobs *Jobs, kind, noun string, view func(Job) (T, error)) *Of[T] {
	return &Of[T]{jobs: jobs, kind: kind, noun: noun, view: view}
}

// Get returns one.
func (o *Of[T]) Get(ctx context.Context, tenant, id string) (T, error) {
	return o.viewed(o.find(ctx, tenant, id))
}

// List lists the newest first, 50 if no limit is said; before is an id, or empty.
func (o *Of[T]) List(ctx context.Context, tenant, before string, limit int) ([]T, error) {
	all, err := o.jobs.List(ctx, tenant, Filter{Kind: o.kind, Before: before, Limit: limit})
	if err != nil {
		return nil, err
	}
	list := make([]T, len(all))
	for i, j := range all {
		if list[i], err = o.view(j); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// Pause has one stop after the step in hand.
func (o *Of[T]) Pause(ctx context.Context, tenant, id string) (T, error) {
	return o.steer(ctx, tenant, id, o.jobs.Pause)
}

// Resume has one go on that was paused, or has failed.
func (o *Of[T]) Resume(ctx context.Context, tenant, id string) (T, error) {
	return o.steer(ctx, tenant, id, o.jobs.Resume)
}

// Cancel ends one: what it has done stays done.
func (o *Of[T]) Cancel(ctx context.Context, tenant, id string) (T, error) {
	return o.steer(ctx, tenant, id, o.jobs.Cancel)
}

// find finds a job of the kind: one of another is not there.
func (o *Of[T]) find(ctx context.Context, tenant, id string) (Job, error) {
	j, err := o.jobs.Get(ctx, tenant, id)
	if err == nil && j.Kind != o.kind || err != nil && fault.From(err).Code == fault.CodeNotFound {
		err = fault.NotFound(o.noun, id)
	}
	return j, err
}

func (o *Of[T]) steer(ctx context.Context, tenant, id string, do func(context.Context, string, string) (Job, error)) (T, error) {
	if _, err := o.find(ctx, tenant, id); err != nil {
		var none T
		return none, err
	}
	return o.viewed(do(ctx, tenant, id))
}

func (o *Of[T]) viewed(j Job, err error) (T, error) {
	if err != nil {
		var none T
		return none, err
	}
	return o.view(j)
}

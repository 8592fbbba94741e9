package job

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/cofferdam-run/cofferdam/host/ident"
)

const (
	// unfinishedMost is how many jobs of one tenant may not have ended: they share the
	// runners with everybody's.
	unfinishedMost = 100
	// listMost and listUsual bound a List.
	listMost  = 200
	listUsual = 50
)

// Config configures Jobs.
type Config struct {
	Store Store
	// Wake is called when there is something to do. Defaults to nobody: a Runner looks
	// now and then.
	Wake func()
	Now  func() time.Time
}

// Jobs are the long work of a host. They are safe for concurrent use.
type Jobs struct{ c Config }

// New returns Jobs.
func New(c Config) *Jobs {
	if c.Wake == nil {
		c.Wake = func() {}
	}
	return &Jobs{c: c}
}

// Create queues a job. Its spec must be of a type that JSON can have. The tenant is
// empty for the operator's.
func (j *Jobs) Create(ctx context.Context, tenant, kind string, spec any) (Job, error) {
	doc, err := json.Marshal(spec)
	if err != nil {
		return Job{}, fmt.Errorf("encode the spec of a job: %w", err)
	}
	now := j.c.Now()
	made := Job{
		ID: ident.New(ident.Job, now), Tenant: tenant, Kind: kind, Spec: doc, State: Queued, CreatedAt: now, ChangedAt: now,
	}
	if err := j.c.Store.InsertJob(ctx, made, unfinishedMost); err != nil {
		return Job{}, err
	}
	j.c.Wake()
	return made, nil
}

// Get returns a job.
func (j *Jobs) Get(ctx context.Context, tenant, id string) (Job, error) {
	return j.c.Store.Job(ctx, tenant, id)
}

// List lists the newest first, 50 if the filter says no limit.
func (j *Jobs) List(ctx context.Context, tenant string, f Filter) ([]Job, error) {
	if f.Limit <= 0 {
		f.Limit = listUsual
	}
	f.Limit = min(f.Limit, listMost)
	return j.c.Store.Jobs(ctx, tenant, f)
}

// Pause has a job stop after the step in hand.
func (j *Jobs) Pause(ctx context.Context, tenant, id string) (Job, error) {
	return j.steer(ctx, tenant, id, Paused)
}

// Resume has a job go on that was paused, or has failed.
func (j *Jobs) Resume(ctx context.Context, tenant, id string) (Job, error) {
	return j.steer(ctx, tenant, id, Queued)
}

// Cancel ends a job: what it has done stays done.
func (j *Jobs) Cancel(ctx context.Context, tenant, id string) (Job, error) {
	return j.steer(ctx, tenant, id, Cancelled)
}

func (j *Jobs) steer(ctx context.Context, tenant, id string, to State) (Job, error) {
	if err := j.c.Store.SteerJob(ctx, tenant, id, to); err != nil {
		return Job{}, err
	}
	j.c.Wake()
	return j.c.Store.Job(ctx, tenant, id)
}

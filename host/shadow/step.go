package shadow

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/installation"
	"github.com/cofferdam-run/cofferdam/host/job"
	"github.com/cofferdam-run/cofferdam/hostfns/replay"
	"github.com/cofferdam-run/cofferdam/registry"
	"github.com/cofferdam-run/cofferdam/runtime"
)

const (
	// stepTime is after how long a step begins no further replay.
	stepTime = 2 * time.Second
	// readMost is how many recordings are read at once.
	readMost = 32
	// shareKey is whose CPU all shadow runs use together: no tenant has such an id.
	shareKey = "shadow"
)

// Step implements job.Handler: the first counts, and each that follows replays a page.
func (r *Runs) Step(ctx context.Context, j job.Job) (job.Step, error) {
	began := r.c.Now()
	o, t, err := decode(j)
	if err != nil {
		return job.Step{}, err
	}
	at, err := cursorOf(j.Cursor)
	if err != nil {
		return job.Step{}, err
	}
	var done bool
	if at.Counted {
		at, done, err = r.advance(ctx, &o, &t, at)
	} else {
		at.Counted = true
		t.Total, at.Quota, err = r.count(ctx, &o)
		done = t.Total == 0
	}
	if err != nil {
		return job.Step{}, err
	}
	t.Seconds += r.c.Now().Sub(began).Seconds()
	return saved(&t, at, done)
}

func saved(t *tally, at cursor, done bool) (job.Step, error) {
	progress, err := json.Marshal(t)
	if err != nil {
		return job.Step{}, fmt.Errorf("encode the progress of a shadow run: %w", err)
	}
	text, err := json.Marshal(at)
	if err != nil {
		return job.Step{}, fmt.Errorf("encode the cursor of a shadow run: %w", err)
	}
	return job.Step{Progress: progress, Cursor: string(text), Done: done}, nil
}

// advance replays the next page, as far as there is time.
func (r *Runs) advance(ctx context.Context, o *order, t *tally, at cursor) (cursor, bool, error) {
	room := pageMost
	if o.Limit > 0 {
		room = min(room, o.Limit-t.Done)
	}
	if room <= 0 {
		return at, true, nil
	}
	p, err := r.next(ctx, o, at, room)
	if err != nil {
		return at, false, err
	}
	if len(p.refs) == 0 {
		return p.end, !p.more, nil
	}
	s, err := r.stage(ctx, o)
	if err != nil {
		return at, false, err
	}
	defer s.release()
	results, err := s.play(ctx, p.refs)
	if err != nil {
		return at, false, err
	}
	for i, res := range results {
		if o.Tenant == "" {
			// No tenant's key would seal it: see the package comment.
			res.sample = Sample{}
		}
		res.sample.Tenant, res.sample.Execution = p.refs[i].tenant, p.refs[i].ID
		t.add(res)
	}
	if n := len(results); n < len(p.refs) {
		return p.refs[n-1].at, false, nil
	}
	return p.end, !p.more || t.Done == o.Limit, nil
}

// stage is the two versions, ready to run.
type stage struct {
	r              *Runs
	version, old   registry.Version
	module, oldMod *runtime.Module
	releases       []func()
	// allowed has the limits of the installations that this step has met, by their ids.
	allowed sync.Map
}

func (s *stage) release() {
	for _, f := range s.releases {
		f()
	}
}

func (r *Runs) stage(ctx context.Context, o *order) (*stage, error) {
	s := &stage{r: r}
	for _, x := range []struct {
		id      string
		version *registry.Version
		module  **runtime.Module
	}{{o.VersionID, &s.version, &s.module}, {o.AgainstID, &s.old, &s.oldMod}} {
		v, err := r.c.Plugins.Resolve(ctx, registry.Viewer{Operator: true}, x.id)
		if err != nil {
			s.release()
			return nil, fmt.Errorf("find plugin version %s: %w", x.id, err)
		}
		module, release, err := r.modules.take(ctx, v)
		if err != nil {
			s.release()
			return nil, fmt.Errorf("prepare plugin version %s: %w", x.id, err)
		}
		*x.version, *x.module = v, module
		s.releases = append(s.releases, release)
	}
	return s, nil
}

// batch is executions of one tenant whose recordings are read together.
type batch struct {
	tenant string
	ids    []string

	read sync.Once
	from Recorder
	err  error
	// left is how many of them are not done: what was read is let go with the last.
	left atomic.Int64
}

// batches gives each execution its batch.
func batches(refs []ref) []*batch {
	all := make([]*batch, len(refs))
	var b *batch
	for i, x := range refs {
		if b == nil || b.tenant != x.tenant || len(b.ids) == readMost {
			b = &batch{tenant: x.tenant}
		}
		b.ids = append(b.ids, x.ID)
		b.left.Add(1)
		all[i] = b
	}
	return all
}

// recorder reads the batch, once.
func (b *batch) recorder(ctx context.Context, read func(context.Context, string, []string) (Recorder, error)) (Recorder, error) {
	b.read.Do(func() { b.from, b.err = read(ctx, b.tenant, b.ids) })
	return b.from, b.err
}

func (b *batch) done() {
	if b.left.Add(-1) == 0 {
		b.from = nil
	}
}

// play replays executions in their order, several at once. It returns the results of
// the first ones: those that it had time for, one at least.
func (s *stage) play(ctx context.Context, refs []ref) ([]result, error) {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	until := s.r.c.Now().Add(stepTime)
	results, from := make([]result, len(refs)), batches(refs)
	var taken atomic.Int64
	var players sync.WaitGroup
	for range min(len(refs), s.r.c.Parallel) {
		players.Go(func() {
			for i := 0; i >= 0 && ctx.Err() == nil; {
				select {
				case s.r.slots <- struct{}{}:
				case <-ctx.Done():
					return
				}
				if i = s.take(&taken, len(refs), until); i >= 0 {
					var err error
					if results[i], err = s.guarded(ctx, from[i], refs[i]); err != nil {
						stop(err)
					}
				}
				<-s.r.slots
			}
		})
	}
	players.Wait()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return results[:taken.Load()], nil
}

// take takes the next execution, or -1: there is none, or no time. The first is always
// taken, so that each step comes forward.
func (s *stage) take(taken *atomic.Int64, n int, until time.Time) int {
	for {
		i := taken.Load()
		if int(i) == n || i > 0 && !s.r.c.Now().Before(until) {
			return -1
		}
		if taken.CompareAndSwap(i, i+1) {
			return int(i)
		}
	}
}

// guarded is one, whose panic is an error of it.
func (s *stage) guarded(ctx context.Context, b *batch, x ref) (res result, err error) {
	defer b.done()
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("replaying the execution %s panicked: %v\n%s", x.ID, p, debug.Stack())
		}
	}()
	from, err := b.recorder(ctx, s.r.c.Read)
	if err != nil {
		return res, fmt.Errorf("read recordings: %w", err)
	}
	return s.one(ctx, from, x)
}

// one replays an execution. An error is one that has the step made again, or ends the
// run; all else is a result.
func (s *stage) one(ctx context.Context, from Recorder, x ref) (result, error) {
	recording, err := from.Recording(ctx, x.tenant, x.ID, false)
	if err != nil {
		if ctx.Err() != nil || passes(err) {
			return result{}, fmt.Errorf("read the recording of the execution %s: %w", x.ID, err)
		}
		return result{verdict: Skipped, key: whySkipped(err)}, nil
	}
	res := result{wall: recording.Wall.Seconds()}
	if len(recording.Missing) > 0 {
		res.verdict, res.key = NotComparable, "the recording lacks "+cut(recording.Missing[0])
		return res, nil
	}
	recorded, why, err := s.baseline(ctx, &recording)
	if err != nil {
		return result{}, err
	}
	if why != "" {
		res.verdict, res.key = NotComparable, why
		return res, nil
	}
	if recording.World.Limits, err = s.limits(ctx, x, recording.World.Limits); err != nil {
		return result{}, err
	}
	report, err := replay.Run(ctx, s.module, recording, s.options(s.version.Digest))
	if err != nil {
		return result{}, fmt.Errorf("replay the execution %s: %w", x.ID, err)
	}
	judged := judge(&recording, report)
	judged.wall = res.wall
	if judged.ended() {
		judged.recorded, judged.now = recorded, report.Usage.Fuel
	}
	return judged, nil
}

func (s *stage) options(digest string) replay.Options {
	return replay.Options{Module: digest, Functions: s.r.c.Functions, Share: runtime.Share{Key: shareKey, Weight: 1}}
}

// baseline finds what of a recording to compare with is not in it, by replaying it on
// its own version: what it left behind, and its fuel in the world of this program. A
// reason says why that cannot be compared with.
func (s *stage) baseline(ctx context.Context, of *replay.Recording) (fuel int64, why string, err error) {
	known := of.Fuel > 0 && of.World.Model == runtime.Model && (of.Left != nil || of.Outcome != replay.Succeeded)
	if known || of.Outcome == replay.Interrupted {
		return of.Fuel, "", nil
	}
	report, err := replay.Run(ctx, s.oldMod, *of, s.options(s.old.Digest))
	if err != nil {
		return 0, "", fmt.Errorf("replay the execution %s: %w", of.Execution, err)
	}
	if !report.Same() {
		return 0, whyBaseline + string(report.Verdict()), nil
	}
	if of.Outcome == replay.Succeeded && of.Left == nil {
		of.Left = report.Left
	}
	return report.Usage.Fuel, "", nil
}

// limits are those that the installation would have on the new version. Of one that
// was removed they stay what they were.
func (s *stage) limits(ctx context.Context, x ref, were runtime.Limits) (runtime.Limits, error) {
	if l, ok := s.allowed.Load(x.Installation); ok {
		return l.(runtime.Limits), nil
	}
	in, err := s.r.c.Installation(ctx, x.tenant, x.Installation)
	switch {
	case err == nil && in.State != installation.Removed:
		l := installation.Limits(in, s.version.Manifest, s.r.c.Limits.WithDefaults())
		s.allowed.Store(x.Installation, l)
		return l, nil
	case err == nil || isNotFound(err):
		return were, nil
	default:
		return were, fmt.Errorf("find installation: %w", err)
	}
}

// whySkipped says why there is nothing to replay.
func whySkipped(err error) string {
	switch code := fault.From(err).Code; code {
	case "not_recorded":
		return "it never came to run, or what it recorded was purged"
	case fault.CodeNotFound:
		return "it was purged since it was counted"
	default:
		return "its recording cannot be read: " + code
	}
}

func isNotFound(err error) bool {
	e, ok := errors.AsType[*fault.Error](err)
	return ok && e.Code == fault.CodeNotFound
}

// passes says that a database is away, and that the same may work later.
func passes(err error) bool {
	f := fault.From(err)
	status := fault.Status(f)
	return f.Class == fault.Platform && (status == http.StatusServiceUnavailable || status == http.StatusGatewayTimeout)
}

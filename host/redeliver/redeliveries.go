package redeliver

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/ident"
	"github.com/cofferdam-run/cofferdam/host/job"
)

const (
	// stepTime is how much of a pace a step makes: a fast one in some transactions, between
	// which it is not written down how far it is. Nobody else has its slot meanwhile.
	stepTime = 100 * time.Millisecond
	// pieceMost is how many events are redelivered at most in one transaction, and
	// piecesASecond how many of those a pace is cut into: what comes at once takes all slots
	// at once, and something live has to wait until one of them is free.
	pieceMost     = 200
	piecesASecond = 10
	// pieceBeside is how many live work hardly notices in one transaction, and in the claim
	// that it waits behind: a pace that would have more has more transactions, up to eight
	// times as many.
	pieceBeside = 25
	besideMost  = 8
	// windowMost is how many events are looked at by one query. A window has as many as are
	// wanted in a step, and one that has too few of them is followed by one twice as large.
	windowMost = 1000
	// stepLook is how long a step looks for events, so that a pause need not wait for
	// long, and planLook how long a Plan does: somebody waits for its answer.
	stepLook = time.Second
	planLook = 5 * time.Second
	// bytesMost is how much of bodies is read at once, unless it is one.
	bytesMost = 8 << 20
	// listUsual and listMost bound the outcomes of one list.
	listUsual = 50
	listMost  = 200
)

// Config configures Redeliveries.
type Config struct {
	Store Store
	Jobs  *job.Jobs
	// Wake is told the tenant of executions that were made. Defaults to nobody.
	Wake func(ctx context.Context, tenant string)
	// Made is told how many. Defaults to nobody.
	Made func(n int)
	// Now is the clock, and After what is waited on.
	Now   func() time.Time
	After func(d time.Duration) <-chan time.Time
}

// Redeliveries send events again. They are the job.Handler of Kind, and safe for
// concurrent use. One that is paused stops within about a second; what one has made
// that is cancelled goes on.
type Redeliveries struct {
	*job.Of[Redelivery]

	c Config
}

var _ job.Handler = (*Redeliveries)(nil)

// New returns Redeliveries.
func New(c Config) *Redeliveries {
	if c.Wake == nil {
		c.Wake = func(context.Context, string) {}
	}
	if c.Made == nil {
		c.Made = func(int) {}
	}
	return &Redeliveries{Of: job.NewOf(c.Jobs, Kind, "redelivery", redeliveryOf), c: c}
}

// Plan says what a redelivery would do, and does nothing. It looks for some seconds at
// most.
func (r *Redeliveries) Plan(ctx context.Context, tenant string, s Spec) (Plan, error) {
	s, cond, err := s.checked()
	if err != nil {
		return Plan{}, err
	}
	var p Plan
	l := r.looking(tenant, s, cond, &p.Tally, "", windowMost)
	for end := r.c.Now().Add(planLook); !p.Complete && r.c.Now().Before(end); p.Complete = !l.more {
		found, err := l.next(ctx, windowMost)
		if err != nil {
			return Plan{}, err
		}
		for _, f := range found {
			p.would(f.Latest, s.Force)
		}
	}
	return p, nil
}

// Start begins a redelivery of all that has arrived until now, as far as it is selected.
func (r *Redeliveries) Start(ctx context.Context, tenant string, s Spec) (Redelivery, error) {
	s, _, err := s.checked()
	if err != nil {
		return Redelivery{}, err
	}
	now, err := r.c.Store.Now(ctx)
	if err != nil {
		return Redelivery{}, fmt.Errorf("ask for the time: %w", err)
	}
	if end := now.Add(time.Microsecond); s.Until.IsZero() || s.Until.After(end) {
		s.Until = end // Else it would run after live traffic for ever.
	}
	j, err := r.c.Jobs.Create(ctx, tenant, Kind, s)
	if err != nil {
		return Redelivery{}, err
	}
	return redeliveryOf(j)
}

// Outcomes lists the executions that a redelivery has made, in the order of their ids,
// which is that of the events to 16 ms.
func (r *Redeliveries) Outcomes(ctx context.Context, tenant, id string, f OutcomeFilter) ([]Outcome, error) {
	of, err := r.Get(ctx, tenant, id)
	if err != nil {
		return nil, err
	}
	if f.Limit <= 0 {
		f.Limit = listUsual
	}
	f.Limit = min(f.Limit, listMost)
	return r.c.Store.Redelivered(ctx, tenant, id, of.CreatedAt, f)
}

// pieceOf is how many events are redelivered in one transaction at a pace: those of a tenth
// of a second, or of a part of it.
func pieceOf(pace int) int {
	usual := max(pace/piecesASecond, 1)
	return min(usual, max(pieceBeside, usual/besideMost), pieceMost)
}

// Step implements job.Handler: it redelivers the next events, those of a tenth of a second
// of the pace, piece by piece. One that is made again finds what it has made.
func (r *Redeliveries) Step(ctx context.Context, j job.Job) (job.Step, error) {
	of, err := redeliveryOf(j)
	if err != nil {
		return job.Step{}, err
	}
	s, cond, err := of.Spec.checked()
	if err != nil {
		return job.Step{}, err
	}
	began, tally := r.c.Now(), of.Progress
	past := func() time.Duration { return r.c.Now().Sub(began) }
	piece := pieceOf(s.Pace)
	each := time.Duration(piece) * time.Second / time.Duration(s.Pace)
	l := r.looking(j.Tenant, s, cond, &tally, j.Cursor, piece*int((stepTime+each-1)/each))
	due := time.Duration(0) // When the next piece is, since it began.
	for l.more && due < stepTime && past() < stepLook && r.wait(ctx, due-past()) {
		o := Order{Job: j.ID, Each: map[string]string{}, Force: s.Force}
		for l.more && len(o.Each) < piece && past() < stepLook {
			found, err := l.next(ctx, piece-len(o.Each))
			if err != nil {
				return job.Step{}, err
			}
			for _, f := range found {
				o.Each[f.Event] = ident.Derive(ident.Execution, j.CreatedAt, f.Event, j.ID)
			}
		}
		if err := r.redeliver(ctx, j.Tenant, o, &tally); err != nil {
			return job.Step{}, err
		}
		due += time.Duration(len(o.Each)) * time.Second / time.Duration(s.Pace)
	}
	step := job.Step{Cursor: l.after, Done: !l.more, Wait: max(0, due-past())}
	if step.Progress, err = json.Marshal(tally); err != nil {
		return job.Step{}, fmt.Errorf("encode the progress of a redelivery: %w", err)
	}
	return step, nil
}

// wait waits for a time, and says whether to go on.
func (r *Redeliveries) wait(ctx context.Context, d time.Duration) bool {
	if d > 0 {
		select {
		case <-ctx.Done():
		case <-r.c.After(d):
		}
	}
	return ctx.Err() == nil
}

// redeliver redelivers some events in one transaction.
func (r *Redeliveries) redeliver(ctx context.Context, tenant string, o Order, t *Tally) error {
	if len(o.Each) == 0 {
		return nil
	}
	redelivered, skipped, err := r.c.Store.Redeliver(ctx, tenant, o)
	if err != nil {
		return fmt.Errorf("redeliver %d events: %w", len(o.Each), err)
	}
	t.add(redelivered, skipped)
	r.c.Made(redelivered)
	r.c.Wake(ctx, tenant)
	return nil
}

// would counts an event by what would become of it.
func (t *Tally) would(latest execution.State, force bool) {
	switch {
	case latest != "" && !latest.Done():
		t.Skipped.Unfinished++
	case latest == execution.Succeeded && !force:
		t.Skipped.Succeeded++
	default:
		t.Redelivered++
	}
}

func (t *Tally) add(redelivered int, s Skipped) {
	t.Redelivered += redelivered
	t.Skipped.Succeeded += s.Succeeded
	t.Skipped.Unfinished += s.Unfinished
	t.Skipped.Gone += s.Gone
}

// look goes through the events that a Spec selects, and counts them.
type look struct {
	r      *Redeliveries
	tenant string
	spec   Spec
	cond   *condition
	tally  *Tally
	// after is the last event that was looked at, and more whether any may follow.
	after string
	more  bool
	// wanted is how many are wanted in all, and window how many events the next window has.
	wanted, window int
	// ahead is what is left of the window. Of the first known of it read is what the filter
	// looks at.
	ahead Window
	known int
	read  map[string]event.Event
}

func (r *Redeliveries) looking(tenant string, s Spec, cond *condition, t *Tally, after string, wanted int) *look {
	return &look{r: r, tenant: tenant, spec: s, cond: cond, tally: t, after: after, more: true, wanted: wanted, window: wanted}
}

// next finds the next events of the window, most of them at the most.
func (l *look) next(ctx context.Context, most int) (matched []Found, err error) {
	if len(l.ahead.Found) == 0 {
		if l.ahead, err = l.r.c.Store.Deliveries(ctx, l.tenant, l.spec, l.after, min(l.window, windowMost)); err != nil {
			return nil, fmt.Errorf("look for events: %w", err)
		}
		l.window *= 2
	}
	for len(l.ahead.Found) > 0 && len(matched) < most {
		some, err := l.match(ctx, most-len(matched))
		if err != nil {
			return nil, err
		}
		matched = append(matched, some...)
	}
	if len(l.ahead.Found) == 0 {
		l.after, l.more = l.ahead.End, l.ahead.More
	}
	if at, ok := ident.Time(l.after); ok {
		l.tally.At = at
	}
	if len(matched) == most {
		l.window = l.wanted
	}
	return matched, nil
}

// piece is how many events are read at once.
func (l *look) piece(found []Found) int {
	if l.cond == nil || !l.cond.bodies {
		return len(found)
	}
	bytes := 0
	for i, f := range found {
		if bytes += l.sizeOf(f); bytes > bytesMost && i > 0 {
			return i
		}
	}
	return len(found)
}

// sizeOf is how much of an event is read: a body that is too large is not.
func (l *look) sizeOf(f Found) int {
	if f.Bytes > bodyMost {
		return 0
	}
	return f.Bytes
}

// match finds those that the filter selects, most of them at the most, among the first of
// what is ahead.
func (l *look) match(ctx context.Context, most int) (matched []Found, err error) {
	if l.known == 0 {
		l.known = l.piece(l.ahead.Found)
		if err := l.readAll(ctx, l.ahead.Found[:l.known]); err != nil {
			return nil, err
		}
	}
	for l.known > 0 && len(matched) < most {
		f := l.ahead.Found[0]
		selected, err := l.selects(ctx, f)
		if err != nil {
			return nil, err
		}
		l.ahead.Found = l.ahead.Found[1:]
		l.known--
		l.after = f.Event
		l.tally.Looked++
		if selected {
			l.tally.Matched++
			matched = append(matched, f)
		}
	}
	return matched, nil
}

// readAll reads what the filter looks at.
func (l *look) readAll(ctx context.Context, found []Found) error {
	if l.cond == nil {
		return nil
	}
	ids := make([]string, 0, len(found))
	for _, f := range found {
		if f.Bytes <= bodyMost || !l.cond.bodies {
			ids = append(ids, f.Event)
		}
	}
	all, err := l.r.c.Store.EventsOf(ctx, l.tenant, ids, l.cond.bodies)
	if err != nil {
		return fmt.Errorf("read events: %w", err)
	}
	l.read = make(map[string]event.Event, len(all))
	for _, e := range all {
		l.read[e.ID] = e
	}
	return nil
}

func (l *look) selects(ctx context.Context, f Found) (bool, error) {
	if l.cond == nil {
		return true, nil
	}
	e, ok := l.read[f.Event]
	if !ok && f.Bytes <= bodyMost {
		return false, nil // It was purged meanwhile.
	}
	if !ok {
		l.undecided(f, fmt.Sprintf("its body has about %d bytes, and a filter looks at %d at most", f.Bytes, bodyMost))
		return false, nil
	}
	selected, reason, err := l.cond.selects(ctx, e)
	if err == nil && reason != "" {
		l.undecided(f, reason)
	}
	return selected, err
}

func (l *look) undecided(f Found, reason string) {
	l.tally.Undecided++
	if l.tally.Example == nil {
		l.tally.Example = &Undecided{Event: f.Event, Reason: reason}
	}
}

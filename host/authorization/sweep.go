package authorization

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/cofferdam-run/cofferdam/host/fault"
)

const (
	// lookEvery is how often Run looks for what other processes have made due, and
	// lookLeast the least time between two looks, also where clocks differ.
	// lookBesides is the least between two while there is enough to do: for providers of
	// which nothing was found yet.
	lookEvery   = 2 * time.Second
	lookBesides = 500 * time.Millisecond
	lookLeast   = 20 * time.Millisecond
	// lookMost is how much it reads at once: of what it does not come to soon, another
	// process may have done some.
	lookMost = 256
	// postponed is for how long what went wrong is left alone.
	postponed = time.Minute
)

// sweep is what is done before anybody waits for it.
type sweep struct {
	perProvider, atOnce int
	woken               chan struct{}
	mu                  sync.Mutex
	// busy counts those under way, by provider and in all. due is what was read.
	busy  map[string]int
	total int
	due   map[string][]Due
	// looked is when it was read last.
	looked time.Time
}

func newSweep(perProvider, atOnce int) *sweep {
	return &sweep{perProvider: perProvider, atOnce: atOnce, woken: make(chan struct{}, 1), busy: map[string]int{}, due: map[string][]Due{}}
}

// wake has Run look at once. It never blocks.
func (s *sweep) wake() {
	select {
	case s.woken <- struct{}{}:
	default: // It is told already.
	}
}

// add takes what is due. In what order it is done is left to chance, so that several
// processes that read the same do not all begin with the same.
func (s *sweep) add(found []Due) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range found {
		s.due[d.Provider] = append(s.due[d.Provider], d)
	}
	for _, due := range s.due {
		rand.Shuffle(len(due), func(i, j int) { due[i], due[j] = due[j], due[i] }) //nolint:gosec // It is no secret in what order.
	}
}

// take returns something to do, if there is a slot for it.
func (s *sweep) take() (Due, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.total >= s.atOnce {
		return Due{}, false
	}
	for provider, due := range s.due {
		if s.busy[provider] >= s.perProvider {
			continue
		}
		last := len(due) - 1
		d := due[last]
		if s.due[provider] = due[:last]; last == 0 {
			delete(s.due, provider)
		}
		s.busy[provider]++
		s.total++
		return d, true
	}
	return Due{}, false
}

func (s *sweep) done(d Due) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.total--
	if s.busy[d.Provider]--; s.busy[d.Provider] == 0 {
		delete(s.busy, d.Provider)
	}
}

// full are the providers of which there is enough to do. It says whether now is the time
// to read more: if nothing is left of what was read, and now and then.
func (s *sweep) full(now time.Time) (providers []string, look bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.total >= s.atOnce || len(s.due) > 0 && now.Sub(s.looked).Abs() < lookBesides {
		return nil, false
	}
	s.looked = now
	for provider := range s.due {
		providers = append(providers, provider)
	}
	for provider, n := range s.busy {
		if n >= s.perProvider && !slices.Contains(providers, provider) {
			providers = append(providers, provider)
		}
	}
	slices.Sort(providers)
	return providers, true
}

// Run refreshes what is about to end, keeps alive what nobody uses, revokes what nobody
// needs, and tells who could not be told, until ctx ends. It returns once nothing is
// under way: a refresh is not left half done.
func (a *Authorizations) Run(ctx context.Context) {
	var under sync.WaitGroup
	for ctx.Err() == nil {
		pause := a.sweepOnce(ctx, &under)
		select {
		case <-ctx.Done():
		case <-a.sweep.woken:
		case <-a.c.After(pause):
		}
	}
	under.Wait()
	a.crew.wait()
}

// sweepOnce begins what is due, as far as there are slots, and returns when to look again.
func (a *Authorizations) sweepOnce(ctx context.Context, under *sync.WaitGroup) time.Duration {
	a.begin(ctx, under)
	full, look := a.sweep.full(a.c.Now())
	if !look {
		return lookBesides // Whoever is done wakes.
	}
	found, next, err := a.c.Store.DueAuthorizations(ctx, DueFilter{Providers: full, Apps: a.pauses.apps(), Limit: lookMost})
	if err != nil {
		if ctx.Err() == nil {
			a.c.Logger.LogAttrs(ctx, slog.LevelWarn, "it was not found out which authorizations are due", slog.Any("error", err))
		}
		return lookEvery
	}
	a.sweep.add(found)
	a.begin(ctx, under)
	if len(found) == lookMost {
		return lookLeast // There may be other providers' behind.
	}
	if next.IsZero() {
		return lookEvery
	}
	return max(lookLeast, min(lookEvery, next.Sub(a.c.Now())))
}

func (a *Authorizations) begin(ctx context.Context, under *sync.WaitGroup) {
	for {
		d, ok := a.sweep.take()
		if !ok {
			return
		}
		under.Go(func() {
			defer a.sweep.wake()
			defer a.sweep.done(d)
			a.attend(detach(ctx), d)
		})
	}
}

// attend does what is due of an authorization. What does not go well is written down
// where it is, and due again.
func (a *Authorizations) attend(ctx context.Context, d Due) {
	k := key{d.Tenant, d.Connection}
	var err error
	switch d.State {
	case Revoking:
		_, err = a.guarded(ctx, func(ctx context.Context) (*entry, error) { return nil, a.revoke(ctx, k) })
	case Broken:
		_, err = a.guarded(ctx, func(ctx context.Context) (*entry, error) { return nil, a.tellDue(ctx, k) })
	default:
		if err = a.mendDue(ctx, k); err == nil {
			_, err = a.wait(ctx, k, want{due: true})
		}
		err = errors.Join(err, a.endingDue(ctx, k))
	}
	if err == nil {
		return
	}
	if err := a.postpone(ctx, k); err != nil {
		a.c.Logger.LogAttrs(ctx, slog.LevelWarn, "an authorization was not put off", slog.String("connection", d.Connection), slog.Any("error", err))
	}
	if !isExpected(err) {
		a.c.Logger.LogAttrs(ctx, slog.LevelWarn, "an authorization was not looked after",
			slog.String("tenant", d.Tenant), slog.String("connection", d.Connection), slog.String("provider", d.Provider), slog.Any("error", err))
	}
}

// postpone puts off what is due still, because it went wrong before anybody could write
// down that it did.
func (a *Authorizations) postpone(ctx context.Context, k key) error {
	row, err := a.c.Store.Authorization(ctx, k.tenant, k.connection)
	if isNotFound(err) || err == nil && (row.Held || row.DueAt.IsZero() || row.DueAt.After(a.c.Now())) {
		return nil
	}
	if err != nil {
		return err
	}
	now := row
	now.DueAt = a.c.Now().Add(postponed)
	_, _, err = a.c.Store.SwapAuthorization(ctx, row, now, 0)
	return err
}

// isExpected says that an error is written down where people look, or is of one that is
// gone.
func isExpected(err error) bool {
	f := fault.From(err)
	return f.Class != fault.Platform
}

// tellDue tells of one that has broken, if nobody was told yet.
func (a *Authorizations) tellDue(ctx context.Context, k key) error {
	row, err := a.c.Store.Authorization(ctx, k.tenant, k.connection)
	if err != nil || row.State != Broken || row.DueAt.IsZero() || row.DueAt.After(a.c.Now()) {
		return err
	}
	// Whoever swaps first tells, so that two processes do not tell the same.
	now := row
	now.DueAt = a.c.Now().Add(tellAgain)
	row, ok, err := a.c.Store.SwapAuthorization(ctx, row, now, 0)
	if err == nil && ok {
		a.tell(ctx, row)
	}
	return err
}

// mendDue tells of one that works again, if nobody was told yet.
func (a *Authorizations) mendDue(ctx context.Context, k key) error {
	row, err := a.c.Store.Authorization(ctx, k.tenant, k.connection)
	if err != nil || row.State != Active || row.BrokenSince.IsZero() || row.Held || row.DueAt.After(a.c.Now()) {
		return err
	}
	now := row
	now.DueAt = a.c.Now().Add(tellAgain)
	row, ok, err := a.c.Store.SwapAuthorization(ctx, row, now, 0)
	if err != nil || !ok {
		return err
	}
	held, err := a.open(ctx, row, "refresh")
	if err != nil {
		return err
	}
	by, err := a.registered(ctx, row, held)
	if err != nil {
		return err
	}
	a.mended(ctx, row, held, by)
	return nil
}

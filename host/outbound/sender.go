package outbound

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/cofferdam-run/cofferdam/host/audit"
	"github.com/cofferdam-run/cofferdam/host/destination"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/notice"
	"github.com/cofferdam-run/cofferdam/host/retention"
	"github.com/cofferdam-run/cofferdam/host/telemetry"
)

const (
	// lookEvery is the longest sleep, after which it is looked what others have put into the
	// outbox, and lookLeast the shortest.
	lookEvery = time.Second
	lookLeast = 10 * time.Millisecond
	// batch is how many rows of the outbox are spread by one transaction, and refs how many
	// destinations are looked at before the database is asked again.
	batch, refs = 200, 200
	// turnFor is how long a process has the turn to spread, so that messages of one
	// destination get an order.
	turnFor = 10 * time.Second
	// troubled is how long a message waits that could not be made.
	troubled = 30 * time.Second
	// countEvery is how often what waits is counted.
	countEvery = 30 * time.Second
	// lastWords is how long giving claims back may take when the process ends.
	lastWords = 5 * time.Second
)

// Config configures a Sender.
type Config struct {
	Store        Store
	Destinations *destination.Destinations
	// Transport makes the requests: guarded, for tenants name the addresses.
	Transport http.RoundTripper
	// Explain says why there was no answer, in words for tenants.
	Explain func(r *http.Request, err error) error
	// Holder names this process among those of a database.
	Holder string
	// Slots is how many requests this process makes at once. Defaults to 32.
	Slots int
	// PerDestination is how many are on their way to one destination at once, from all
	// processes. Defaults to 4.
	PerDestination int
	// PerTenant is how many this process sends to one tenant's destinations at once.
	// Defaults to 8.
	PerTenant int
	// Timeout of one request. Defaults to 15 s.
	Timeout time.Duration
	// Lease is how long what a dead process sent is left alone. Defaults to 15 s more than
	// Timeout.
	Lease time.Duration
	// Schedule is how long after each try the next is made. Defaults to Schedule().
	Schedule []time.Duration
	// Jitter makes such a time a little longer. Defaults to up to a tenth more.
	Jitter func(d time.Duration) time.Duration
	// DisableAfter is for how long a destination may do nothing but fail. Defaults to five
	// days.
	DisableAfter time.Duration
	// Off is told of a destination that was disabled, and why. Defaults to nobody.
	Off func(d destination.Destination, why string)
	// Tracer is told of each try. Defaults to nobody.
	Tracer *telemetry.Tracer
	// Registerer takes the metrics. Defaults to none.
	Registerer prometheus.Registerer
	Logger     *slog.Logger
	// Now and After are the clock. They must be set.
	Now   func() time.Time
	After func(d time.Duration) <-chan time.Time
}

func (c Config) withDefaults() Config {
	if c.Slots <= 0 {
		c.Slots = 32
	}
	if c.PerDestination <= 0 {
		c.PerDestination = 4
	}
	if c.PerTenant <= 0 {
		c.PerTenant = 8
	}
	if c.Timeout <= 0 {
		c.Timeout = 15 * time.Second
	}
	if c.Lease <= 0 {
		c.Lease = c.Timeout + 15*time.Second
	}
	if c.Schedule == nil {
		c.Schedule = Schedule()
	}
	if c.Jitter == nil {
		c.Jitter = later
	}
	if c.DisableAfter <= 0 {
		c.DisableAfter = 5 * 24 * time.Hour
	}
	if c.Off == nil {
		c.Off = func(destination.Destination, string) {}
	}
	if c.Explain == nil {
		c.Explain = func(*http.Request, error) error { return errors.New("there was no answer") }
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// Sender sends what is due.
type Sender struct {
	c       Config
	client  *http.Client
	woken   chan struct{}
	metrics *metrics

	mu sync.Mutex
	// busy is how many requests are under way by owner.
	busy  map[string]int
	slots int
	// ring remembers which owner was served when.
	ring  map[string]int64
	turns int64
	// counted is when what waits was counted last; only Run's goroutine looks at it.
	counted time.Time
}

// New returns a Sender that does not run yet.
func New(c Config) *Sender {
	c = c.withDefaults()
	return &Sender{
		c: c, woken: make(chan struct{}, 1), metrics: newMetrics(c.Registerer), busy: map[string]int{}, ring: map[string]int64{},
		client: &http.Client{
			Transport:     c.Transport,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// Wake has Run look at once. It never blocks.
func (s *Sender) Wake() {
	select {
	case s.woken <- struct{}{}:
	default: // It is told already.
	}
}

// Run sends what is due until ctx ends, and returns once nothing is under way.
func (s *Sender) Run(ctx context.Context) {
	var sending sync.WaitGroup
	defer sending.Wait()
	for ctx.Err() == nil {
		pause, _, err := s.look(ctx, &sending)
		// The schema before this program's has no destinations, until somebody migrates it.
		if err != nil && ctx.Err() == nil && fault.From(err).Code != fault.CodeSchemaTooOld {
			s.c.Logger.WarnContext(ctx, "messages are not sent", slog.Any("error", err))
		}
		select {
		case <-ctx.Done():
		case <-s.woken:
		case <-s.c.After(min(pause, lookEvery)):
		}
	}
}

// SendDue sends what is due now, and what becomes due by that, and returns how long nothing
// will be. It is for those who keep time themselves.
func (s *Sender) SendDue(ctx context.Context) (time.Duration, error) {
	for {
		var sending sync.WaitGroup
		pause, claimed, err := s.look(ctx, &sending)
		sending.Wait()
		if err != nil || claimed == 0 {
			return pause, err
		}
	}
}

// look spreads the outbox and begins to send what is due, as far as there are slots. It
// returns when to look again, and how much it has begun.
func (s *Sender) look(ctx context.Context, sending *sync.WaitGroup) (pause time.Duration, claimed int, err error) {
	if err := s.spread(ctx); err != nil {
		return lookEvery, 0, err
	}
	due, err := s.c.Store.DueDestinations(ctx, refs)
	if err != nil {
		return lookEvery, 0, fmt.Errorf("find what is due: %w", err)
	}
	for _, r := range s.order(due.Refs) {
		n, err := s.serve(ctx, r, sending)
		if err != nil {
			return lookEvery, claimed, err
		}
		claimed += n
	}
	s.count(ctx)
	switch {
	case claimed > 0:
		return lookLeast, claimed, nil
	case due.Next.IsZero():
		return lookEvery, 0, nil
	default:
		return max(lookLeast, due.Next.Sub(due.Now)), 0, nil
	}
}

// spread makes deliveries of what is in the outbox, if it is this process's turn.
func (s *Sender) spread(ctx context.Context) error {
	for {
		waits, err := s.c.Store.OutboxWaits(ctx)
		if err != nil || !waits {
			return spreading(err)
		}
		mine, err := s.c.Store.TakeTurn(ctx, retention.Turn{Name: "outbox", Holder: s.c.Holder, For: turnFor})
		if err != nil || !mine {
			return spreading(err)
		}
		made, err := s.c.Store.Spread(ctx, batch)
		if err != nil {
			return spreading(err)
		}
		s.metrics.spread.Add(float64(made))
	}
}

func spreading(err error) error {
	if err != nil {
		return fmt.Errorf("spread the outbox: %w", err)
	}
	return nil
}

// count counts what waits, now and then.
func (s *Sender) count(ctx context.Context) {
	now := s.c.Now()
	if now.Sub(s.counted) < countEvery {
		return
	}
	s.counted = now
	if b, err := s.c.Store.Backlog(ctx); err == nil { // Else the next time.
		s.metrics.waiting.Set(float64(b.Waiting))
		s.metrics.disabled.Set(float64(b.Disabled))
	}
}

// order has owners take turns: of each the first, then the second of each.
func (s *Sender) order(all []Ref) []Ref {
	s.mu.Lock()
	defer s.mu.Unlock()
	rank := map[string]int{}
	rounds := map[int][]Ref{}
	for _, r := range all {
		rounds[rank[r.Owner]] = append(rounds[rank[r.Owner]], r)
		rank[r.Owner]++
	}
	maps.DeleteFunc(s.ring, func(owner string, _ int64) bool { return rank[owner] == 0 })
	return inTurns(rounds, s.ring)
}

// serve claims of one destination, and sends.
func (s *Sender) serve(ctx context.Context, r Ref, sending *sync.WaitGroup) (int, error) {
	most := s.take(r)
	if most == 0 {
		return 0, nil
	}
	claimed, err := s.c.Store.ClaimDeliveries(ctx, r, most, s.c.Lease)
	s.give(r.Owner, most-len(claimed))
	if err != nil || len(claimed) == 0 {
		return 0, err
	}
	to, err := s.c.Destinations.Open(ctx, r.Owner, r.Destination)
	for _, d := range claimed {
		if err != nil {
			s.give(r.Owner, 1)
			continue
		}
		sending.Go(func() {
			defer s.Wake()
			defer s.give(r.Owner, 1)
			s.deliver(ctx, to, d)
		})
	}
	if err != nil {
		s.c.Logger.WarnContext(ctx, "a destination cannot be sent to; it is tried again later", slog.String("destination", r.Destination), slog.Any("error", err))
		return 0, nil // The claims end by themselves: what is wrong with one holds up no other.
	}
	return len(claimed), nil
}

// take takes slots for a destination.
func (s *Sender) take(r Ref) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := min(s.c.PerDestination, s.c.PerTenant-s.busy[r.Owner], s.c.Slots-s.slots)
	if r.Ordered {
		n = min(n, 1)
	}
	n = max(n, 0)
	if n > 0 {
		s.turns++
		s.ring[r.Owner] = s.turns
		s.busy[r.Owner] += n
		s.slots += n
	}
	return n
}

func (s *Sender) give(owner string, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.slots -= n
	if s.busy[owner] -= n; s.busy[owner] == 0 {
		delete(s.busy, owner)
	}
}

// tell tells of a try.
func (s *Sender) tell(ctx context.Context, to destination.Opened, d Delivery, got result) {
	if s.c.Tracer == nil {
		return
	}
	code := ""
	switch {
	case got.attempt.Status == 0:
		code = "no_answer"
	case !got.taken():
		code = "not_taken"
	}
	address := ""
	if u, err := url.Parse(to.URL); err == nil {
		address = u.Hostname()
	}
	s.c.Tracer.Tell(ctx, telemetry.Span{
		Name: "outbound", Kind: telemetry.Client, Code: code,
		Begin: got.attempt.At, End: got.attempt.At.Add(time.Duration(got.attempt.DurationMS) * time.Millisecond),
		Attributes: []telemetry.Attribute{
			telemetry.Text("cofferdam.tenant", d.Tenant), telemetry.Text("cofferdam.destination", d.Destination), telemetry.Text("cofferdam.delivery", d.ID),
			telemetry.Text("cofferdam.message", d.Message), telemetry.Number("cofferdam.try", int64(d.Tries)), telemetry.Text("server.address", address),
			telemetry.Number("http.response.status_code", int64(got.attempt.Status)),
		},
	})
}

// deliver makes a try of a delivery that is claimed, and keeps what came of it.
func (s *Sender) deliver(ctx context.Context, to destination.Opened, d Delivery) {
	_, err := s.try(ctx, to, d)
	if err == nil || errors.Is(err, ErrFenced) {
		return
	}
	in := troubled
	if ctx.Err() != nil {
		in = 0 // Others are to go on at once.
	}
	ended, done := context.WithTimeout(context.WithoutCancel(ctx), lastWords)
	defer done()
	if released := s.c.Store.ReleaseDelivery(ended, d, in); ctx.Err() == nil || released != nil {
		s.c.Logger.WarnContext(ctx, "a message was not sent; it is tried again later", slog.String("delivery", d.ID), slog.Any("error", err))
	}
}

// try makes a try and settles it.
func (s *Sender) try(ctx context.Context, to destination.Opened, d Delivery) (Delivery, error) {
	got, err := s.send(ctx, to, d)
	if err != nil {
		return d, err
	}
	d.Tries++
	d.Attempts = append(d.Attempts, got.attempt)
	done := s.settle(d, got)
	done.Disabled = func(reason string) notice.Notice { return disabled(to.Destination, reason, got.attempt, s.c.Now()) }
	// What has arrived is kept, also where the process is about to end.
	keeping, end := context.WithTimeout(context.WithoutCancel(audit.Begin(ctx, nil)), lastWords)
	defer end()
	off, err := s.c.Store.SettleDelivery(keeping, done)
	if err != nil {
		return d, fmt.Errorf("keep what became of a delivery: %w", err)
	}
	s.metrics.note(got, off)
	s.tell(ctx, to, d, got)
	if off {
		s.c.Off(to.Destination, got.attempt.Error)
		s.c.Logger.WarnContext(ctx, "a destination was disabled", slog.String("destination", d.Destination), slog.String("why", got.attempt.Error))
	}
	d.State = done.To
	return d, nil
}

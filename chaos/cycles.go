package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http/httptest"
	"time"

	"github.com/cofferdam-run/cofferdam/chaos/ledger"
)

const (
	// soonest is the earliest that a server is killed, once it is ready.
	soonest = 100 * time.Millisecond
	// patience is how long a moment is waited for that may not come.
	patience = 500 * time.Millisecond
	// latest is how long after a moment the kill comes: about what a commit takes.
	latest = 3 * time.Millisecond
	// drainWithin is how long everything that was accepted has to come to its end.
	drainWithin = 2 * time.Minute
)

// scene is all that takes part, on one database.
type scene struct {
	o      options
	place  place
	random *rand.Rand
	hunter *hunter
	pulse  *pulse
	ledger *ledger.Ledger
	vendor *vendor
	// kills counts them by their moment.
	kills map[moment]int
	// installed is the installation's id.
	installed string
	// suffered is what came of a trouble. What is accepted and completed is counted for it.
	suffered                 suffering
	acceptances, completions *meter
}

// on runs all cycles on a database, and judges what is left.
func (o options) on(ctx context.Context, out io.Writer, name string, wasm []byte) (*report, error) {
	fmt.Fprintf(out, "chaos %s: %s, lease %s, seed %d\n", name, o.plan(), o.lease, o.seed)
	p, remove, err := o.place(ctx, name)
	if err != nil {
		return nil, err
	}
	defer remove()
	p.naive = o.naive
	h := &hunter{}
	s := &scene{
		o: o, place: p, hunter: h, pulse: newPulse(h), kills: map[moment]int{}, acceptances: &meter{}, completions: &meter{},
		random: rand.New(rand.NewPCG(o.seed, 3)), //nolint:gosec // Chance, not a secret.
	}
	s.ledger = ledger.New(ledger.Config{Seed: o.seed, After: time.After, Happened: func(g ledger.Stage) {
		h.happened(map[ledger.Stage]moment{ledger.Asked: asked, ledger.Done: done}[g])
	}})
	// Two addresses, because who honours keys is declared by the address.
	keyed, plain := httptest.NewServer(s.ledger), httptest.NewServer(s.ledger)
	defer keyed.Close()
	defer plain.Close()
	to, err := s.place.settle(ctx, wasm, keyed.URL, plain.URL)
	if err != nil {
		return nil, fmt.Errorf("settle: %w", err)
	}
	s.place.tenant, s.installed = to.tenant, to.installation
	s.vendor = newVendor(to, o.rate, o.seed, h)
	s.vendor.naps = o.naive
	s.vendor.accepted = s.acceptances.count
	s.vendor.blind = o.trouble != ""
	s.pulse.completed = s.completions.count
	begun := time.Now()
	cycles, err := s.work(ctx, out)
	if err != nil {
		return nil, err
	}
	if err := s.drain(ctx, out); err != nil {
		return nil, err
	}
	r, err := s.judge(ctx, cycles)
	if err != nil {
		return nil, err
	}
	r.took, r.suffered = time.Since(begun), s.suffered
	if r.broken() {
		return r, nil // As it is, it is evidence.
	}
	if err := s.resolve(ctx); err != nil {
		return nil, fmt.Errorf("resolve what is ambiguous: %w", err)
	}
	after, err := s.judge(ctx, cycles)
	if err != nil {
		return nil, err
	}
	r.resolve(after)
	return r, nil
}

// place is where everything is: with a server of its own if that is to have trouble.
func (o options) place(ctx context.Context, name string) (p place, remove func(), err error) {
	if o.trouble == "" {
		return newPlace(ctx, name, o.lease)
	}
	g, leave, err := newGround(name, o.trouble) //nolint:contextcheck // A test server waits on its own clock.
	if err != nil {
		return p, nil, err
	}
	p, clean, err := placeOn(ctx, g, o.lease)
	if err != nil {
		leave()
		return p, nil, err
	}
	return p, func() { clean(); leave() }, nil
}

func (o options) plan() string {
	if o.trouble != "" {
		return fmt.Sprintf("the trouble %q for %s", o.trouble, o.during)
	}
	return fmt.Sprintf("%d cycles", o.cycles)
}

// work is what is done until everything is to come to its end.
func (s *scene) work(ctx context.Context, out io.Writer) (int, error) {
	if s.o.trouble != "" {
		return s.suffer(ctx)
	}
	return s.cycles(ctx, out)
}

// cycles kills a server, again and again, and returns how often.
func (s *scene) cycles(ctx context.Context, out io.Writer) (n int, err error) {
	working, stop := context.WithCancel(ctx)
	worked := make(chan struct{})
	go func() {
		defer close(worked)
		s.vendor.work(working)
	}()
	defer func() {
		stop()
		<-worked
	}()
	for end := time.Now().Add(s.o.duration); n < s.o.cycles && time.Now().Before(end); n++ {
		if err := s.cycle(ctx, out); err != nil {
			return n, fmt.Errorf("cycle %d: %w", n+1, err)
		}
	}
	return n, nil
}

// cycle starts a server and kills it.
func (s *scene) cycle(ctx context.Context, out io.Writer) error {
	begun := time.Now()
	v, err := start(ctx, s.place, s.pulse.hear)
	if err != nil {
		return err
	}
	ready := time.Now()
	s.hunter.hunt(v)
	s.vendor.turn(v.addr)
	m := s.moment()
	life := s.life()
	late := time.Duration(s.random.Int64N(int64(latest)))
	if m == asked || m == done || m == accepted {
		late = 0
	}
	s.await(ctx, v, life)
	if m != anytime {
		s.hunter.wait(m, late)
		s.await(ctx, v, patience)
	}
	s.vendor.turn("")
	s.hunter.kill()
	<-v.Gone()
	at, by := s.hunter.last()
	if at.Before(begun) {
		return errors.New("the server ended before it was killed")
	}
	s.kills[by]++
	s.pulse.stops(at)
	if s.o.verbose {
		fmt.Fprintf(out, "ready after %s, killed %s later: %s\n", ready.Sub(begun).Round(time.Millisecond), at.Sub(ready).Round(time.Millisecond), by)
	}
	return ctx.Err()
}

// moment is when the next server is killed.
func (s *scene) moment() moment {
	all := moments()
	drawn := all[s.random.IntN(len(all))]
	if s.o.moment != "" {
		return s.o.moment
	}
	return drawn
}

// life is how long a server lives: mostly for less than a lease, so that it leaves
// behind what the one before it has left; now and then long enough to take that up,
// and be killed while it does.
func (s *scene) life() time.Duration {
	lease := float64(s.o.lease)
	at := s.random.Float64()
	if s.random.Float64() < s.o.long {
		return time.Duration((1.8 + 1.6*at) * lease)
	}
	return soonest + time.Duration(at*lease/2)
}

// await waits for d, or until the server is gone.
func (s *scene) await(ctx context.Context, v *victim, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-v.Gone():
	case <-time.After(d):
	}
}

// drain has a server that nobody kills bring everything to its end.
func (s *scene) drain(ctx context.Context, out io.Writer) (err error) {
	s.ledger.Calm()
	v, err := start(ctx, s.place, s.pulse.hear)
	if err != nil {
		return fmt.Errorf("drain: %w", err)
	}
	defer func() { err = errors.Join(err, v.stop()) }()
	s.vendor.turn(v.addr)
	within, cancel := context.WithTimeout(ctx, drainWithin)
	defer cancel()
	if err := s.vendor.rest(within); err != nil {
		return fmt.Errorf("deliver what is left: %w", err)
	}
	for {
		n, err := s.vendor.left(within, v.addr)
		switch {
		case err == nil && n.sum() == 0:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case within.Err() != nil:
			fmt.Fprintf(out, "after %s there are still unfinished executions: %+v\n", drainWithin, n)
			return nil // The verdict counts them as lost.
		}
		s.await(within, v, 50*time.Millisecond)
	}
}

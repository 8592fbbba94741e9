package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/webhook"
)

const (
	// mostLeft is how many executions may be unfinished when a new delivery is made:
	// what a crash has interrupted is run one at a time, and must not pile up.
	mostLeft = 50
	// mostAtOnce is how many deliveries are made at once.
	mostAtOnce = 8
)

// order is the body of a delivery: what its guest is to do beside the rest.
type order struct {
	ID string `json:"id"`
	// SleepMS is how long it sleeps between its effects.
	SleepMS int `json:"sleep_ms,omitempty"`
	// Shared has it count under a key that others count under, so that they conflict.
	Shared bool `json:"shared,omitempty"`
	// Padding makes the body large.
	Padding string `json:"padding,omitempty"`
}

// delivery is one webhook, which is delivered until it is accepted.
type delivery struct {
	order order
	body  []byte
	// execution is the one that it was accepted as, empty before.
	execution string
	// dropped says that the vendor has given up: nothing was promised to it.
	dropped bool
}

// vendor delivers webhooks, as vendors do: until one is accepted, and a few of them
// again afterwards. It is safe for concurrent use.
type vendor struct {
	hook   hook
	rate   float64
	hunter *hunter
	client *http.Client
	// naps has nobody sleep for long: a server that keeps no journal would never know
	// that somebody has slept.
	naps bool
	// blind has it deliver whatever is unfinished, and whether the server answers or not.
	blind bool
	// accepted is told when a delivery was accepted, unless it is nil.
	accepted func(at time.Time)

	mu     sync.Mutex
	random *rand.Rand
	// addr is the server that lives, empty while there is none.
	addr string
	all  []*delivery
	// open are those that have to be delivered again.
	open      []*delivery
	repeated  int
	forgotten []string
	busy      sync.WaitGroup
	slots     chan struct{}
}

func newVendor(to hook, rate float64, seed uint64, h *hunter) *vendor {
	return &vendor{
		hook: to, rate: rate, hunter: h, client: &http.Client{Timeout: 10 * time.Second},
		random: rand.New(rand.NewPCG(seed, 2)), //nolint:gosec // Chance, not a secret.
		slots:  make(chan struct{}, mostAtOnce),
	}
}

// turn sends what is delivered from now on to another server.
func (v *vendor) turn(addr string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.addr = addr
}

func (v *vendor) target() string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.addr
}

// work delivers until ctx ends, and waits for what is under way.
func (v *vendor) work(ctx context.Context) {
	tick := time.NewTicker(time.Duration(float64(time.Second) / v.rate))
	defer tick.Stop()
	defer v.busy.Wait()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		addr := v.target()
		if addr == "" {
			continue
		}
		if !v.blind && v.crowded(ctx, addr) {
			continue
		}
		v.send(ctx, v.next())
	}
}

// crowded says that enough is unfinished, or that nobody knows.
func (v *vendor) crowded(ctx context.Context, addr string) bool {
	n, err := v.left(ctx, addr)
	return err != nil || n.sum() >= mostLeft
}

// next is what is delivered next: what was not accepted, then something again,
// then something new.
func (v *vendor) next() *delivery {
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.open) > 0 {
		d := v.open[0]
		v.open = v.open[1:]
		return d
	}
	if len(v.all) > 0 && v.random.Float64() < 0.15 {
		v.repeated++
		return v.all[len(v.all)-1-v.random.IntN(min(50, len(v.all)))]
	}
	d := &delivery{order: order{ID: fmt.Sprintf("d%06d", len(v.all))}}
	if v.random.Float64() < 0.05 {
		// A short one keeps its sandbox, a longer one gives it back and is claimed again.
		d.order.SleepMS = 50 + v.random.IntN(250)
		if !v.naps && v.random.IntN(2) == 0 {
			d.order.SleepMS += 1000
		}
	}
	d.order.Shared = v.random.Float64() < 0.2
	if v.random.Float64() < 0.1 {
		d.order.Padding = string(bytes.Repeat([]byte("x"), v.random.IntN(40_000)))
	}
	d.body, _ = json.Marshal(d.order) // It has nothing that could fail.
	v.all = append(v.all, d)
	return d
}

func (v *vendor) send(ctx context.Context, d *delivery) {
	addr := v.target()
	v.slots <- struct{}{}
	v.busy.Go(func() {
		defer func() { <-v.slots }()
		got, err := v.deliver(ctx, addr, d)
		if err == nil {
			v.hunter.happened(accepted)
			if v.accepted != nil {
				v.accepted(time.Now())
			}
		}
		v.note(d, got, err)
	})
}

// note remembers what became of a delivery. A few that were not accepted are given up.
func (v *vendor) note(d *delivery, got event.Accepted, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	switch {
	case err != nil && d.execution != "", err != nil && d.dropped:
	case err != nil && v.random.Float64() < 0.1:
		d.dropped = true
	case err != nil:
		v.open = append(v.open, d)
	case d.execution != "" && d.execution != got.Execution:
		v.forgotten = append(v.forgotten, fmt.Sprintf("delivery %s was accepted as %s, and later as %s", d.order.ID, d.execution, got.Execution))
	default:
		d.execution = got.Execution
	}
}

func (v *vendor) deliver(ctx context.Context, addr string, d *delivery) (got event.Accepted, err error) {
	header, err := webhook.Sign("standard-webhooks", v.hook.secret, d.order.ID, time.Now(), d.body)
	if err != nil {
		return got, err
	}
	r, err := http.NewRequestWithContext(context.WithoutCancel(ctx), http.MethodPost, "http://"+addr+"/hooks/"+v.hook.endpoint, bytes.NewReader(d.body))
	if err != nil {
		return got, err
	}
	r.Header = header
	r.Header.Set("Content-Type", "application/json")
	return got, v.ask(r, &got)
}

// left asks how many executions are unfinished.
func (v *vendor) left(ctx context.Context, addr string) (n unfinished, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/left", nil)
	if err != nil {
		return n, err
	}
	return n, v.ask(r, &n)
}

func (v *vendor) ask(r *http.Request, answer any) error {
	w, err := v.client.Do(r)
	if err != nil {
		return err
	}
	defer func() { _ = w.Body.Close() }()
	text, err := io.ReadAll(w.Body)
	if err != nil {
		return err
	}
	if w.StatusCode >= http.StatusMultipleChoices {
		return fmt.Errorf("%s: %d: %s", r.URL.Path, w.StatusCode, text)
	}
	return json.Unmarshal(text, answer)
}

// rest delivers what is still to be delivered, and nothing new.
func (v *vendor) rest(ctx context.Context) error {
	for ctx.Err() == nil {
		v.mu.Lock()
		open := v.open
		v.open = nil
		v.mu.Unlock()
		if len(open) == 0 {
			return nil
		}
		for _, d := range open {
			v.send(ctx, d)
		}
		v.busy.Wait()
	}
	return ctx.Err()
}

// deliveries are all that were made, and what is known to have been forgotten.
func (v *vendor) deliveries() (all []delivery, repeated int, forgotten []string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, d := range v.all {
		all = append(all, *d)
	}
	return all, v.repeated, slices.Clone(v.forgotten)
}

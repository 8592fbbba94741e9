package authorization

import (
	"context"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/prometheus/client_golang/prometheus"
)

// lanes bound how many requests for tokens are made of a provider at a time.
type lanes struct {
	most    int
	waiting prometheus.Gauge
	mu      sync.Mutex
	open    map[string]*lane
}

// lane is one provider's. It is there as long as somebody is in it.
type lane struct {
	slots chan struct{}
	users int
}

func newLanes(most int, waiting prometheus.Gauge) *lanes {
	return &lanes{most: most, waiting: waiting, open: map[string]*lane{}}
}

// enter waits for a slot.
func (l *lanes) enter(ctx context.Context, provider string) (leave func(), err error) {
	in := l.use(provider)
	l.waiting.Inc()
	defer l.waiting.Dec()
	select {
	case <-ctx.Done():
		l.unuse(provider)
		return nil, ctx.Err()
	case in.slots <- struct{}{}:
		return func() { <-in.slots; l.unuse(provider) }, nil
	}
}

func (l *lanes) use(provider string) *lane {
	l.mu.Lock()
	defer l.mu.Unlock()
	in := l.open[provider]
	if in == nil {
		in = &lane{slots: make(chan struct{}, l.most)}
		l.open[provider] = in
	}
	in.users++
	return in
}

func (l *lanes) unuse(provider string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if in := l.open[provider]; in.users == 1 {
		delete(l.open, provider)
	} else {
		in.users--
	}
}

// pausesMost bounds the clients whose pause is remembered.
const pausesMost = 4096

// pauses are the apps whose provider wants to be left alone. One tenant's own app does
// not have others wait.
type pauses struct {
	now   func() time.Time
	until *lru.Cache[string, time.Time]
}

func newPauses(now func() time.Time) (*pauses, error) {
	until, err := lru.New[string, time.Time](pausesMost)
	if err != nil {
		return nil, err
	}
	return &pauses{now: now, until: until}, nil
}

// set has an app left alone for a while.
func (p *pauses) set(app string, d time.Duration) {
	until := p.now().Add(d)
	if was, ok := p.until.Peek(app); !ok || until.After(was) {
		p.until.Add(app, until)
	}
}

// left is for how long an app is to be left alone.
func (p *pauses) left(app string) time.Duration {
	until, ok := p.until.Peek(app)
	if !ok {
		return 0
	}
	left := until.Sub(p.now())
	if left <= 0 {
		p.until.Remove(app)
	}
	return max(left, 0)
}

// apps are all that are to be left alone.
func (p *pauses) apps() []string {
	var all []string
	for _, app := range p.until.Keys() {
		if p.left(app) > 0 {
			all = append(all, app)
		}
	}
	return all
}

package cluster_test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/webhook"
	"github.com/cofferdam-run/cofferdam/runtime/runtimetest"
	"github.com/cofferdam-run/cofferdam/test/processtest"
)

var (
	copies     = flag.Int("cluster.copies", 100, "how many copies of a delivery come at once; 1000 is the full size")
	deliveries = flag.Int("cluster.deliveries", 100, "how many deliveries they are copies of")
)

// copied is a delivery, of which many copies come.
type copied struct {
	header http.Header
	body   []byte

	mu sync.Mutex
	// events are the ids that its answers name, and first how many of them say that they
	// were the first.
	events map[string]int
	first  int
}

// swarm sends copies.
type swarm struct {
	c      *cluster
	path   string
	client *http.Client
	// again is how many were told to come again, and took how long each that was taken was.
	again atomic.Int64
	mu    sync.Mutex
	took  []time.Duration
}

// answered is what a server says of a copy: how it was taken, or when to come again.
type answered struct {
	event.Accepted
	status int
	wait   time.Duration
}

// send sends a copy to one of the servers until it is taken.
func (s *swarm) send(ctx context.Context, d *copied) error {
	for {
		began := time.Now()
		got, err := s.once(ctx, d)
		if err != nil {
			return err
		}
		if got.wait == 0 {
			s.mu.Lock()
			s.took = append(s.took, time.Since(began))
			s.mu.Unlock()
			return d.taken(got)
		}
		s.again.Add(1)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(got.wait): // As it was told.
		}
	}
}

// taken notes how a copy was.
func (d *copied) taken(got answered) error {
	if (got.status == http.StatusAccepted) == got.Duplicate {
		return fmt.Errorf("a delivery was answered %d with %+v", got.status, got.Accepted)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.events[got.Event]++
	if !got.Duplicate {
		d.first++
	}
	return nil
}

// once sends a copy.
func (s *swarm) once(ctx context.Context, d *copied) (got answered, err error) {
	to := s.c.members[rand.IntN(processes)]
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, to.URL()+s.path, bytes.NewReader(d.body))
	if err != nil {
		return got, err
	}
	r.Header = d.header.Clone()
	answer, err := s.client.Do(r)
	if err != nil {
		return got, err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	got.status = answer.StatusCode
	switch {
	case err != nil:
		return got, err
	case got.status < http.StatusMultipleChoices:
		return got, json.Unmarshal(text, &got.Accepted)
	case got.status == http.StatusTooManyRequests || got.status == http.StatusServiceUnavailable:
		seconds, err := strconv.Atoi(answer.Header.Get("Retry-After"))
		got.wait = time.Duration(seconds) * time.Second
		if err != nil || seconds < 1 {
			return got, fmt.Errorf("answered %s without saying when to come again: %w", answer.Status, err)
		}
		return got, nil
	default:
		return got, fmt.Errorf("answered %s: %s", answer.Status, text)
	}
}

// TestCopiesOfADeliveryRunOnce has copies of deliveries come to all servers at once.
//
// In full: -run Copies -cluster.copies 1000.
func TestCopiesOfADeliveryRunOnce(t *testing.T) { //nolint:paralleltest // It wants the machine for itself.
	c := launch(t)
	c.tenant(t, 16)
	c.install(t, "tiny", runtimetest.Outputs(map[string]string{
		"describe": `{"name":"tiny","version":"1.0.0","webhooks":[{"name":"issues","scheme":"github"}]}`, "webhook": `{}`,
	}), 0)
	var e struct{ ID, Secret string }
	c.members[0].must(t, http.MethodPost, "/v1/tenants/acme/endpoints", map[string]any{"installation": "tiny", "webhook": "issues"}, &e)
	s := &swarm{c: c, path: "/hooks/" + e.ID, client: &http.Client{Timeout: time.Minute, Transport: &http.Transport{MaxIdleConnsPerHost: 100}}}
	all := make([]*copied, *deliveries)
	var order []*copied
	for n := range all {
		all[n] = &copied{body: []byte(`{}`), events: map[string]int{}}
		var err error
		if all[n].header, err = webhook.Sign("github", e.Secret, fmt.Sprint("d-", n), time.Now(), all[n].body); err != nil {
			t.Fatal(err)
		}
		order = append(order, slices.Repeat(all[n:n+1], *copies)...)
	}
	rand.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
	began := time.Now()
	var next atomic.Int64
	var senders sync.WaitGroup
	for range 100 {
		senders.Go(func() {
			for i := next.Add(1) - 1; int(i) < len(order) && !t.Failed(); i = next.Add(1) - 1 {
				if err := s.send(t.Context(), order[i]); err != nil {
					t.Error(err)
				}
			}
		})
	}
	senders.Wait()
	took := time.Since(began)
	for n, d := range all {
		if len(d.events) != 1 || d.first != 1 {
			t.Errorf("delivery %d was stored as %v, and %d answers say that they are the first", n, d.events, d.first)
		}
	}
	conn := c.look(t)
	var executions, once, events int
	processtest.Eventually(t, "all executions to be done", func() bool {
		var left int
		one(t, conn, `SELECT count(*) FILTER (WHERE state < 3), count(*), count(*) FILTER (WHERE state = 3 AND attempt = 1) FROM executions`, &left, &executions, &once)
		return left == 0
	})
	one(t, conn, `SELECT count(*) FROM events`, &events)
	if executions != *deliveries || once != *deliveries || events != *deliveries {
		t.Errorf("%d executions, %d that succeeded at once, %d events, want %d of each", executions, once, events, *deliveries)
	}
	if t.Failed() {
		t.FailNow()
	}
	slices.Sort(s.took)
	t.Logf("%d requests to %d processes in %.1f s, %.0f a second, p50 %s, p99 %s; %d were told to come again; %d executions, %d events",
		len(order), processes, took.Seconds(), float64(len(order))/took.Seconds(), s.took[len(s.took)/2].Round(100*time.Microsecond),
		s.took[len(s.took)*99/100].Round(100*time.Microsecond), s.again.Load(), executions, events)
}

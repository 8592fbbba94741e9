package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	goruntime "runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cofferdam-run/cofferdam/bench/internal/command"
	"github.com/cofferdam-run/cofferdam/bench/internal/database"
)

const (
	// times is how many times as much comes as is taken.
	times = 10
	// crowd is how many vendors deliver at once then: more than a process lets in.
	crowd = 4096
	// maxMiB and maxAgain are the goals for memory, and for how long it takes until all is
	// as before.
	maxMiB   = 512
	maxAgain = 5
	// usual is how many deliveries a second show that it is.
	usual = 200
)

// outcome is what became of what came.
type outcome struct{ came, taken, refused, wrong atomic.Int64 }

// note counts an answer. What is turned away must be told when to come again.
func (o *outcome) note(w *httptest.ResponseRecorder, err error) error {
	if err != nil {
		return err
	}
	o.came.Add(1)
	switch later := w.Header().Get("Retry-After") != ""; {
	case w.Code == http.StatusAccepted:
		o.taken.Add(1)
	case later && (w.Code == http.StatusTooManyRequests || w.Code == http.StatusServiceUnavailable):
		o.refused.Add(1)
	default:
		o.wrong.Add(1)
	}
	return nil
}

// overloaded has ten times as much come as is taken, and looks what is lost of what was
// said to be taken, how much memory that needs, and when all is as before.
func (s *suite) overloaded(ctx context.Context, d *database.Database) error {
	r, err := newRig(ctx, d)
	if err != nil {
		return err
	}
	defer r.close(ctx)
	v, err := r.enroll(ctx, "acme")
	if err != nil {
		return err
	}
	rate, err := flatOut(ctx, 2*time.Second, v.deliver)
	if err != nil {
		return err
	}
	before, err := v.stored(ctx)
	if err != nil {
		return err
	}
	forgetPeak()
	o, err := s.flood(ctx, v, times*rate)
	if err != nil {
		return err
	}
	over := time.Now()
	again, err := s.asUsual(ctx, v)
	if err != nil {
		return err
	}
	peak, err := command.Kilobytes("/proc/self/status", "VmHWM:")
	if err != nil && !errors.Is(err, command.ErrSkip) {
		return err
	}
	after, err := v.stored(ctx)
	if err != nil {
		return err
	}
	lost := before + int(o.taken.Load()) + again.taken - after
	recovered := again.at.Sub(over).Seconds()
	s.print("overload_lost", d, float64(lost), "deliveries",
		s.goal(lost == 0 && o.wrong.Load() == 0, 0), peer("wrong", float64(o.wrong.Load())),
		peer("times", float64(o.came.Load())/s.overload.Seconds()/rate), peer("taken_per_s", float64(o.taken.Load())/s.overload.Seconds()),
		peer("refused_per_s", float64(o.refused.Load())/s.overload.Seconds()))
	s.print("overload_peak_mib", d, peak/1024, "MiB", s.goal(peak/1024 <= maxMiB, maxMiB))
	s.print("overload_again_s", d, recovered, "s", s.goal(recovered <= maxAgain, maxAgain))
	return nil
}

// flood has deliveries come from a crowd at a rate. One that waits for its answer comes
// again when it has it.
func (s *suite) flood(ctx context.Context, v *vendor, perSecond float64) (*outcome, error) {
	var o outcome
	errs := make(chan error, crowd)
	every := time.Duration(float64(crowd) / perSecond * float64(time.Second))
	start := time.Now()
	var wg sync.WaitGroup
	for i := range crowd {
		wg.Go(func() {
			due := start.Add(every * time.Duration(i) / crowd)
			for ; time.Since(start) < s.overload; due = due.Add(every) {
				select {
				case <-ctx.Done():
					errs <- ctx.Err()
					return
				case <-time.After(time.Until(due)):
				}
				if err := o.note(v.send(ctx)); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	wg.Wait()
	select {
	case err := <-errs:
		return nil, fmt.Errorf("one of %d vendors: %w", crowd, err)
	default:
		return &o, nil
	}
}

// usually is when all was as before, and how many deliveries were made to see it.
type usually struct {
	at    time.Time
	taken int
}

// asUsual waits until deliveries take no longer than they should, and says when that was,
// and how many it has made.
func (s *suite) asUsual(ctx context.Context, v *vendor) (since usually, err error) {
	first := time.Now()
	for since.at.IsZero() {
		var o outcome
		began := time.Now()
		took, err := atRate(ctx, usual, time.Second/2, func(ctx context.Context) error { return o.note(v.send(ctx)) })
		if err != nil {
			return since, err
		}
		since.taken += int(o.taken.Load())
		if o.came.Load() == o.taken.Load() && quantile(took, .99) <= patience {
			since.at = began
		}
		if time.Since(first) > time.Minute {
			return since, errors.New("a minute later deliveries still take too long")
		}
	}
	return since, nil
}

// forgetPeak has the system forget the most memory that this process has had, where it
// can (https://man7.org/linux/man-pages/man5/proc_pid_clear_refs.5.html).
func forgetPeak() {
	goruntime.GC()
	_ = os.WriteFile("/proc/self/clear_refs", []byte("5"), 0o200)
}

package alert

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/cofferdam-run/cofferdam/host/destination"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/ident"
	"github.com/cofferdam-run/cofferdam/host/notice"
	"github.com/cofferdam-run/cofferdam/host/redrive"
)

const (
	// deadMost is how many reasons a digest names, and toldMost how many notices it counts.
	deadMost, toldMost = 50, 2000
	// page is how many of them are read at once.
	page = 200
)

// look looks at one watch.
func (a *Alerts) look(ctx context.Context, w Watch) error {
	before := w
	w.LookedAt = a.c.Now()
	var err error
	switch w.Object {
	case Digest:
		err = a.digest(ctx, &w)
	case Queue:
		err = a.queue(ctx, &w)
	default:
		err = a.silence(ctx, &w, before.LookedAt)
	}
	if isNotFound(err) {
		return a.c.Store.DeleteWatch(ctx, w.Tenant, w.Object) // What it was about is gone.
	}
	if err != nil {
		return err
	}
	return a.c.Store.SaveWatch(ctx, w)
}

// silence tells that nothing is heard, or that something is again.
func (a *Alerts) silence(ctx context.Context, w *Watch, lookedAt time.Time) error {
	s, err := a.c.Find(ctx, w.Tenant, w.Object)
	if err != nil {
		return fmt.Errorf("find what is watched: %w", err)
	}
	heard, err := a.c.Store.Heard(ctx, w.Tenant, w.Object, lookedAt.Add(-slack))
	if err != nil {
		return fmt.Errorf("look what was heard: %w", err)
	}
	last := w.Since
	if heard.After(w.Since) {
		w.Since = heard
	}
	n := notice.Notice{Tenant: w.Tenant, Name: s.Name, Installation: s.Installation, FirstAt: last, LastAt: w.Since}
	silent, again := notice.EndpointSilent, notice.EndpointHeard
	if n.Endpoint = w.Object; strings.HasPrefix(w.Object, ident.Schedule) {
		n.Endpoint, n.Schedule, silent, again = "", w.Object, notice.ScheduleSilent, notice.ScheduleHeard
	}
	switch {
	case !w.ToldAt.IsZero() && w.Since.After(last):
		n.Kind, n.At = again, w.Since
		err = a.tell(ctx, n, w.ToldAt)
		w.ToldAt = time.Time{}
	case s.Idle && w.ToldAt.IsZero():
		w.Since = w.LookedAt
	case w.ToldAt.IsZero() && w.LookedAt.Sub(w.Since) >= w.within():
		n.Kind, n.At = silent, w.Since.Add(w.within())
		err = a.tell(ctx, n, n.At)
		w.ToldAt = n.At
	}
	return err
}

// queue tells that what is queued is late, or not any more.
func (a *Alerts) queue(ctx context.Context, w *Watch) error {
	first, err := a.c.Store.OldestDue(ctx, w.Tenant)
	if err != nil {
		return fmt.Errorf("look what is queued: %w", err)
	}
	late := !first.IsZero() && w.LookedAt.Sub(first) > w.within()
	n := notice.Notice{Tenant: w.Tenant, FirstAt: first}
	switch {
	case late && w.ToldAt.IsZero():
		n.Kind, n.At = notice.QueueLate, first.Add(w.within())
		err = a.tell(ctx, n, n.At)
		w.ToldAt = n.At
	case !late && !w.ToldAt.IsZero():
		n.Kind, n.At = notice.QueueCaughtUp, w.LookedAt
		err = a.tell(ctx, n, w.ToldAt)
		w.ToldAt = time.Time{}
	}
	return err
}

// tell tells what is told once for each time that it began.
func (a *Alerts) tell(ctx context.Context, n notice.Notice, began time.Time) error {
	n.Subject = strings.TrimSpace(n.Endpoint+n.Schedule+" "+string(n.Kind)) + " " + strconv.FormatInt(began.UnixMicro(), 10)
	if _, err := a.c.Tell(ctx, n); err != nil {
		return fmt.Errorf("tell: %w", err)
	}
	return nil
}

// digest writes what went wrong up to the last full hour or day.
func (a *Alerts) digest(ctx context.Context, w *Watch) error {
	end := w.LookedAt.Truncate(w.within())
	// What has happened just before comes to be stored.
	if !end.After(w.Since) || w.LookedAt.Sub(end) < slack {
		return nil
	}
	d := notice.Digest{From: w.Since, To: end}
	for _, fill := range []func(context.Context, string, *notice.Digest) error{a.fillDead, a.fillTold, a.fillStates} {
		if err := fill(ctx, w.Tenant, &d); err != nil {
			return fmt.Errorf("write the digest: %w", err)
		}
	}
	w.Since = end
	if len(d.Dead)+len(d.Told)+len(d.Silent)+len(d.Disabled) == 0 {
		return nil
	}
	return a.tell(ctx, notice.Notice{Tenant: w.Tenant, Kind: notice.TenantDigest, Digest: &d, At: end}, end)
}

func (a *Alerts) fillDead(ctx context.Context, tenant string, d *notice.Digest) error {
	groups, err := a.c.Store.BuriedGroups(ctx, tenant, redrive.Filter{Since: d.From, Until: d.To})
	if err != nil {
		return err
	}
	for i, g := range groups {
		if i == deadMost {
			d.DeadMore = len(groups) - i
			break
		}
		d.Dead = append(d.Dead, notice.Failing{
			Installation: g.Installation, Fingerprint: g.Fingerprint, Count: int64(g.Count), FirstAt: g.First, LastAt: g.Last,
			Execution: g.Sample, Error: reasonOf(fault.Class(g.Class), g.Code, g.Sample),
		})
	}
	return nil
}

func (a *Alerts) fillTold(ctx context.Context, tenant string, d *notice.Digest) error {
	before, from := ident.Bound(ident.Notice, d.To), ident.Bound(ident.Notice, d.From)
	for range toldMost / page {
		some, err := a.c.Store.Notices(ctx, tenant, before, page)
		if err != nil {
			return err
		}
		for _, n := range some {
			if before = n.ID; before < from {
				return nil
			}
			if n.Kind == notice.TenantDigest {
				continue
			}
			if d.Told == nil {
				d.Told = map[notice.Kind]int{}
			}
			d.Told[n.Kind]++
		}
		if len(some) < page {
			return nil
		}
	}
	return nil
}

func (a *Alerts) fillStates(ctx context.Context, tenant string, d *notice.Digest) error {
	watched, err := a.c.Store.Watches(ctx, tenant)
	if err != nil {
		return err
	}
	for _, w := range watched {
		if !w.ToldAt.IsZero() && w.Object != Queue {
			d.Silent = append(d.Silent, w.Object)
		}
	}
	all, err := a.c.Store.Destinations(ctx, tenant, "", page)
	if err != nil {
		return err
	}
	for _, x := range all {
		if x.State == destination.Disabled {
			d.Disabled = append(d.Disabled, x.ID)
		}
	}
	return nil
}

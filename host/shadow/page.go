package shadow

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
)

const (
	// pageMost is how many executions a step looks at: it replays as many of them as it
	// has time for.
	pageMost = 128
	// tenantsMost is how many tenants a step looks into.
	tenantsMost = 200
)

// cursor is where a step begins.
type cursor struct {
	// Counted says that the first step is over, which counts.
	Counted bool `json:"counted,omitempty"`
	// Quota is the most of one tenant; 0 is no limit.
	Quota int `json:"quota,omitempty"`
	// Tenant is the one that is under way, or was last. Of it Taken are done, the last
	// of which is After.
	Tenant string `json:"tenant,omitempty"`
	Taken  int    `json:"taken,omitempty"`
	After  Mark   `json:"after,omitzero"`
	// Over says that nothing of this tenant is left.
	Over bool `json:"over,omitempty"`
}

func cursorOf(text string) (cursor, error) {
	var c cursor
	if text == "" {
		return c, nil
	}
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		return c, fmt.Errorf("read the cursor of a shadow run: %w", err)
	}
	return c, nil
}

// filter selects what a run is about.
func (o *order) filter() Filter {
	return Filter{VersionID: o.AgainstID, Since: o.Since, Until: o.Until}
}

// holders are the next tenants of a run after one.
func (r *Runs) holders(ctx context.Context, o *order, after string) ([]string, error) {
	if o.Tenant == "" {
		found, err := r.c.Store.Holders(ctx, o.PluginID, after, tenantsMost)
		if err != nil {
			return nil, fmt.Errorf("list the tenants of a plugin: %w", err)
		}
		return found, nil
	}
	if after == "" {
		return []string{o.Tenant}, nil
	}
	return nil, nil
}

// count finds how many executions there are, and what each tenant's part is.
func (r *Runs) count(ctx context.Context, o *order) (total, quota int, err error) {
	var counts []int
	for after := ""; ; {
		tenants, err := r.holders(ctx, o, after)
		if err != nil || len(tenants) == 0 {
			total, quota = share(counts, o.Limit)
			return total, quota, err
		}
		for _, t := range tenants {
			n, err := r.c.Store.CountEnded(ctx, t, o.filter())
			if err != nil {
				return 0, 0, fmt.Errorf("count what has ended: %w", err)
			}
			counts = append(counts, n)
		}
		after = tenants[len(tenants)-1]
	}
}

// share is the least part of each tenant with which they come to the limit together,
// 0 if all of it is within the limit.
func share(counts []int, limit int) (total, quota int) {
	slices.Sort(counts)
	for _, n := range counts {
		total += n
	}
	if limit == 0 || total <= limit {
		return total, 0
	}
	left := limit
	for i, n := range counts {
		others := len(counts) - i
		if n*others >= left {
			return limit, (left + others - 1) / others
		}
		left -= n
	}
	return total, 0 // It does not come to this: then the total were within the limit.
}

// ref is an execution of a page.
type ref struct {
	Ended

	tenant string
	// at is the cursor once it is done.
	at cursor
}

// page is the next executions of a run.
type page struct {
	refs []ref
	// end is the cursor once all of them are done, and more says whether any may follow.
	end  cursor
	more bool
}

// next finds the next page, of at most room executions.
func (r *Runs) next(ctx context.Context, o *order, from cursor, room int) (page, error) {
	p := page{end: from, more: true}
	if from.Tenant != "" && !from.Over {
		if err := r.fill(ctx, o, &p, room); err != nil {
			return p, err
		}
	}
	if len(p.refs) == room {
		return p, nil
	}
	tenants, err := r.holders(ctx, o, p.end.Tenant)
	if err != nil {
		return p, err
	}
	for _, t := range tenants {
		p.end.Tenant, p.end.Taken, p.end.After, p.end.Over = t, 0, Mark{}, false
		if err := r.fill(ctx, o, &p, room); err != nil {
			return p, err
		}
		if len(p.refs) == room {
			return p, nil
		}
	}
	p.more = len(tenants) > 0 && o.Tenant == ""
	return p, nil
}

// fill adds what is left of a tenant to a page.
func (r *Runs) fill(ctx context.Context, o *order, p *page, room int) error {
	want := room - len(p.refs)
	if p.end.Quota > 0 {
		want = min(want, p.end.Quota-p.end.Taken)
	}
	if want > 0 {
		f := o.filter()
		f.Before = p.end.After
		found, err := r.c.Store.Ended(ctx, p.end.Tenant, f, want)
		if err != nil {
			return fmt.Errorf("list what has ended: %w", err)
		}
		for _, e := range found {
			p.end.Taken++
			p.end.After = e.Mark
			p.refs = append(p.refs, ref{Ended: e, tenant: p.end.Tenant, at: p.end})
		}
		if len(found) == want && len(p.refs) == room {
			return nil // There may be more of it.
		}
	}
	p.end.Over = true
	return nil
}

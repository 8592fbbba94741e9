package postgres

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/cofferdam-run/cofferdam/host/store/internal/finish"
	"github.com/cofferdam-run/cofferdam/host/usage"
)

// addUsage adds a group's runs to their days.
const addUsage = finish.AddUsage +
	`SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[],
   $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[])` +
	finish.SumUsage + `GREATEST(u.memory_bytes, excluded.memory_bytes)`

// queueUsage queues what the runs cost, one row for each installation's day. Its
// locks are the last that a transaction takes, in the order of the keys: whoever
// waits for them waits for a commit, and for nothing that waits for others.
func queueUsage(b *pgx.Batch, runs []*completion, now time.Time) {
	sums := make(map[usage.Total]usage.Total)
	for _, r := range runs {
		if r.item.Err != nil {
			continue
		}
		if t, ok := finish.Used(r.item.Value.Completion, r.row, r.installation, now); ok {
			k := usage.Total{Tenant: t.Tenant, Day: t.Day, Installation: t.Installation}
			sums[k] = t.Plus(sums[k])
		}
	}
	if len(sums) == 0 {
		return
	}
	totals := slices.SortedFunc(maps.Values(sums), func(x, y usage.Total) int {
		return cmp.Or(cmp.Compare(x.Tenant, y.Tenant), cmp.Compare(x.Day, y.Day), cmp.Compare(x.Installation, y.Installation))
	})
	var tenants, days, installations []string
	var figures [9][]int64
	for _, t := range totals {
		tenants, days, installations = append(tenants, t.Tenant), append(days, string(t.Day)), append(installations, t.Installation)
		for i, n := range finish.Figures(t) {
			figures[i] = append(figures[i], n)
		}
	}
	args := []any{tenants, days, installations}
	for _, f := range figures {
		args = append(args, f)
	}
	b.Queue(addUsage, args...)
}

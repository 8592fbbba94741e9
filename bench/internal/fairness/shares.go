package fairness

import (
	"context"
	"sync"
	"time"

	"github.com/cofferdam-run/cofferdam/bench/internal/database"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/ident"
	"github.com/cofferdam-run/cofferdam/host/tenant"
	"github.com/cofferdam-run/cofferdam/host/worker"
)

// shares measures what tenants of weights 1 to 4 get while all of them have a backlog:
// Jain's index (Jain, Chiu and Hawe, 1984) of what was done for each, by its weight.
func shares(ctx context.Context, d *database.Database, s Size) (figures []Figure, err error) {
	weight := func(i int) int { return 1 + i%4 }
	err = on(ctx, d, func(b *bed) error {
		all, err := b.places(ctx, s.Shares, func(i int) tenant.Limits { return tenant.Limits{Running: 1000, Weight: weight(i)} })
		if err != nil {
			return err
		}
		round := 0
		for i, p := range all {
			// Half as much again as it will get, so that none runs out.
			if err := b.fill(ctx, s.Rounds*weight(i)*3/2, func(int) place { return p }); err != nil {
				return err
			}
			round += weight(i)
		}
		done := map[string]int{}
		total, enough := 0, make(chan struct{})
		var mu sync.Mutex
		runner := running(func(c execution.Claimed) {
			mu.Lock()
			defer mu.Unlock()
			if total == round*s.Rounds {
				return
			}
			done[c.Tenant]++
			if total++; total == round*s.Rounds {
				close(enough)
			}
		})
		err = b.work(ctx, runner, func(ctx context.Context, _ *worker.Worker) error {
			select {
			case <-enough:
			case <-ctx.Done():
			}
			return ctx.Err()
		})
		var sum, squares float64
		for i, p := range all {
			share := float64(done[p.tenant]) / float64(weight(i))
			sum, squares = sum+share, squares+share*share
		}
		figures = []Figure{{Name: "jain", Value: sum * sum / (float64(len(all)) * squares), Unit: "index", Goal: 0.99, Least: true}}
		return err
	})
	return figures, err
}

// claims measures claims when many tenants have a backlog: each is of as many tenants as
// there are slots.
func claims(ctx context.Context, d *database.Database, s Size) (figures []Figure, err error) {
	err = on(ctx, d, func(b *bed) error {
		all, err := b.places(ctx, s.Many, func(int) tenant.Limits { return tenant.Limits{Running: 16, Weight: 1} })
		if err != nil {
			return err
		}
		if err := b.fill(ctx, 2*s.Many, func(i int) place { return all[i%len(all)] }); err != nil {
			return err
		}
		began := time.Now()
		backlogs, err := b.store.Backlogs(ctx)
		if err != nil {
			return err
		}
		scan := time.Since(began)
		quotas := func(n int) (qs []execution.Quota) {
			for i := range slots {
				l := backlogs[(n*slots+i)%len(backlogs)]
				qs = append(qs, execution.Quota{Tenant: l.Tenant, N: 1, Running: l.Running})
			}
			return qs
		}
		took, err := b.claim(ctx, s.Claims, quotas)
		figures = []Figure{
			{Name: "claim_p99_ms_10k", Value: quantile(took, 0.99), Unit: "ms", Goal: 20},
			{Name: "claim_p50_ms_10k", Value: quantile(took, 0.5), Unit: "ms"},
			{Name: "scan_ms_10k", Value: float64(scan.Microseconds()) / 1000, Unit: "ms"},
		}
		return err
	})
	return figures, err
}

// capped measures claims of a tenant of which an installation is at its cap, with a long
// backlog that is older than what can run.
func capped(ctx context.Context, d *database.Database, s Size) (figures []Figure, err error) {
	err = on(ctx, d, func(b *bed) error {
		all, err := b.places(ctx, 1, func(int) tenant.Limits { return tenant.Limits{Running: 1000, Weight: 1} })
		if err != nil {
			return err
		}
		free := all[0]
		full := place{free.tenant, ident.New(ident.Installation, time.Now())}
		if err := b.install(ctx, full, 1); err != nil {
			return err
		}
		if err := b.fill(ctx, s.Capped, func(int) place { return full }); err != nil {
			return err
		}
		if err := b.fill(ctx, s.Claims*8, func(int) place { return free }); err != nil {
			return err
		}
		const worker = "wrk_holds"
		if _, err := b.store.Heartbeat(ctx, worker, time.Hour); err != nil {
			return err
		}
		quota := []execution.Quota{{Tenant: free.tenant, N: 1, Running: 1000}}
		if _, err := b.store.Claim(ctx, worker, quota, 0); err != nil { // The one that the cap lets run.
			return err
		}
		quota[0].N = 8
		took, err := b.claim(ctx, s.Claims-1, func(int) []execution.Quota { return quota })
		figures = []Figure{
			{Name: "claim_p99_ms_capped", Value: quantile(took, 0.99), Unit: "ms", Goal: 20},
			{Name: "claim_p50_ms_capped", Value: quantile(took, 0.5), Unit: "ms"},
		}
		return err
	})
	return figures, err
}

// claim makes n claims, completes what they bring, and returns how long each took, in
// milliseconds.
func (b *bed) claim(ctx context.Context, n int, quotas func(i int) []execution.Quota) ([]float64, error) {
	const worker = "wrk_claims"
	if _, err := b.store.Heartbeat(ctx, worker, time.Hour); err != nil {
		return nil, err
	}
	took := make([]float64, n)
	for i := range n {
		qs := quotas(i)
		began := time.Now()
		taken, err := b.store.Claim(ctx, worker, qs, 0)
		if err != nil {
			return nil, err
		}
		took[i] = float64(time.Since(began).Microseconds()) / 1000
		got := taken.Claimed
		err = together(len(got), func(i int) error {
			return b.store.Complete(ctx, execution.Completion{
				Tenant: got[i].Tenant, Execution: got[i].Execution, Claim: got[i].Claim, Outcome: execution.Succeeded, Counted: true,
			})
		})
		if err != nil {
			return nil, err
		}
	}
	return took, nil
}

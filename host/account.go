package host

import (
	"context"
	"slices"
	"sync"

	"github.com/cofferdam-run/cofferdam/host/audit"
	"github.com/cofferdam-run/cofferdam/host/connection"
	"github.com/cofferdam-run/cofferdam/host/worker"
)

// accountant keeps account of what runs open.
type accountant struct{ log *audit.Log }

var _ worker.Accounts = accountant{}

// account is what one run opens. That it opens a credential for a purpose is durable
// before it does so the first time, by an entry of its own or one that goes with the
// intent of what it does. That it does so again is counted, and how often is written
// once the run is over: a crash loses that number, and never the fact. The counts of a
// run's entries that say the same add up to how often it was done.
type account struct {
	log *audit.Log

	mu   sync.Mutex
	uses map[audit.Entry]*uses
	// order are the uses as they came.
	order []audit.Entry
}

// uses are openings that say the same.
type uses struct {
	// intent was written, or was to be, with what the run was about to do.
	intent *audit.Intent
	// opened is how often it was done, and told how often the log says so.
	opened, told int64
}

type accountKey struct{}

// Run implements worker.Accounts.
func (a accountant) Run(ctx context.Context) (run context.Context, end func()) {
	one := &account{log: a.log, uses: map[audit.Entry]*uses{}}
	return context.WithValue(ctx, accountKey{}, one), one.end
}

// Intent implements worker.Accounts.
func (accountant) Intent(ctx context.Context, tenant, id, host string) context.Context {
	a, ok := ctx.Value(accountKey{}).(*account)
	if !ok {
		return ctx
	}
	e := entryOf(connection.Opening(ctx, tenant, id, host))
	a.mu.Lock()
	defer a.mu.Unlock()
	u := a.of(e)
	if u.told > 0 {
		return ctx
	}
	ctx, u.intent = a.log.Intend(ctx, e)
	return ctx
}

// of is the line of an entry. Entries say no time, id or count before they are written.
func (a *account) of(e audit.Entry) *uses {
	u, ok := a.uses[e]
	if !ok {
		u = &uses{}
		a.uses[e], a.order = u, append(a.order, e)
	}
	u.settle()
	return u
}

// settle looks whether the intent has become durable since.
func (u *uses) settle() {
	if u.intent.Written() {
		u.intent = nil
		u.told++
	}
}

// use returns once it is durable that the run opens something for a purpose.
func (a *account) use(ctx context.Context, e audit.Entry) error {
	a.mu.Lock()
	u := a.of(e)
	if u.told > 0 {
		u.opened++
		a.mu.Unlock()
		return nil
	}
	a.mu.Unlock()
	if err := a.log.Use(ctx, e); err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	u.told++
	u.opened++
	return nil
}

// end has the rest written: what was done more often than is told, and what was told
// and not done after all.
func (a *account) end() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, e := range slices.Clip(a.order) {
		u := a.uses[e]
		u.settle()
		switch more := u.opened - u.told; {
		case more > 0:
			e.Count = more
			a.log.Later(e)
		case more < 0:
			e.Action, e.Count = "credential.unopened", -more
			a.log.Later(e)
		}
	}
}

package tenant

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/ident"
)

// Config configures Tenants.
type Config struct {
	Store Store
	Now   func() time.Time
	// Release queues what waited because a tenant was paused.
	Release func(ctx context.Context, tenant string) error
	// Grace is how long after it was asked for a tenant is deleted, unless whoever asks
	// says so. Negative is none. Defaults to 7 days.
	Grace time.Duration
	// Leave does what is to be done while the key of a tenant is there still that is deleted
	// at once. It is waited for, and stops nothing. Defaults to nothing.
	Leave func(ctx context.Context, tenant string)
	// Deleted is told of a tenant whose deletion was asked for. Defaults to nobody.
	Deleted func(tenant string)
}

// Tenants are the customers of a host.
type Tenants struct{ c Config }

// New returns Tenants.
func New(c Config) *Tenants {
	if c.Grace == 0 {
		c.Grace = defaultGrace
	}
	c.Grace = max(c.Grace, 0)
	return &Tenants{c: c}
}

const (
	defaultRunning = 16
	defaultWeight  = 1
	// maxRunning is more than one process runs at once many times over.
	maxRunning = 10_000
	// maxWeight against the default of 1 leaves the others a hundredth.
	maxWeight = 100
	// maxRate is more than a database commits a second, and maxQueued more than it should hold.
	maxRate   = 1_000_000
	maxQueued = 100_000_000
	maxTitle  = 200
	// maxDays is ten years, and minBytes what one execution may have.
	maxDays  = 3650
	minBytes = 1 << 20
	// maxBytes is a pebibyte: a slip of the finger has more zeros.
	maxBytes = 1 << 50
	// maxPage is how many tenants a List returns.
	maxPage = 200
)

var tenantName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)

// Create adds a tenant; zero limits become the defaults.
func (t *Tenants) Create(ctx context.Context, name, title string, l Limits) (Tenant, error) {
	if !tenantName.MatchString(name) {
		return Tenant{}, fault.New(fault.InvalidInput, "name_invalid", "the name must be 1 to 63 of a-z, 0-9 and -, and not begin with -").At("/name")
	}
	if len(title) > maxTitle || !utf8.ValidString(title) || strings.ContainsFunc(title, unicode.IsControl) {
		return Tenant{}, fault.New(fault.InvalidInput, "title_invalid", "the title must be one line of text of at most %d bytes", maxTitle).At("/title")
	}
	l, err := l.or(Limits{Running: defaultRunning, Weight: defaultWeight})
	if err != nil {
		return Tenant{}, err
	}
	now := t.c.Now()
	created := Tenant{ID: ident.New(ident.Tenant, now), Name: name, Title: title, Limits: l, State: Active, CreatedAt: now}
	if err := t.c.Store.InsertTenant(ctx, created); err != nil {
		return Tenant{}, fmt.Errorf("insert tenant: %w", err)
	}
	return created, nil
}

// Get finds a tenant by id or name.
func (t *Tenants) Get(ctx context.Context, idOrName string) (Tenant, error) {
	found, err := t.c.Store.Tenant(ctx, idOrName)
	if err != nil {
		return Tenant{}, fmt.Errorf("find tenant: %w", err)
	}
	return found, nil
}

// List lists up to limit tenants after an id; a limit of 0, or above 200, is 200.
func (t *Tenants) List(ctx context.Context, after string, limit int) ([]Tenant, error) {
	if limit <= 0 || limit > maxPage {
		limit = maxPage
	}
	found, err := t.c.Store.Tenants(ctx, after, limit)
	if err != nil {
		return nil, fmt.Errorf("list tenants: %w", err)
	}
	return found, nil
}

// Change is what Update changes; what is nil stays.
type Change struct {
	// Limits that are zero stay too.
	Limits *Limits
	// Rate, Burst and Queued are those of Limits; a zero is no limit, or its default.
	Rate, Burst, Queued *int
	// Days and Bytes are those of Retention; a zero is the host's default again.
	Days  *int
	Bytes *int64
}

// Update changes a tenant's limits and how long it keeps things, all or nothing.
func (t *Tenants) Update(ctx context.Context, idOrName string, c Change) (Tenant, error) {
	return t.update(ctx, idOrName, func(found *Tenant) error {
		if c.Limits != nil {
			changed, err := c.Limits.or(found.Limits)
			if err != nil {
				return err
			}
			found.Limits = changed
		}
		if err := c.intake(&found.Limits); err != nil {
			return err
		}
		if c.Days != nil {
			found.Retention.Days = *c.Days
		}
		if c.Bytes != nil {
			found.Retention.Bytes = *c.Bytes
		}
		return found.Retention.Check()
	})
}

// intake changes what bounds the webhooks of a tenant.
func (c Change) intake(l *Limits) error {
	for _, f := range []struct{ from, to *int }{{c.Rate, &l.Rate}, {c.Burst, &l.Burst}, {c.Queued, &l.Queued}} {
		if f.from != nil {
			*f.to = *f.from
		}
	}
	return l.check()
}

// Pause keeps a tenant's events without running them, until Resume.
func (t *Tenants) Pause(ctx context.Context, idOrName string) (Tenant, error) {
	return t.update(ctx, idOrName, func(found *Tenant) error {
		found.State = Paused
		return nil
	})
}

// Resume runs what has gathered. If that fails, it can be called again.
func (t *Tenants) Resume(ctx context.Context, idOrName string) (Tenant, error) {
	resumed, err := t.update(ctx, idOrName, func(found *Tenant) error {
		if !found.DeleteAt.IsZero() {
			return Leaving(*found)
		}
		found.State = Active
		return nil
	})
	if err != nil {
		return Tenant{}, err
	}
	// After the state, so that nothing is queued only to be found paused.
	if err := t.c.Release(ctx, resumed.ID); err != nil {
		return Tenant{}, fmt.Errorf("release executions: %w", err)
	}
	return resumed, nil
}

// updateTries is how often a change is made anew that another one came before.
const updateTries = 3

func (t *Tenants) update(ctx context.Context, idOrName string, change func(*Tenant) error) (Tenant, error) {
	var found Tenant
	var err error
	for range updateTries {
		found, err = t.updateOnce(ctx, idOrName, change)
		if !isChanged(err) {
			break
		}
	}
	return found, err
}

func (t *Tenants) updateOnce(ctx context.Context, idOrName string, change func(*Tenant) error) (Tenant, error) {
	found, err := t.Get(ctx, idOrName)
	if err != nil {
		return Tenant{}, err
	}
	if found.State == Deleting {
		return Tenant{}, BeingDeleted(found)
	}
	before := found
	if err := change(&found); err != nil {
		return Tenant{}, err
	}
	if found == before {
		return found, nil
	}
	if err := t.c.Store.UpdateTenant(ctx, found, before); err != nil {
		return Tenant{}, fmt.Errorf("update tenant: %w", err)
	}
	return found, nil
}

// BeingDeleted is the fault of what cannot be done to a tenant any more.
func BeingDeleted(t Tenant) *fault.Error {
	return fault.New(fault.Conflict, CodeDeleting, "the tenant %q is being deleted", t.Name).
		WithHint("its name can be used again when that is done")
}

// Check returns a fault that names what is out of bounds. A zero never is.
func (r Retention) Check() error {
	e := fault.New(fault.InvalidInput, "retention_invalid", "how long to keep things is out of bounds").At("/retention")
	if r.Days < 0 || r.Days > maxDays {
		e.Problems = append(e.Problems, fault.Problem{Where: "/retention/days", Message: fmt.Sprintf("%d must be from 1 to %d, or 0 for the host's default", r.Days, maxDays)})
	}
	if r.Bytes != 0 && (r.Bytes < minBytes || r.Bytes > maxBytes) {
		e.Problems = append(e.Problems, fault.Problem{Where: "/retention/bytes", Message: fmt.Sprintf("%d must be from %d (1 MiB) to %d (1 PiB), or 0 for the host's default", r.Bytes, minBytes, int64(maxBytes))})
	}
	if len(e.Problems) > 0 {
		return e
	}
	return nil
}

// or takes what is zero from other, and checks the bounds.
func (l Limits) or(other Limits) (Limits, error) {
	if l.Running == 0 {
		l.Running = other.Running
	}
	if l.Weight == 0 {
		l.Weight = other.Weight
	}
	for _, f := range []struct {
		to   *int
		from int
	}{{&l.Rate, other.Rate}, {&l.Burst, other.Burst}, {&l.Queued, other.Queued}} {
		if *f.to == 0 {
			*f.to = f.from
		}
	}
	return l, l.check()
}

// check names what is out of bounds.
func (l Limits) check() error {
	e := fault.New(fault.InvalidInput, "limits_invalid", "a limit is out of bounds").At("/limits")
	for _, b := range []struct {
		name            string
		is, least, most int
	}{
		{"running", l.Running, 1, maxRunning},
		{"weight", l.Weight, 1, maxWeight},
		{"rate", l.Rate, 0, maxRate},
		{"burst", l.Burst, 0, maxRate},
		{"queued", l.Queued, 0, maxQueued},
	} {
		if b.is < b.least || b.is > b.most {
			e.Problems = append(e.Problems, fault.Problem{Where: "/limits/" + b.name, Message: fmt.Sprintf("%d must be from %d to %d", b.is, b.least, b.most)})
		}
	}
	if len(e.Problems) > 0 {
		return e
	}
	return nil
}

package authorization

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/singleflight"

	"github.com/cofferdam-run/cofferdam/host/oauth"
	"github.com/cofferdam-run/cofferdam/host/vault"
)

// Config configures Authorizations.
type Config struct {
	Store  Store
	Source Source
	Client *oauth.Client
	Vault  *vault.Vault
	// Lookup makes the provider's Lookups after a refresh. Defaults to none.
	Lookup Lookup
	// Broken is told of an authorization that has broken: once, by whoever made it so. If
	// it returns an error, or the process dies, it is told again. Defaults to nobody.
	Broken func(ctx context.Context, a Authorization) error
	// Mended is told in the same way of one that had broken, and works again.
	Mended func(ctx context.Context, a Authorization) error
	// Ending is told in the same way of one that is going to end at its EndsAt, some days
	// before: a quarter of its life, and seven days at most. Of one that lives for less than
	// a day nobody is.
	Ending func(ctx context.Context, a Authorization) error
	// Owner names these Authorizations among all those that share the store: no two may
	// have the same.
	Owner string
	// Lease is for how long nobody else refreshes an authorization whose process died.
	// Defaults to 30 s.
	Lease time.Duration
	// Timeout of one request for tokens. It is at most half of Lease, which it defaults to.
	Timeout time.Duration
	// Fresh is for how long a token in memory is used without a look at the version that
	// is stored: how long one of a deleted connection is used at most. Defaults to 5 s.
	Fresh time.Duration
	// Warm is how many tokens are held in memory. Defaults to 16384, of about 2 KiB each.
	Warm int
	// PerProvider is how many refreshes of one provider this process makes at a time
	// before anybody waits for them; four times as many if somebody does. Defaults to 4.
	PerProvider int
	// AtOnce is how many of those before anybody waits it makes at a time in all.
	// Defaults to 32.
	AtOnce int
	// Registerer takes the metrics. Defaults to nobody.
	Registerer prometheus.Registerer
	// Logger defaults to slog.Default.
	Logger *slog.Logger
	// Now is the clock, and After what is waited on.
	Now   func() time.Time
	After func(d time.Duration) <-chan time.Time
}

// Authorizations keeps tokens fresh. It is safe for concurrent use.
type Authorizations struct {
	c       Config
	warm    *warm
	flights singleflight.Group
	lanes   *lanes
	pauses  *pauses
	crew    crew
	sweep   *sweep
	metrics *metrics
	// reach is told which step of the protocol was reached.
	reach func(s step)
}

// New returns Authorizations. It asks nobody anything yet.
func New(c Config) (*Authorizations, error) {
	if c.Store == nil || c.Source == nil || c.Client == nil || c.Vault == nil || c.Owner == "" || c.Now == nil || c.After == nil {
		return nil, errors.New("configure authorizations: Store, Source, Client, Vault, Owner, Now and After must be set")
	}
	if c.Broken == nil {
		c.Broken = func(context.Context, Authorization) error { return nil }
	}
	if c.Mended == nil {
		c.Mended = func(context.Context, Authorization) error { return nil }
	}
	if c.Ending == nil {
		c.Ending = func(context.Context, Authorization) error { return nil }
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	c.Lease, c.Fresh = positive(c.Lease, 30*time.Second), positive(c.Fresh, 5*time.Second)
	c.Timeout = min(positive(c.Timeout, c.Lease/2), c.Lease/2)
	c.Warm, c.PerProvider, c.AtOnce = positive(c.Warm, 16384), positive(c.PerProvider, 4), positive(c.AtOnce, 32)
	w, err := newWarm(c.Warm)
	if err != nil {
		return nil, err
	}
	p, err := newPauses(c.Now)
	if err != nil {
		return nil, err
	}
	m, err := newMetrics(c.Registerer)
	if err != nil {
		return nil, err
	}
	return &Authorizations{
		c: c, warm: w, pauses: p, metrics: m, reach: func(step) {},
		lanes: newLanes(waitedFor*c.PerProvider, m.waiting), sweep: newSweep(c.PerProvider, c.AtOnce),
	}, nil
}

// waitedFor is by how much more refreshes there may be at a time if somebody waits.
const waitedFor = 4

func positive[N int | time.Duration](n, usual N) N {
	if n <= 0 {
		return usual
	}
	return n
}

// step is one of the protocol, after which a process may die.
type step string

// The steps.
const (
	// claimed: the lease and the intent are committed.
	claimed step = "claimed"
	// asking: the request is about to be made.
	asking step = "asking"
	// answered: the answer has come. From here to stored is the window in which a crash
	// loses it.
	answered step = "answered"
	// sealed: what is to be stored is sealed.
	sealed step = "sealed"
	// stored: it is committed.
	stored step = "stored"
)

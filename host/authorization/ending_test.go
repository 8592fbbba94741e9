package authorization_test

import (
	"errors"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/host/authorization"
	"github.com/cofferdam-run/cofferdam/host/authorization/authorizationtest"
	"github.com/cofferdam-run/cofferdam/host/store"
)

const day = 24 * time.Hour

func TestWhoseAgreementEndsIsToldBefore(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		rules authorizationtest.Rules
		// alone has nothing to refresh it with, and lives as long as this.
		alone time.Duration
		// used is used each day; down is from when on the server is.
		used bool
		down time.Duration
		// told is after how long somebody is told, and zero for never in 45 days.
		told, ends time.Duration
	}{
		"a refresh token that does not live longer": {
			rules: authorizationtest.Rules{Fixed: true, RefreshLife: 30 * day, FromConsent: true}, used: true, told: 23 * day, ends: 30 * day,
		},
		"the same, and nobody uses it": {
			rules: authorizationtest.Rules{Fixed: true, RefreshLife: 30 * day, FromConsent: true}, told: 23 * day, ends: 30 * day,
		},
		"one that rotates until the consent ends": {
			rules: authorizationtest.Rules{RefreshLife: 8 * day, FromConsent: true}, used: true, told: 6 * day, ends: 8 * day,
		},
		"one that its provider's rules end": {
			rules: authorizationtest.Rules{Fixed: true, LifeDays: 40}, used: true, told: 33 * day, ends: 40 * day,
		},
		"a token that nothing refreshes": {alone: 20 * day, told: 15 * day, ends: 20 * day},
		"one that lives for hours":       {alone: 8 * time.Hour},
		"one that each use makes live longer": {
			rules: authorizationtest.Rules{RefreshLife: 10 * day}, used: true,
		},
		"the same, kept alive":       {rules: authorizationtest.Rules{RefreshLife: 10 * day}},
		"one that idles, kept alive": {rules: authorizationtest.Rules{IdleDays: 12}},
		"one of rules that end each, kept alive": {
			rules: authorizationtest.Rules{LifeDays: 12},
		},
		"one whose server is away for so long": {
			rules: authorizationtest.Rules{IdleDays: 12}, down: time.Minute, told: 9 * day, ends: 12 * day,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			databases(t, func(t *testing.T, open func(now func() time.Time) store.Store) {
				c := newClock()
				b := over(t, open(c.Now), c, test.rules)
				began := c.Now()
				token := b.server.Connect()
				if test.alone > 0 {
					token.Refresh, token.ExpiresAt = "", began.Add(test.alone)
				}
				b.put(t, token)
				if test.down > 0 {
					b.server.Fail(down(100_000)...)
				}
				var told time.Duration
				for n := range 45 * 4 {
					c.advance(6 * time.Hour)
					b.Sweep(t.Context())
					if test.used && n%4 == 0 {
						if access, err := b.Token(t.Context(), b.tenant, "con_1"); err == nil {
							_ = b.Worked(t.Context(), b.tenant, "con_1", access.ID) // It is noted, or is the next time.
						}
					}
					if len(b.told.ending) > 0 && told == 0 {
						told = c.Now().Sub(began)
					}
					if told > 0 && c.Now().Sub(began) > test.ends-6*time.Hour {
						break
					}
				}
				if told < test.told || told > test.told+12*time.Hour {
					t.Errorf("somebody was told after %s, want %s", told, test.told)
				}
				if n := len(b.told.ending); test.told > 0 && n != 1 {
					t.Fatalf("it was told %d times", n)
				}
				if test.told > 0 {
					a := b.told.ending[0]
					if diff := a.EndsAt.Sub(began.Add(test.ends)).Abs(); diff > time.Hour || a.State == authorization.Broken {
						t.Errorf("it is said to end at %s, as %s", a.EndsAt, a.State)
					}
				}
			})
		})
	}
}

func TestAnEndIsToldUntilItIsHeardAndAgainOfTheNext(t *testing.T) {
	t.Parallel()
	b := setup(t, authorizationtest.Rules{Fixed: true, RefreshLife: 8 * day, FromConsent: true})
	b.put(t, b.server.Connect())
	b.told.fail = []error{errors.New("nobody listens")}
	b.clock.advance(7 * day)
	for range 5 {
		b.clock.advance(time.Minute)
		b.Sweep(t.Context())
	}
	if n := len(b.told.ending); n != 2 {
		t.Errorf("it was told %d times, want once in vain and then once", n)
	}
	if got := b.server.Counts().Refreshes; got > 2 {
		t.Errorf("it was refreshed %d times to be told of", got)
	}
	b.put(t, b.server.Connect()) // Its user has agreed once more.
	b.Sweep(t.Context())
	if n := len(b.told.ending); n != 2 {
		t.Errorf("it was told %d times", n)
	}
	b.clock.advance(7 * day)
	b.Sweep(t.Context())
	if n := len(b.told.ending); n != 3 {
		t.Errorf("it was told %d times", n)
	}
}

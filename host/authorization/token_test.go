package authorization_test

import (
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/host/authorization/authorizationtest"
)

func TestAWarmTokenAsksNobody(t *testing.T) {
	t.Parallel()
	b := setup(t, authorizationtest.Rules{})
	token := b.connect(t, "con_1")
	for range 3 {
		if got := b.token(t, "con_1"); got.Token != token.Access {
			t.Errorf("got %s", got.Token)
		}
	}
	b.clock.advance(59*time.Minute + 55*time.Second)
	if got := b.token(t, "con_1"); got.Token == token.Access {
		t.Error("it has ended")
	}
	if got := b.server.Counts(); got.Refreshes != 1 || got.Reused != 0 {
		t.Errorf("got %+v", got)
	}
}

func TestATokenThatTheAPIHasTakenIsNotKeptAgainstIt(t *testing.T) {
	t.Parallel()
	b := setup(t, authorizationtest.Rules{})
	b.connect(t, "con_1")
	refused := func(want bool, when string) {
		t.Helper()
		token := b.token(t, "con_1")
		if renewed, err := b.Refused(t.Context(), b.tenant, "con_1", token.ID); err != nil || renewed != want {
			t.Errorf("%s: renewed: %t, %v, want %t", when, renewed, err, want)
		}
	}
	worked := func() {
		t.Helper()
		if err := b.Worked(t.Context(), b.tenant, "con_1", b.token(t, "con_1").ID); err != nil {
			t.Fatal(err)
		}
	}
	refused(false, "one that just came, and never worked")
	worked()
	refused(true, "one that just came, and has worked")
	worked()
	refused(false, "the one that was got because of it, at once")
	b.clock.advance(10 * time.Second)
	refused(true, "the same, a while later")
	if got := b.server.Counts(); got.Refreshes != 2 {
		t.Errorf("got %+v", got)
	}
}

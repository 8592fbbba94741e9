package authorization_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/host/authorization"
	"github.com/cofferdam-run/cofferdam/host/authorization/authorizationtest"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/ident"
	"github.com/cofferdam-run/cofferdam/host/oauth"
	"github.com/cofferdam-run/cofferdam/host/vault"
)

func TestRefreshesAreSpreadBeforeAnybodyWaits(t *testing.T) {
	t.Parallel()
	b := setup(t, authorizationtest.Rules{})
	const n = 50
	due := map[time.Time]bool{}
	for i := range n {
		connection := fmt.Sprintf("con_%02d", i)
		b.connect(t, connection)
		a := b.state(t, connection, authorization.Active)
		if early := a.ExpiresAt.Sub(a.DueAt); early < 5*time.Minute || early > 17*time.Minute {
			t.Errorf("it is due %s before its end", early)
		}
		due[a.DueAt] = true
	}
	if len(due) < n-2 {
		t.Errorf("%d of %d are due at different times", len(due), n)
	}
	b.Sweep(t.Context())
	b.wantCounts(t, 0, 0, 0)
	b.clock.advance(55 * time.Minute)
	b.Sweep(t.Context())
	b.wantCounts(t, n, 0, 0)
	b.Sweep(t.Context())
	for i := range n {
		b.token(t, fmt.Sprintf("con_%02d", i))
	}
	b.wantCounts(t, n, 0, 0)
	if got := b.metric(t, "cofferdam_oauth_lost_window_seconds"); got != n {
		t.Errorf("the window was measured %v times", got)
	}
}

func TestATokenThatIsAboutToEndIsUsedWhileItIsRefreshed(t *testing.T) {
	t.Parallel()
	b := setup(t, authorizationtest.Rules{}, inReal)
	token := b.connect(t, "con_1")
	b.clock.advance(56 * time.Minute)
	held := authorizationtest.Fault{Arrived: make(chan struct{}), Go: make(chan struct{})}
	b.server.Fail(held)
	for range 10 {
		if got := b.token(t, "con_1"); got.Token != token.Access {
			t.Errorf("got %s", got.Token)
		}
	}
	<-held.Arrived
	close(held.Go)
	b.clock.advance(4 * time.Minute) // Now it has ended.
	if got := b.token(t, "con_1"); got.Token == token.Access {
		t.Error("it has ended")
	}
	b.wantCounts(t, 1, 0, 0)
}

func TestWhatNobodyUsesIsKeptAlive(t *testing.T) {
	t.Parallel()
	b := setup(t, authorizationtest.Rules{IdleDays: 60})
	b.connect(t, "con_1")
	first := b.token(t, "con_1")
	if err := b.Worked(t.Context(), b.tenant, "con_1", first.ID); err != nil {
		t.Fatal(err)
	}
	if got := b.state(t, "con_1", authorization.Active); got.WorkedAt.IsZero() {
		t.Error("nobody knows that it has worked")
	}
	for range 300 { // Each day for 300 days.
		b.clock.advance(24 * time.Hour)
		b.Sweep(t.Context())
	}
	// Daily for the first week, in which it counts as used; from then on as often as it
	// has to be.
	if got := b.server.Counts().Refreshes; got < 12 || got > 18 {
		t.Errorf("it was refreshed %d times", got)
	}
	b.token(t, "con_1")
}

func TestARefusedTokenIsRefreshedOnce(t *testing.T) {
	t.Parallel()
	b := setup(t, authorizationtest.Rules{Unlimited: true})
	b.connect(t, "con_1")
	first := b.token(t, "con_1")
	refused := func(id string, want bool) {
		t.Helper()
		if got, err := b.Refused(t.Context(), b.tenant, "con_1", id); err != nil || got != want {
			t.Errorf("got %t, %v, want %t", got, err, want)
		}
	}
	refused(first.ID, false) // It came just now.
	b.clock.advance(time.Hour)
	refused(first.ID, true)
	second := b.token(t, "con_1")
	b.wantCounts(t, 1, 0, 0)
	refused(first.ID, true) // There is a newer one.
	b.clock.advance(time.Minute)
	refused(second.ID, false) // The API does not like that one either.
	b.wantCounts(t, 1, 0, 0)
	if err := b.Worked(t.Context(), b.tenant, "con_1", second.ID); err != nil {
		t.Fatal(err)
	}
	refused(second.ID, true)
	b.wantCounts(t, 2, 0, 0)
	// Another process has a newer one than this.
	third := b.token(t, "con_1")
	other := b.another(t)
	b.clock.advance(time.Hour)
	if got, err := other.Refused(t.Context(), b.tenant, "con_1", third.ID); err != nil || got {
		if !got {
			t.Errorf("got %t, %v", got, err)
		}
	}
	refused(third.ID, true)
	b.wantCounts(t, 3, 0, 0)
}

func TestWhatCannotBeRefreshedEnds(t *testing.T) {
	t.Parallel()
	b := setup(t, authorizationtest.Rules{})
	for connection, lifetime := range map[string]time.Duration{"con_limited": time.Hour, "con_unlimited": 0} {
		token := b.server.Connect()
		token.Refresh, token.ExpiresAt = "", time.Time{}
		if lifetime > 0 {
			token.ExpiresAt = token.ObtainedAt.Add(lifetime)
		}
		if _, err := b.Put(t.Context(), authorization.Obtained{Tenant: b.tenant, Connection: connection, App: authorizationtest.App, Provider: "test", Token: token}); err != nil {
			t.Fatal(err)
		}
	}
	b.clock.advance(time.Hour)
	b.Sweep(t.Context())
	b.state(t, "con_limited", authorization.Broken)
	access, err := b.Token(t.Context(), b.tenant, "con_unlimited")
	if err != nil {
		t.Fatal(err)
	}
	for n := range 3 { // One refusal may be of a request that was not its to make.
		b.state(t, "con_unlimited", authorization.Active)
		if got, _ := b.Refused(t.Context(), b.tenant, "con_unlimited", access.ID); got {
			t.Errorf("refusal %d brought another token", n+1)
		}
	}
	if got := b.state(t, "con_unlimited", authorization.Broken); got.Reason() != authorization.Ended {
		t.Errorf("the reason is %q", got.Reason())
	}
}

func TestMachinesGetANewToken(t *testing.T) {
	t.Parallel()
	b := setup(t, authorizationtest.Rules{})
	o := authorization.Obtained{
		Tenant: b.tenant, Connection: "con_1", App: authorizationtest.App, Provider: "test", Grant: authorization.ClientCredentials,
	}
	b.server.Fail(authorizationtest.Fault{Error: "invalid_scope"})
	_, err := b.Put(t.Context(), o)
	wantFault(t, err, fault.InvalidInput)
	if _, err := b.Get(t.Context(), b.tenant, "con_1"); err == nil {
		t.Error("what got no token is kept")
	}
	if _, err := b.Put(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	first := b.token(t, "con_1")
	b.clock.advance(time.Hour)
	b.server.Fail(authorizationtest.Fault{Lost: true}) // Which costs nothing.
	if b.token(t, "con_1").Token == first.Token {
		t.Error("it is the same")
	}
}

func TestAnEndThatNobodySaysIsAskedFor(t *testing.T) {
	t.Parallel()
	b := setup(t, authorizationtest.Rules{Introspects: true})
	token := b.server.Connect()
	token.ExpiresAt = time.Time{}
	got, err := b.Put(t.Context(), authorization.Obtained{Tenant: b.tenant, Connection: "con_1", App: authorizationtest.App, Provider: "test", Token: token})
	if err != nil || !got.ExpiresAt.Equal(b.clock.Now().Add(time.Hour)) {
		t.Errorf("it ends at %s, %v", got.ExpiresAt, err)
	}
}

func TestThePreviousTokenIsTakenBack(t *testing.T) {
	t.Parallel()
	b := setup(t, authorizationtest.Rules{Grace: time.Hour})
	b.connect(t, "con_1")
	b.clock.advance(time.Hour)
	second := b.token(t, "con_1")
	b.clock.advance(time.Minute)
	// The server has forgotten what it answered.
	b.server.Fail(authorizationtest.Fault{Error: oauth.CodeInvalidGrant})
	if got, err := b.Refused(t.Context(), b.tenant, "con_1", second.ID); err != nil || !got {
		t.Fatalf("got %t, %v", got, err)
	}
	b.token(t, "con_1")
	if got := b.metric(t, "cofferdam_oauth_refreshes_total", "outcome", "previous"); got != 1 {
		t.Errorf("%v are counted", got)
	}
}

func TestRevocationsAreTriedForADay(t *testing.T) {
	t.Parallel()
	b := setup(t, authorizationtest.Rules{})
	revoke := func(connection string) oauth.Token {
		token := b.connect(t, connection)
		if err := b.Revoke(t.Context(), b.tenant, connection); err != nil {
			t.Fatal(err)
		}
		return token
	}
	down := make([]authorizationtest.Fault, 100)
	for i := range down {
		down[i].Status = http.StatusServiceUnavailable
	}
	first := revoke("con_1")
	b.server.Fail(down[:3]...)
	for range 6 {
		b.Sweep(t.Context())
		b.clock.advance(10 * time.Minute)
	}
	if b.server.Alive(first.Refresh) {
		t.Error("it was not revoked")
	}
	second := revoke("con_2")
	b.server.Fail(down...)
	for range 30 {
		b.Sweep(t.Context())
		b.clock.advance(time.Hour)
	}
	all, err := b.List(t.Context(), b.tenant)
	if err != nil || len(all) != 0 || !b.server.Alive(second.Refresh) {
		t.Errorf("after a day there is %+v, %v", all, err)
	}
	if err := b.Revoke(t.Context(), b.tenant, "con_none"); err != nil {
		t.Error(err)
	}
}

func TestABreakIsToldUntilItIsHeard(t *testing.T) {
	t.Parallel()
	b := setup(t, authorizationtest.Rules{})
	token := b.connect(t, "con_1")
	b.server.End(token.Refresh)
	b.clock.advance(time.Hour)
	b.told.fail = []error{errors.New("nobody listens")}
	_, err := b.Token(t.Context(), b.tenant, "con_1")
	wantFault(t, err, fault.Auth)
	for range 5 {
		b.clock.advance(time.Minute)
		b.Sweep(t.Context())
	}
	b.told.mu.Lock()
	b.told.fail = []error{errors.New("nobody listens")}
	b.told.mu.Unlock()
	b.connect(t, "con_1")
	for range 5 {
		b.clock.advance(time.Minute)
		b.Sweep(t.Context())
	}
	if broken, mended := b.told.counts(); broken != 2 || mended != 2 {
		t.Errorf("it was told %d and %d times, want each in vain and then once", broken, mended)
	}
	b.token(t, "con_1")
}

func TestAKeyIsRotatedDuringARefresh(t *testing.T) {
	t.Parallel()
	b := setup(t, authorizationtest.Rules{}, inReal)
	b.connect(t, "con_1")
	b.clock.advance(time.Hour)
	held := authorizationtest.Fault{Arrived: make(chan struct{}), Answering: make(chan struct{})}
	b.server.Fail(held)
	got := make(chan error)
	go func() {
		_, err := b.Token(t.Context(), b.tenant, "con_1")
		got <- err
	}()
	<-held.Arrived
	ctx, place := t.Context(), vault.Place{Table: "authorizations", Name: "tokens"}
	if err := b.vault.Rotate(ctx, b.tenant, ident.New(ident.Job, b.clock.Now())); err != nil {
		t.Fatal(err)
	}
	was, err := b.store.StaleRecords(ctx, b.tenant, place, []byte("no head"), "", 9)
	if err != nil || len(was) != 1 {
		t.Fatalf("got %d, %v", len(was), err)
	}
	now, err := b.vault.Reseal(ctx, place, was)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := b.store.ResealRecords(ctx, was, now); err != nil || n != 1 {
		t.Fatalf("got %d, %v", n, err)
	}
	close(held.Answering)
	if err := <-got; err != nil {
		t.Fatal(err)
	}
	if err := b.vault.Retire(ctx, b.tenant); err != nil {
		t.Fatal(err)
	}
	b.Forget(b.tenant)
	b.token(t, "con_1")
	b.wantCounts(t, 1, 0, 0)
}

func TestAConnectionThatIsDeletedElsewhereStops(t *testing.T) {
	t.Parallel()
	b := setup(t, authorizationtest.Rules{})
	b.connect(t, "con_1")
	other := b.another(t)
	if _, err := other.Token(t.Context(), b.tenant, "con_1"); err != nil {
		t.Fatal(err)
	}
	if err := b.Revoke(t.Context(), b.tenant, "con_1"); err != nil {
		t.Fatal(err)
	}
	b.clock.advance(5 * time.Second)
	_, err := other.Token(t.Context(), b.tenant, "con_1")
	if f := wantFault(t, err, fault.InvalidInput); f.Code != fault.CodeNotFound {
		t.Errorf("got %v", f)
	}
	if _, err := b.Token(t.Context(), "ten_other", "con_1"); err == nil {
		t.Error("another tenant has the token")
	}
}

func TestATokenIsNotWrittenDown(t *testing.T) {
	t.Parallel()
	b := setup(t, authorizationtest.Rules{})
	b.connect(t, "con_1")
	access := b.token(t, "con_1")
	doc, err := json.Marshal(access)
	if err != nil {
		t.Fatal(err)
	}
	row, err := b.store.Authorization(t.Context(), b.tenant, "con_1")
	if err != nil {
		t.Fatal(err)
	}
	shown, err := b.Get(t.Context(), b.tenant, "con_1")
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{fmt.Sprintf("%v %+v %#v %s", access, access, access, access), string(doc), fmt.Sprintf("%+v %s", row, row.Sealed), fmt.Sprintf("%+v", shown)} {
		if strings.Contains(text, access.Token) || strings.Contains(text, "refresh-token") {
			t.Errorf("it is in %.200s", text)
		}
	}
}

func TestBadConsentsAreRefused(t *testing.T) {
	t.Parallel()
	b := setup(t, authorizationtest.Rules{})
	for where, change := range map[string]func(o *authorization.Obtained){
		"/tenant":     func(o *authorization.Obtained) { o.Tenant = "" },
		"/connection": func(o *authorization.Obtained) { o.Connection = "" },
		"/app":        func(o *authorization.Obtained) { o.App = "" },
		"/provider":   func(o *authorization.Obtained) { o.Provider = "" },
		"/grant":      func(o *authorization.Obtained) { o.Grant = "password" },
		"/token":      func(o *authorization.Obtained) { o.Token.Access = "" },
	} {
		o := authorization.Obtained{Tenant: b.tenant, Connection: "con_1", App: authorizationtest.App, Provider: "test", Token: b.server.Connect()}
		change(&o)
		_, err := b.Put(t.Context(), o)
		if f := wantFault(t, err, fault.InvalidInput); f.Where != where {
			t.Errorf("got %q, want %s", f.Where, where)
		}
	}
	if _, err := authorization.New(authorization.Config{}); err == nil {
		t.Error("nothing is configured")
	}
}

func TestRunEndsOnceNothingIsUnderWay(t *testing.T) {
	t.Parallel()
	b := setup(t, authorizationtest.Rules{}, inReal)
	b.connect(t, "con_1")
	b.clock.advance(time.Hour)
	held := authorizationtest.Fault{Arrived: make(chan struct{}), Answering: make(chan struct{})}
	b.server.Fail(held)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		b.Run(ctx)
	}()
	<-held.Arrived
	stop()
	select {
	case <-ended:
		t.Error("it left a refresh behind")
	default:
	}
	close(held.Answering)
	<-ended
	b.token(t, "con_1")
	b.wantCounts(t, 1, 0, 0)
}

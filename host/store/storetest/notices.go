package storetest

import (
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/ident"
	"github.com/cofferdam-run/cofferdam/host/notice"
)

func testNotices(t *testing.T, open Open) {
	each(t, open, map[string]func(*testing.T, *bundle){
		"of one subject":    noticesOfOneSubject,
		"told to operators": noticesTold,
		"listed":            noticesListed,
	})
}

// broke is a notice that a connection broke.
func (b *bundle) broke(p place, subject string) notice.Notice {
	now := b.clock.now()
	return notice.Notice{
		ID: ident.New(ident.Notice, now), Tenant: p.tenant, Kind: notice.ConnectionBroken, Subject: subject, Connection: "con_1", Name: "hubspot",
		Provider: "hubspot", Error: fault.New(fault.Auth, "auth", "the user took it back").WithHint("Reconnect."), At: now, CreatedAt: now,
	}
}

func noticesOfOneSubject(t *testing.T, b *bundle) {
	ctx := t.Context()
	first := b.broke(b.acme, "con_1 broken")
	for n, want := range []bool{true, false, true, true} {
		next := b.broke(b.acme, "con_1 broken")
		switch n {
		case 0:
			next = first
		case 2:
			next.Subject = "con_1 mended"
		case 3:
			next.Tenant = b.other.tenant
		}
		got, err := b.InsertNotice(ctx, next)
		must(t, err)
		equal(t, want, got)
	}
	all, err := b.Notices(ctx, b.other.tenant, "", 10)
	must(t, err)
	equal(t, 1, len(all))
	gone := first
	gone.Tenant = "ten_gone"
	got, err := b.InsertNotice(ctx, gone)
	must(t, err)
	equal(t, false, got)
}

func noticesTold(t *testing.T, b *bundle) {
	ctx := t.Context()
	old := b.broke(b.acme, "old")
	must2(t)(b.InsertNotice(ctx, old))
	b.clock.advance(time.Hour)
	since := b.clock.now()
	first, second := b.broke(b.other, "first"), b.broke(b.acme, "second")
	second.CreatedAt = since.Add(time.Second)
	must2(t)(b.InsertNotice(ctx, second))
	must2(t)(b.InsertNotice(ctx, first))
	got, err := b.UntoldNotices(ctx, since, notice.Notice{}, 10)
	must(t, err)
	equal(t, []notice.Notice{first, second}, got)
	got, err = b.UntoldNotices(ctx, since, first, 10) // After one of the same time.
	must(t, err)
	equal(t, []notice.Notice{second}, got)
	one, err := b.Notice(ctx, first.Tenant, first.ID)
	must(t, err)
	equal(t, first, one)
	_, err = b.Notice(ctx, b.acme.tenant, first.ID)
	wantNotFound(t, "another tenant's notice", err)
	must(t, b.NoticeTold(ctx, b.acme.tenant, first.ID, since)) // It is another tenant's.
	got, err = b.UntoldNotices(ctx, since, notice.Notice{}, 1)
	must(t, err)
	equal(t, []notice.Notice{first}, got)
	must(t, b.NoticeTold(ctx, first.Tenant, first.ID, since))
	got, err = b.UntoldNotices(ctx, since, notice.Notice{}, 10)
	must(t, err)
	equal(t, []notice.Notice{second}, got)
	first.ToldAt = since
	got, err = b.Notices(ctx, first.Tenant, "", 10)
	must(t, err)
	equal(t, []notice.Notice{first}, got)
}

func noticesListed(t *testing.T, b *bundle) {
	ctx := t.Context()
	var want []notice.Notice
	for _, subject := range []string{"a", "b", "c"} {
		b.clock.advance(time.Second)
		n := b.broke(b.acme, subject)
		must2(t)(b.InsertNotice(ctx, n))
		want = append([]notice.Notice{n}, want...)
	}
	got, err := b.Notices(ctx, b.acme.tenant, "", 2)
	must(t, err)
	equal(t, want[:2], got)
	got, err = b.Notices(ctx, b.acme.tenant, want[1].ID, 2)
	must(t, err)
	equal(t, want[2:], got)
	got, err = b.Notices(ctx, "", "", 10)
	must(t, err)
	equal(t, want, got)
}

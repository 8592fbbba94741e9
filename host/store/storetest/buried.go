package storetest

import (
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/redrive"
	"github.com/cofferdam-run/cofferdam/hostfns/emit"
)

func testBuried(t *testing.T, open Open) {
	each(t, open, map[string]func(*testing.T, *bundle){
		"the dead in the order of their ids": buried,
		"the dead in groups":                 buriedGroups,
		"a claim that was looked at":         redriveClaim,
	})
}

func buried(t *testing.T, b *bundle) {
	start := b.clock.now()
	dies := func(fingerprint string) string {
		b.clock.advance(time.Second)
		return b.end(t, b.acme, dead(fingerprint))
	}
	first, second, third := dies("f1"), dies("f2"), dies("f1")
	b.end(t, b.acme, func(*execution.Completion) {})
	b.end(t, b.other, dead("f1"))
	b.clock.advance(time.Second)
	tagged := b.running(t, b.acme)
	c := success(tagged)
	c.Outcome, c.Checkpointed, c.Until, c.Tags = execution.Waiting, true, b.clock.now(), []emit.Tag{{Name: "order", Value: "1"}}
	must(t, b.Complete(t.Context(), c))
	must3(t)(b.Promote(t.Context(), 10))
	c = success(b.claim(t, "w1", b.acme, 1)[0])
	dead("f3")(&c)
	must(t, b.Complete(t.Context(), c))
	last := tagged.Execution
	for name, tt := range map[string]struct {
		f     redrive.Filter
		after string
		limit int
		want  []string
	}{
		"all, oldest first":   {redrive.Filter{}, "", 9, []string{first, second, third, last}},
		"a piece":             {redrive.Filter{}, first, 2, []string{second, third}},
		"an end":              {redrive.Filter{}, last, 2, nil},
		"a fingerprint":       {redrive.Filter{Fingerprint: "f1"}, "", 9, []string{first, third}},
		"an installation":     {redrive.Filter{Installation: b.acme.installation}, third, 9, []string{last}},
		"another":             {redrive.Filter{Installation: b.other.installation}, "", 9, nil},
		"a kind":              {redrive.Filter{Kind: event.Webhook}, third, 9, []string{last}},
		"another kind":        {redrive.Filter{Kind: event.Poll}, "", 9, nil},
		"a name":              {redrive.Filter{Name: "issues"}, third, 9, []string{last}},
		"another name":        {redrive.Filter{Name: "pulls"}, "", 9, nil},
		"a tag":               {redrive.Filter{Tag: emit.Tag{Name: "order", Value: "1"}}, "", 9, []string{last}},
		"another tag":         {redrive.Filter{Tag: emit.Tag{Name: "order", Value: "2"}}, "", 9, nil},
		"since":               {redrive.Filter{Since: start.Add(2 * time.Second)}, "", 2, []string{second, third}},
		"until":               {redrive.Filter{Until: start.Add(2 * time.Second)}, "", 9, []string{first}},
		"class and code stay": {redrive.Filter{Class: fault.Auth, Code: "none"}, third, 9, []string{last}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := b.Buried(t.Context(), b.acme.tenant, tt.f, tt.after, tt.limit)
			must(t, err)
			equal(t, tt.want, ids(got))
		})
	}
}

func buriedGroups(t *testing.T, b *bundle) {
	ctx := t.Context()
	b.end(t, b.acme, dead("f2"))
	b.clock.advance(time.Second)
	b.end(t, b.acme, dead("f1"))
	early := b.clock.now()
	b.clock.advance(time.Second)
	newest := b.end(t, b.acme, dead("f1"))
	b.end(t, b.other, dead("f1"))
	groups, err := b.BuriedGroups(ctx, b.acme.tenant, redrive.Filter{})
	must(t, err)
	equal(t, 2, len(groups))
	equal(t, execution.DeadLetters{
		Fingerprint: "f1", Installation: b.acme.installation, Class: "upstream", Code: "http_500", Message: "it broke",
		Count: 2, First: early, Last: b.clock.now(), Sample: newest,
	}, groups[0])
	groups, err = b.BuriedGroups(ctx, b.acme.tenant, redrive.Filter{Fingerprint: "f1", Until: b.clock.now()})
	must(t, err)
	if len(groups) != 1 || groups[0].Count != 1 || !groups[0].Last.Equal(early) {
		t.Errorf("got %+v, want one that died early", groups)
	}
}

func redriveClaim(t *testing.T, b *bundle) {
	ctx := t.Context()
	id := b.end(t, b.acme, dead("f"))
	claim := b.execution(t, b.acme, id).Claim
	wantFault(t, b.Redrive(ctx, b.acme.tenant, id, execution.Redriving{Claim: claim + 1}), fault.Conflict, execution.CodeNotRedrivable)
	b.wantState(t, b.acme, id, execution.Dead)
	must(t, b.Redrive(ctx, b.acme.tenant, id, execution.Redriving{Claim: claim}))
	b.wantState(t, b.acme, id, execution.Queued)
	wantFault(t, b.Redrive(ctx, b.acme.tenant, id, execution.Redriving{Claim: claim}), fault.Conflict, execution.CodeNotRedrivable)
}

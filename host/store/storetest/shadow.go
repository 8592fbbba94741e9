package storetest

import (
	"slices"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/installation"
	"github.com/cofferdam-run/cofferdam/host/job"
	"github.com/cofferdam-run/cofferdam/host/shadow"
)

func testShadows(t *testing.T, open Open) {
	each(t, open, map[string]func(*testing.T, *bundle){
		"the tenants that have or had a plugin": holders,
		"what has ended, the last first":        ended,
		"what was recorded, read at once":       recordedAtOnce,
		"samples go with their tenant":          samples,
	})
}

func holders(t *testing.T, b *bundle) {
	ctx := t.Context()
	third := b.newPlace(t, "third")
	second := b.installation(third.tenant, "twice")
	must(t, b.InsertInstallation(ctx, second))
	was, err := b.Installation(ctx, b.acme.tenant, b.acme.installation)
	must(t, err)
	before := was.UpdatedAt
	was.State = installation.Removed
	must(t, b.UpdateInstallation(ctx, was, before))
	stranger := b.newPlace(t, "stranger")
	else1 := b.installation(stranger.tenant, "else")
	else1.Plugin = "plg_2"
	must(t, b.InsertInstallation(ctx, else1))

	all := []string{b.acme.tenant, b.other.tenant, third.tenant, stranger.tenant}
	slices.Sort(all)
	for _, tt := range []struct {
		plugin, after string
		limit         int
		want          []string
	}{
		{"plg_1", "", 9, all},
		{"plg_1", "", 2, all[:2]},
		{"plg_1", all[1], 9, all[2:]},
		{"plg_1", all[3], 9, []string{}},
		{"plg_2", "", 9, []string{stranger.tenant}},
		{"plg_3", "", 9, []string{}},
	} {
		got, err := b.Holders(ctx, tt.plugin, tt.after, tt.limit)
		must(t, err)
		equal(t, tt.want, got)
	}
}

func ended(t *testing.T, b *bundle) {
	ctx := t.Context()
	start := b.clock.now()
	ends := func(p place, version string, as func(*execution.Completion)) string {
		c := b.running(t, p)
		must(t, b.Begin(t.Context(), c, begins(version)))
		end := success(c)
		as(&end)
		must(t, b.Complete(t.Context(), end))
		return c.Execution
	}
	well := func(*execution.Completion) {}
	first := ends(b.acme, "plv_1", well)
	b.clock.advance(time.Second)
	// Two of one instant.
	pair := []string{ends(b.acme, "plv_1", dead("f1")), ends(b.acme, "plv_1", well)}
	slices.Sort(pair)
	ends(b.other, "plv_1", well)
	ends(b.acme, "plv_2", well)
	ends(b.acme, "plv_1", waiting(execution.ReasonRetry, b.clock.now().Add(time.Hour)))
	b.running(t, b.acme)
	b.work(t, b.acme, event.Live)
	b.clock.advance(time.Second)
	cancelled := b.running(t, b.acme)
	must(t, b.Begin(ctx, cancelled, begins("plv_1")))
	end := success(cancelled)
	end.Outcome = execution.Cancelled
	must(t, b.Complete(ctx, end))
	newest := cancelled.Execution

	at := func(after time.Duration, id string) shadow.Mark {
		return shadow.Mark{FinishedAt: start.Add(after), ID: id}
	}
	until := start.Add(time.Minute)
	for name, tt := range map[string]struct {
		f     shadow.Filter
		limit int
		want  []string
	}{
		"all":                {shadow.Filter{VersionID: "plv_1", Since: start, Until: until}, 9, []string{newest, pair[1], pair[0], first}},
		"a piece":            {shadow.Filter{VersionID: "plv_1", Since: start, Until: until}, 2, []string{newest, pair[1]}},
		"what follows":       {shadow.Filter{VersionID: "plv_1", Since: start, Until: until, Before: at(time.Second, pair[1])}, 9, []string{pair[0], first}},
		"the end":            {shadow.Filter{VersionID: "plv_1", Since: start, Until: until, Before: at(0, first)}, 9, nil},
		"another version":    {shadow.Filter{VersionID: "plv_3", Since: start, Until: until}, 9, nil},
		"from an instant on": {shadow.Filter{VersionID: "plv_1", Since: start.Add(time.Second), Until: until}, 9, []string{newest, pair[1], pair[0]}},
		"before an instant":  {shadow.Filter{VersionID: "plv_1", Since: start, Until: start.Add(2 * time.Second)}, 9, []string{pair[1], pair[0], first}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := b.Ended(t.Context(), b.acme.tenant, tt.f, tt.limit)
			must(t, err)
			var ids []string
			for _, e := range got {
				ids = append(ids, e.ID)
				equal(t, b.acme.installation, e.Installation)
				equal(t, b.execution(t, b.acme, e.ID).FinishedAt, e.FinishedAt)
			}
			equal(t, tt.want, ids)
			if tt.limit < 9 {
				return
			}
			n, err := b.CountEnded(t.Context(), b.acme.tenant, tt.f)
			must(t, err)
			equal(t, len(tt.want), n)
		})
	}
}

func recordedAtOnce(t *testing.T, b *bundle) {
	ctx := t.Context()
	var ids []string
	for _, texts := range [][]string{nil, {"a"}, {"b", "large", "larger"}} {
		c := b.running(t, b.acme)
		must(t, b.Begin(ctx, c, execution.Beginning{VersionID: "plv_1", World: []byte("w" + c.Execution)}))
		for i, text := range texts {
			must(t, b.Append(ctx, c, segment(i+1, text, text+" body", "shared")))
		}
		must(t, b.Complete(ctx, success(c)))
		ids = append(ids, c.Execution)
	}
	never := b.work(t, b.acme, event.Live)
	others := b.running(t, b.other).Execution
	got, err := b.Recorded(ctx, b.acme.tenant, append(ids, never, others, "exe_none"))
	must(t, err)
	equal(t, 4, len(got))
	for _, id := range append(ids, never) {
		want, err := b.Trace(ctx, b.acme.tenant, id)
		must(t, err)
		want.Emitted = nil
		if len(want.Attempts) == 0 {
			want.Attempts = nil
		}
		equal(t, want, got[id].Trace)
		recorded, err := b.Journal(ctx, b.acme.tenant, id)
		must(t, err)
		if len(recorded.Segments) == 0 {
			recorded.Segments = got[id].Journal.Segments[:0]
		}
		equal(t, recorded, got[id].Journal)
	}
	none, err := b.Recorded(ctx, b.acme.tenant, nil)
	must(t, err)
	equal(t, 0, len(none))
}

func samples(t *testing.T, b *bundle) {
	ctx := t.Context()
	made := func(id, kind, progress string) {
		must(t, b.InsertJob(t.Context(), job.Job{ID: id, Kind: kind, Spec: []byte("{}"), CreatedAt: b.clock.now(), ChangedAt: b.clock.now()}, 9))
		claimed, _, err := b.ClaimJobs(t.Context(), job.Claiming{Owner: "w1", Kinds: []string{kind}, N: 1, Lease: time.Minute})
		must(t, err)
		must2(t)(b.SaveJob(t.Context(), claimed[0], job.Saved{Progress: []byte(progress), Due: time.Minute}))
	}
	of := func(p place) string { return `{"groups":[{"samples":[{"tenant":"` + p.tenant + `"}]}]}` }
	made("job_1", shadow.Kind, of(b.acme))
	made("job_2", shadow.Kind, of(b.other))
	made("job_3", "other", of(b.acme))
	must(t, b.Bury(ctx, b.acme.tenant))
	for id, want := range map[string]bool{"job_1": false, "job_2": true, "job_3": true} {
		if _, err := b.Job(ctx, "", id); (err == nil) != want {
			t.Errorf("%s: got %v, want it to be there: %t", id, err, want)
		}
	}
}

package shadow_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/job"
	"github.com/cofferdam-run/cofferdam/host/shadow"
	"github.com/cofferdam-run/cofferdam/hostfns/replay"
	"github.com/cofferdam-run/cofferdam/registry"
)

// TestARunReportsWhatWouldHaveBecome has executions that the second version would do
// otherwise in each way, of two tenants.
func TestARunReportsWhatWouldHaveBecome(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ids := map[string][]string{}
	one := against()
	for _, tenant := range []string{"acme", "globex"} {
		owner, in := b.add(t, tenant)
		one.Tenant = owner
		for otherwise, n := range map[string]int{
			"": 4, "miscounts": 5, "emits": 3, "moves": 2, "retitles": 1, "forgets": 1, "looks": 1, "raises": 2, "mends": 1, "burns": 1,
		} {
			ids[otherwise] = append(ids[otherwise], b.do(t, owner, in, otherwise, n)...)
		}
	}
	before := b.everything(t)
	asked := b.asked.Load()
	started, err := b.h.Shadows.Start(t.Context(), against())
	must(t, err)
	got := b.await(t, started)
	if got.State != job.Done || got.Error != nil {
		t.Fatalf("the run is %s with %v", got.State, got.Error)
	}
	want := shadow.Report{
		Total: 42, Done: 42, Same: 10, OutputDiffers: 10, LeftDiffers: 6, CallsDiffer: 8, AsksBeyond: 2, Fails: 4, Mended: 2,
	}
	ignored := cmpopts.IgnoreFields(shadow.Report{}, "Fuel", "Groups", "RecordedSeconds", "Seconds")
	if d := cmp.Diff(want, got.Report, ignored); d != "" {
		t.Errorf("(-want +got) %s", d)
	}
	if got.Report.Differs() != 30 {
		t.Errorf("%d differ, want 30", got.Report.Differs())
	}
	wantGroups(t, got.Report.Groups, ids, false)
	started, err = b.h.Shadows.Start(t.Context(), one)
	must(t, err)
	wantGroups(t, b.await(t, started).Report.Groups, ids, true)
	if f := got.Report.Fuel; f.Compared != 26 || f.Total < 1.1 || f.Median < 0.98 || f.Median > 1.02 || f.P95 < 1.5 || f.Now <= f.Recorded {
		t.Errorf("the fuel is %+v: two executions of 26 burn more", f)
	}
	if r := got.Report; r.RecordedSeconds <= 0 || r.Seconds <= 0 {
		t.Errorf("it took %f s for %f s recorded", r.Seconds, r.RecordedSeconds)
	}
	if n := b.asked.Load(); n != asked {
		t.Errorf("%d requests have gone out", n-asked)
	}
	if d := cmp.Diff(before, b.everything(t)); d != "" {
		t.Errorf("executions have changed: (-before +after) %s", d)
	}
}

// wantGroups are those of both tenants, who do the same, or of one, whose samples say
// what differs.
func wantGroups(t *testing.T, groups []shadow.Group, ids map[string][]string, ofOne bool) {
	t.Helper()
	type group struct {
		verdict shadow.Verdict
		key     string
		count   int
		// of is what its executions do otherwise.
		of string
		// says is in the first sample.
		says string
	}
	want := []group{
		{shadow.OutputDiffers, "/items/*/total", 10, "miscounts", `"now":"-10`},
		{shadow.LeftDiffers, "/records/*/data/n", 6, "emits", `"now":"0"`},
		{shadow.CallsDiffer, "http GET /items/* becomes http GET /v2/items/*", 4, "moves", "/v2/items/10"},
		{shadow.Fails, "unreadable: cannot read item *", 4, "raises", "cannot read item 10"},
		{shadow.CallsDiffer, "http POST /items: /body/title", 2, "retitles", `"now":"\"second\""`},
		{shadow.CallsDiffer, "http GET /items/* becomes http POST /items", 2, "forgets", "/items"},
		{shadow.AsksBeyond, "http GET /prices/*", 2, "looks", "/prices/10"},
		{shadow.Mended, "failed with contract_changed becomes succeeded", 2, "mends", "has no price"},
	}
	for _, g := range groups {
		i := slices.IndexFunc(want, func(w group) bool { return w.verdict == g.Verdict && strings.HasPrefix(g.Key, w.key) })
		if i < 0 {
			t.Errorf("an unexpected group: %+v", g)
			continue
		}
		w := want[i]
		if ofOne {
			w.count /= 2
		}
		want = slices.Delete(want, i, i+1)
		if g.Count != w.count || len(g.Samples) != min(3, w.count) {
			t.Errorf("%s %s: %d with %d samples, want %d with 3 at most", g.Verdict, g.Key, g.Count, len(g.Samples), w.count)
		}
		for _, s := range g.Samples {
			if !slices.Contains(ids[w.of], s.Execution) || s.Tenant == "" {
				t.Errorf("%s %s: the sample %s of %q does not do this", g.Verdict, g.Key, s.Execution, s.Tenant)
			}
		}
		first := g.Samples[0]
		if doc := asJSON(t, first); ofOne && !strings.Contains(doc, w.says) {
			t.Errorf("%s %s: the sample %s does not say %s", g.Verdict, g.Key, doc, w.says)
		} else if !ofOne && first.Recorded+first.Now != "" || !ofOne && len(first.Changes) > 0 {
			t.Errorf("%s %s: the sample %s of a run of all tenants says what is one's", g.Verdict, g.Key, doc)
		}
	}
	for _, w := range want {
		t.Errorf("no group %s %s", w.verdict, w.key)
	}
	if !slices.IsSortedFunc(groups, func(a, b shadow.Group) int { return b.Count - a.Count }) {
		t.Errorf("the largest are not the first")
	}
}

// everything is all that is stored of executions.
func (b *bundle) everything(t *testing.T) map[string]any {
	t.Helper()
	all := map[string]any{}
	tenants, err := b.h.Tenants.List(t.Context(), "", 100)
	must(t, err)
	for _, owner := range tenants {
		found, err := b.h.Executions.List(t.Context(), owner.ID, execution.Filter{Limit: 200})
		must(t, err)
		for _, x := range found {
			trace, err := b.h.Executions.Trace(t.Context(), owner.ID, x.ID)
			must(t, err)
			all[x.ID] = asJSON(t, trace)
		}
	}
	return all
}

// TestARunIsOfATenantOrAll has tenants of different size.
func TestARunIsOfATenantOrAll(t *testing.T) {
	t.Parallel()
	b := setup(t)
	acme, in := b.add(t, "acme")
	b.do(t, acme, in, "miscounts", 8)
	globex, in := b.add(t, "globex")
	b.do(t, globex, in, "", 3)
	b.add(t, "idle")
	for name, tt := range map[string]struct {
		change func(*shadow.Spec)
		want   shadow.Report
	}{
		"all":               {func(*shadow.Spec) {}, shadow.Report{Total: 11, Done: 11, Same: 3, OutputDiffers: 8}},
		"one tenant's":      {func(s *shadow.Spec) { s.Tenant = globex }, shadow.Report{Total: 3, Done: 3, Same: 3}},
		"equal parts":       {func(s *shadow.Spec) { s.Limit = 4 }, shadow.Report{Total: 4, Done: 4, Same: 2, OutputDiffers: 2}},
		"as far as it goes": {func(s *shadow.Spec) { s.Limit = 9 }, shadow.Report{Total: 9, Done: 9, Same: 3, OutputDiffers: 6}},
		"a limit of one tenant's": {
			func(s *shadow.Spec) { s.Tenant, s.Limit = acme, 5 }, shadow.Report{Total: 5, Done: 5, OutputDiffers: 5},
		},
		"nothing so old": {
			func(s *shadow.Spec) { s.Until = time.Now().Add(-time.Hour) }, shadow.Report{},
		},
		"the other version": {func(s *shadow.Spec) { s.Against = "1.1.0" }, shadow.Report{}},
		"the version itself": {
			func(s *shadow.Spec) { s.Version = "1.0.0" }, shadow.Report{Total: 11, Done: 11, Same: 11},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := against()
			tt.change(&s)
			started, err := b.h.Shadows.Start(t.Context(), s)
			must(t, err)
			got := b.await(t, started)
			ignored := cmpopts.IgnoreFields(shadow.Report{}, "Fuel", "Groups", "RecordedSeconds", "Seconds")
			if d := cmp.Diff(tt.want, got.Report, ignored); d != "" || got.State != job.Done {
				t.Errorf("it is %s with %v: (-want +got) %s", got.State, got.Error, d)
			}
			list, err := b.h.Shadows.List(t.Context(), s.Tenant, "", 0)
			must(t, err)
			if !slices.ContainsFunc(list, func(r shadow.Run) bool { return r.ID == started.ID }) {
				t.Errorf("it is not in the list")
			}
		})
	}
}

// TestAStepThatIsMadeAgainCountsOnce is a process that dies after each step, before
// it has saved it; and steps that have time for one execution only.
func TestAStepThatIsMadeAgainCountsOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, name := range []string{"acme", "globex"} {
		owner, in := b.add(t, name)
		b.do(t, owner, in, "", 3)
		b.do(t, owner, in, "miscounts", 4)
	}
	runs, j := b.queued(t, against(), nil)
	want, _ := stepped(t, runs, j, 1)
	if want.Done != 14 || want.OutputDiffers != 8 {
		t.Fatalf("a report: %+v", want)
	}
	var ticks atomic.Int64
	start := time.Now()
	runs, j = b.queued(t, against(), func(c *shadow.Config) {
		c.Parallel = 1
		c.Now = func() time.Time { return start.Add(time.Duration(ticks.Add(1)) * 3 * time.Second) }
	})
	got, steps := stepped(t, runs, j, 2)
	if d := cmp.Diff(want, got, cmpopts.IgnoreFields(shadow.Report{}, "Seconds", "RecordedSeconds")); d != "" {
		t.Errorf("(-want +got) %s", d)
	}
	if steps < 15 {
		t.Errorf("it took %d steps, want one to count and one for each of 14", steps)
	}
}

// TestAnotherProcessGoesOn has the process die that runs the job.
func TestAnotherProcessGoesOn(t *testing.T) {
	t.Parallel()
	b := setup(t)
	owner, in := b.add(t, "acme")
	b.do(t, owner, in, "moves", 3)
	b.do(t, owner, in, "", 3)
	// The Host's own Runner is the other process: it has no such kind.
	const kind = "shadow_elsewhere"
	r, j := b.queued(t, against(), nil)
	j.Kind = kind
	must(t, b.db.InsertJob(t.Context(), j, 100))
	begun := make(chan struct{})
	ctx, die := context.WithCancel(t.Context())
	dying := handler(func(ctx context.Context, j job.Job) (job.Step, error) {
		if j.Cursor == "" {
			return r.Step(ctx, j)
		}
		if _, err := r.Step(ctx, j); err != nil {
			return job.Step{}, err
		}
		close(begun)
		<-ctx.Done() // What it did is lost.
		return job.Step{}, ctx.Err()
	})
	first := b.runner(kind, dying)
	ended := make(chan struct{})
	go func() { defer close(ended); first.Run(ctx) }()
	<-begun
	die()
	<-ended
	second := b.runner(kind, r)
	ctx, stop := context.WithCancel(t.Context())
	ended = make(chan struct{})
	go func() { defer close(ended); second.Run(ctx) }()
	for j.State != job.Done {
		var err error
		j, err = b.db.Job(t.Context(), "", j.ID)
		must(t, err)
		if j.State == job.Failed {
			t.Fatalf("it has failed: %v", j.Error)
		}
		time.Sleep(time.Millisecond)
	}
	stop()
	<-ended
	if got := string(j.Progress); !strings.Contains(got, `"done":6,"same":3`) || !strings.Contains(got, `"calls_differ":3`) {
		t.Errorf("the report is %s", got)
	}
}

// TestWhatCannotBeReplayed is counted with the reason.
func TestWhatCannotBeReplayed(t *testing.T) {
	t.Parallel()
	b := setupPlain(t)
	owner, in := b.add(t, "acme")
	ids := b.do(t, owner, in, "", 6)
	answers := map[string]func(*replay.Recording) error{
		ids[0]: func(*replay.Recording) error {
			return fault.New(fault.Conflict, "not_recorded", "it has no recording")
		},
		ids[1]: func(*replay.Recording) error { return fault.NotFound("execution", ids[1]) },
		ids[2]: func(*replay.Recording) error { return errors.New("read segment 3: unexpected end") },
		ids[3]: func(r *replay.Recording) error {
			r.Outcome = replay.Interrupted
			return nil
		},
		ids[4]: func(r *replay.Recording) error {
			r.Output, r.Left = []byte(`"what it did not say"`), nil
			return nil
		},
	}
	runs, j := b.queued(t, against(), func(c *shadow.Config) {
		from := c.Read
		c.Read = func(ctx context.Context, tenant string, all []string) (shadow.Recorder, error) {
			r, err := from(ctx, tenant, all)
			return recorder(func(id string) (replay.Recording, error) {
				rec, err := r.Recording(ctx, tenant, id, false)
				if answer := answers[id]; err == nil && answer != nil {
					err = answer(&rec)
				}
				return rec, err
			}), err
		}
	})
	got, _ := stepped(t, runs, j, 1)
	if got.Done != 6 || got.Skipped != 3 || got.NotComparable != 2 || got.Same != 1 {
		t.Errorf("got %+v", got)
	}
	var keys []string
	for _, g := range got.Groups {
		keys = append(keys, string(g.Verdict)+": "+g.Key)
	}
	slices.Sort(keys)
	want := []string{
		"not_comparable: the recorded run was ended from outside, and is the same up to there",
		"not_comparable: the recording does not replay on its own version: output_differs",
		"skipped: it never came to run, or what it recorded was purged",
		"skipped: it was purged since it was counted",
		"skipped: its recording cannot be read: internal",
	}
	if d := cmp.Diff(want, keys); d != "" {
		t.Errorf("(-want +got) %s", d)
	}
}

func TestAnOutageIsNoResult(t *testing.T) {
	t.Parallel()
	b := setupPlain(t)
	owner, in := b.add(t, "acme")
	b.do(t, owner, in, "", 2)
	away := fault.New(fault.Platform, fault.CodeDatabaseUnreachable, "the database does not answer")
	runs, j := b.queued(t, against(), func(c *shadow.Config) {
		c.Read = func(context.Context, string, []string) (shadow.Recorder, error) {
			return recorder(func(string) (replay.Recording, error) { return replay.Recording{}, away }), nil
		}
	})
	s, err := runs.Step(t.Context(), j)
	must(t, err)
	j.Progress, j.Cursor = s.Progress, s.Cursor
	if _, err := runs.Step(t.Context(), j); !errors.Is(err, away) {
		t.Errorf("got %v, want %v", err, away)
	}
}

func TestStartRefuses(t *testing.T) {
	t.Parallel()
	b := setupPlain(t)
	for name, tt := range map[string]struct {
		change func(*shadow.Spec)
		code   string
	}{
		"an unknown plugin":            {func(s *shadow.Spec) { s.Plugin = "nobody" }, "not_found"},
		"no plugin":                    {func(s *shadow.Spec) { s.Plugin = "" }, "plugin_invalid"},
		"a plugin with a version":      {func(s *shadow.Spec) { s.Plugin = "guest@1.0.0" }, "plugin_invalid"},
		"an unknown version":           {func(s *shadow.Spec) { s.Version = "9.9.9" }, "not_found"},
		"no version":                   {func(s *shadow.Spec) { s.Version = "" }, "version_missing"},
		"an unknown version to match":  {func(s *shadow.Spec) { s.Against = "9.9.9" }, "not_found"},
		"a period that ends too early": {func(s *shadow.Spec) { s.Since = time.Now().Add(time.Hour) }, "period_empty"},
		"a limit below nothing":        {func(s *shadow.Spec) { s.Limit = -1 }, "limit_invalid"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := against()
			tt.change(&s)
			_, err := b.h.Shadows.Start(t.Context(), s)
			if got := fault.From(err); err == nil || got.Code != tt.code {
				t.Errorf("got %v, want %s", err, tt.code)
			}
		})
	}
}

func TestAYankedVersionCanBeTried(t *testing.T) {
	t.Parallel()
	b := setupPlain(t)
	owner, in := b.add(t, "acme")
	b.do(t, owner, in, "", 1)
	v, err := b.h.Plugins.Resolve(t.Context(), registry.Viewer{Operator: true}, "guest@1.1.0")
	must(t, err)
	_, err = b.h.Plugins.Yank(t.Context(), registry.Viewer{Operator: true}, v.ID, "too new")
	must(t, err)
	started, err := b.h.Shadows.Start(t.Context(), against())
	must(t, err)
	if got := b.await(t, started); got.Report.Same != 1 {
		t.Errorf("it is %s with %+v", got.State, got.Report)
	}
}

func TestRunsAreFoundAsWhatTheyAre(t *testing.T) {
	t.Parallel()
	b := setupPlain(t)
	s := against()
	s.Tenant, _ = b.add(t, "acme")
	started, err := b.h.Shadows.Start(t.Context(), s)
	must(t, err)
	done := b.await(t, started)
	if _, err := b.h.Shadows.Cancel(t.Context(), s.Tenant, done.ID); fault.From(err).Class != fault.Conflict {
		t.Errorf("cancelling what is done: got %v, want a conflict", err)
	}
	if _, err := b.h.Shadows.Cancel(t.Context(), "", done.ID); fault.From(err).Code != fault.CodeNotFound {
		t.Errorf("another tenant's: got %v, want not_found", err)
	}
	other, err := b.h.Jobs.Create(t.Context(), "", "other", struct{}{})
	must(t, err)
	if _, err := b.h.Shadows.Get(t.Context(), "", other.ID); fault.From(err).Code != fault.CodeNotFound {
		t.Errorf("a job of another kind: got %v, want not_found", err)
	}
}

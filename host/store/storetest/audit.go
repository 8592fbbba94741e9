package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/cofferdam-run/cofferdam/host/audit"
	"github.com/cofferdam-run/cofferdam/host/audit/transcript"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/ident"
	"github.com/cofferdam-run/cofferdam/host/retention"
	"github.com/cofferdam-run/cofferdam/host/store"
	"github.com/cofferdam-run/cofferdam/host/store/storetest/faults"
	"github.com/cofferdam-run/cofferdam/host/tenant"
)

func testAudit(t *testing.T, open Open) {
	each(t, open, map[string]func(*testing.T, *bundle){
		"a change and its entry are one":                         actsJoin,
		"leaves have numbers and name those before":              actsInOrder,
		"two sequencers":                                         actsBySeveral,
		"texts are forgotten and hashes are not":                 actsForgotten,
		"what is about to be done is in the log with its intent": actsIntended,
		"checkpoints": actsSigned,
		"an entry that cannot be read is a leaf too": actsUnreadable,
	})
}

// entry is what somebody has done.
func (b *bundle) entry(tenantID, action string) audit.Entry {
	now := b.clock.now()
	return audit.Entry{
		ID: ident.New(audit.Prefix, now), At: now, Who: "tok_1", Tenant: tenantID, Action: action, Object: "con_1", Result: audit.Done,
	}
}

// sequence gives numbers to all that is pending, limit at a time.
func sequence(t testing.TB, s store.Store, limit int) audit.Tree {
	t.Helper()
	for {
		n, tree, err := s.SequenceActs(t.Context(), limit)
		must(t, err)
		if n == 0 {
			return tree
		}
	}
}

// drain empties what setting up the bundle has left, and returns the number of the
// next leaf.
func (b *bundle) drain(t testing.TB) int64 {
	t.Helper()
	return sequence(t, b.Store, 100).Size
}

// said are the leaves from a number on, by what they say.
func (b *bundle) said(t testing.TB, f audit.Filter) []map[string]any {
	t.Helper()
	f.Limit = 10_000
	leaves, err := b.Acts(t.Context(), f)
	must(t, err)
	var all []map[string]any
	for _, l := range leaves {
		says, err := transcript.Parse(l.Text)
		must(t, err)
		equal(t, tlog.RecordHash(l.Text), l.Hash)
		delete(says, "id")
		delete(says, "at")
		all = append(all, says)
	}
	return all
}

func actsJoin(t *testing.T, b *bundle) {
	first := b.drain(t)
	act := &audit.Act{Who: "tok_9", From: "192.0.2.1", Action: "tenant.create", Request: "req_1"}
	ctx := audit.Begin(t.Context(), act)
	ten := tenant.Tenant{ID: "ten_new", Name: "new", State: tenant.Active, Limits: tenant.Limits{Running: 1, Weight: 1}}
	must(t, b.InsertTenant(ctx, ten))
	equal(t, int64(1), act.Written())
	// What is not done is not said.
	wantFault(t, b.InsertTenant(ctx, ten), fault.Conflict, "tenant_exists")
	equal(t, int64(1), act.Written())
	// Nor is what nobody asked for, and is no change of anything.
	must(t, second(b.TakeTurn(t.Context(), retention.Turn{Name: "a", Holder: "h", For: time.Minute})))
	sequence(t, b.Store, 10)
	got := b.said(t, audit.Filter{From: first})
	equal(t, 1, len(got))
	for name, want := range map[string]any{
		"who": "tok_9", "from": "192.0.2.1", "action": "tenant.create", "request": "req_1", "result": "done", "n": first,
	} {
		if got[0][name] != want {
			t.Errorf("%s: got %v, want %v", name, got[0][name], want)
		}
	}
}

func actsInOrder(t *testing.T, b *bundle) {
	ctx := t.Context()
	first := b.drain(t)
	var want []map[string]any
	before := map[string]int64{}
	for _, l := range b.said(t, audit.Filter{}) {
		name, _ := l["tenant"].(string)
		before[name] = l["n"].(int64)
	}
	for i := range int64(150) {
		e := b.entry([]string{"", b.acme.tenant, b.other.tenant, "ten_gone"}[i%4], fmt.Sprint("a.", i%3))
		e.Purpose = "\u2028 <&> \" \\ \x01 ü"
		must(t, b.AddActs(ctx, []audit.Entry{e}))
		says := map[string]any{"action": e.Action, "object": "con_1", "purpose": e.Purpose, "result": "done", "who": "tok_1", "n": first + i}
		if e.Tenant != "" {
			says["tenant"] = e.Tenant
		}
		if prev, ok := before[e.Tenant]; ok {
			says["prev"] = prev
		}
		before[e.Tenant] = first + i
		want = append(want, says)
		if i%40 == 39 {
			sequence(t, b.Store, 33)
		}
	}
	tree := sequence(t, b.Store, 100)
	equal(t, first+150, tree.Size)
	equal(t, want, b.said(t, audit.Filter{From: first}))
	own := b.said(t, audit.Filter{From: first, Tenant: b.acme.tenant, OfTenant: true})
	equal(t, slices.DeleteFunc(slices.Clone(want), func(m map[string]any) bool { return m["tenant"] != b.acme.tenant }), own)
	equal(t, 50, len(b.said(t, audit.Filter{From: first, Action: "a.1"})))
	equal(t, want[3:7], b.said(t, audit.Filter{From: first + 3, To: first + 7}))
	b.provesAll(t, tree)
	// The same entry again, because nobody knew whether it was there: it is there once.
	e := b.entry("", "again")
	must(t, b.AddActs(ctx, []audit.Entry{e}))
	must(t, b.AddActs(ctx, []audit.Entry{e}))
	equal(t, tree.Size+1, sequence(t, b.Store, 100).Size)
}

// provesAll proves each leaf from the stored tiles.
func (b *bundle) provesAll(t testing.TB, tree audit.Tree) {
	t.Helper()
	leaves, err := b.Acts(t.Context(), audit.Filter{Limit: 10_000})
	must(t, err)
	equal(t, tree.Size, int64(len(leaves)))
	l := audit.New(audit.Config{Store: b.Store, Now: b.clock.now})
	for _, leaf := range leaves {
		proof, err := l.Inclusion(t.Context(), leaf.N, tree.Size)
		must(t, err)
		must(t, tlog.CheckRecord(proof, tree.Size, tree.Root, leaf.N, leaf.Hash))
	}
}

// What a run is about to do is in the log if, and only if, its intent is in the journal.
func actsIntended(t *testing.T, b *bundle) {
	first := b.drain(t)
	l := audit.New(audit.Config{Store: b.Store, Now: b.clock.now})
	e := audit.Entry{Who: "installation ins_1", Tenant: b.acme.tenant, Action: "credential.open", Object: "con_1", Purpose: "request to a", Result: audit.Done}
	const runs = 20
	claims := make([]execution.Claimed, runs)
	for i := range claims {
		claims[i] = b.running(t, b.acme)
		must(t, b.Begin(t.Context(), claims[i], begins("plv_1")))
	}
	stale := claims[0]
	stale.Claim--
	together(runs+1, func(i int) {
		c, e := stale, e
		if i < runs {
			c = claims[i]
		}
		e.Execution = fmt.Sprint(c.Execution, " ", c.Claim)
		ctx, intent := l.Intend(context.WithoutCancel(t.Context()), e)
		err := b.Append(ctx, c, segment(1, "a"))
		if i == runs {
			if !errors.Is(err, execution.ErrFenced) || intent.Written() {
				t.Errorf("a stale claim: got %v, written %t", err, intent.Written())
			}
			return
		}
		if err != nil || !intent.Written() {
			t.Errorf("got %v, written %t", err, intent.Written())
		}
		// Once is enough, whatever else is recorded in the course of it.
		if err := b.Append(ctx, c, segment(2, "b")); err != nil {
			t.Error(err)
		}
	})
	sequence(t, b.Store, 100)
	once := map[any]int{}
	for _, l := range b.said(t, audit.Filter{From: first, Tenant: b.acme.tenant, OfTenant: true}) {
		once[l["execution"]]++
	}
	equal(t, runs, len(once))
	for _, c := range claims {
		equal(t, 1, once[fmt.Sprint(c.Execution, " ", c.Claim)])
	}
}

// Several give numbers at once while entries come: each is one leaf, and the tree is sound.
func actsBySeveral(t *testing.T, b *bundle) {
	first := b.drain(t)
	const writers, each = 4, 40
	var done atomic.Int32
	together(writers+3, func(i int) {
		ctx := context.WithoutCancel(t.Context())
		if i < writers {
			for n := range each {
				e := b.entry(fmt.Sprint("ten_", n%3), fmt.Sprint("a.", i, ".", n))
				if err := b.AddActs(ctx, []audit.Entry{e}); err != nil {
					t.Error(err)
				}
			}
			done.Add(1)
			return
		}
		for done.Load() < writers {
			if _, _, err := b.SequenceActs(ctx, 7); err != nil {
				t.Error(err)
				return
			}
		}
	})
	tree := sequence(t, b.Store, 50)
	equal(t, first+writers*each, tree.Size)
	b.provesAll(t, tree)
	once := map[any]int{}
	for _, l := range b.said(t, audit.Filter{From: first}) {
		once[l["action"]]++
	}
	equal(t, writers*each, len(once))
}

func actsForgotten(t *testing.T, b *bundle) {
	ctx := t.Context()
	first := b.drain(t)
	for range 5 {
		must(t, b.AddActs(ctx, []audit.Entry{b.entry("", "a")}))
		sequence(t, b.Store, 9)
		b.clock.advance(time.Hour)
	}
	n, err := b.ForgetActs(ctx, time.UnixMicro(1), 2)
	must(t, err)
	equal(t, 0, n)
	keep := b.clock.now().Add(-150 * time.Minute) // Of the last two hours and a half.
	for total := 0; ; {
		n, err := b.ForgetActs(ctx, keep, 2)
		must(t, err)
		if total += n; n == 0 {
			equal(t, first+3, int64(total))
			break
		}
	}
	leaves, err := b.Acts(ctx, audit.Filter{Limit: 100})
	must(t, err)
	for _, l := range leaves {
		if (l.Text == nil) != (l.N < first+3) || l.Hash == (tlog.Hash{}) {
			t.Errorf("leaf %d: its text has %d bytes, its hash is %v", l.N, len(l.Text), l.Hash)
		}
	}
	tree, err := b.ActTree(ctx)
	must(t, err)
	b.provesAll(t, tree)
}

func actsSigned(t *testing.T, b *bundle) {
	ctx := t.Context()
	none, err := b.ActCheckpoints(ctx, -1, 0, -1)
	must(t, err)
	equal(t, 0, len(none))
	var want []audit.Signed
	for _, size := range []int64{0, 3, 700} {
		c := audit.Signed{Size: size, At: b.clock.now(), Note: fmt.Append(nil, "note ", size)}
		must(t, b.AddCheckpoint(ctx, c))
		c.Note = []byte("another")
		must(t, b.AddCheckpoint(ctx, c))
		c.Note = fmt.Append(nil, "note ", size)
		want = append(want, c)
	}
	for _, c := range []struct {
		after, upTo int64
		limit       int
		want        []audit.Signed
	}{{-1, 0, 9, want}, {-1, 0, 2, want[:2]}, {0, 0, 9, want[1:]}, {0, 699, 9, want[1:2]}, {-1, 0, -1, want[2:]}} {
		got, err := b.ActCheckpoints(ctx, c.after, c.upTo, c.limit)
		must(t, err)
		equal(t, c.want, got)
	}
}

// What somebody has made unreadable while it was pending holds up nothing, and shows.
func actsUnreadable(t *testing.T, b *bundle) {
	first := b.drain(t)
	long := b.entry("", "a")
	long.Who, long.Object = "\xff\xfe", string(bytes.Repeat([]byte("ü"), 5000))
	must(t, b.AddActs(t.Context(), []audit.Entry{long}))
	sequence(t, b.Store, 9)
	got := b.said(t, audit.Filter{From: first})
	equal(t, 1, len(got))
	if s, _ := got[0]["object"].(string); len(s) < 1000 || len(s) > 1024 {
		t.Errorf("a text has %d bytes", len(s))
	}
}

// FailingAudit has each statement of what the audit log does fail in turn: whoever
// asks again finds each entry in the log, and once.
func FailingAudit(t *testing.T, open Open, plan *faults.Plan) {
	t.Helper()
	b := setup(t, open)
	added := b.drain(t)
	for when, name := range map[faults.When]string{faults.Before: "before", faults.After: "after"} {
		t.Run(name, func(t *testing.T) {
			failed := 0
			for n := 1; ; n++ {
				plan.Arm(n, when)
				es := []audit.Entry{b.entry("", "a"), b.entry(b.acme.tenant, "b")}
				b.until(t, func() error { return b.AddActs(t.Context(), es) })
				b.until(t, func() error { return third(b.SequenceActs(t.Context(), 9)) })
				struck := plan.Struck()
				plan.Arm(0, when)
				// Whose entries were added although that was not known may be there twice, by
				// the same id: those that had got a number before they were added again.
				tree := sequence(t, b.Store, 9)
				if tree.Size < added+2 || tree.Size > added+4 {
					t.Fatalf("statement %d: the log has %d leaves, want %d", n, tree.Size, added+2)
				}
				added = tree.Size
				b.provesAll(t, tree)
				if !struck {
					break
				}
				failed++
			}
			if failed < 3 {
				t.Errorf("%d statements failed, want more", failed)
			}
		})
	}
}

// AuditBenchmark measures what an entry costs: written down, numbered and in the tree.
func AuditBenchmark(b *testing.B, open Open) {
	b.Helper()
	s := open(b, nil)
	bu := &bundle{Store: s, clock: &clock{}}
	bu.clock.us.Store(time.Now().UnixMicro())
	const batch = 256
	b.ResetTimer()
	for n := 0; n < b.N; n += batch {
		es := make([]audit.Entry, min(batch, b.N-n))
		for i := range es {
			es[i] = bu.entry(fmt.Sprint("ten_", i%10), "connection.use")
			es[i].Execution, es[i].Purpose, es[i].Key = "exe_01J9ZK7V5Q8W3E6R1T0Y2U4I8O", "request", "k1"
		}
		must(b, s.AddActs(b.Context(), es))
		_, _, err := s.SequenceActs(b.Context(), batch)
		must(b, err)
	}
	b.StopTimer()
	if tree, err := s.ActTree(b.Context()); err != nil || tree.Size < int64(b.N) {
		b.Error(errors.Join(err, fmt.Errorf("the log has %d leaves, want %d", tree.Size, b.N)))
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N), "us/append")
}

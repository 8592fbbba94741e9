package storetest

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/ident"
	"github.com/cofferdam-run/cofferdam/host/job"
	"github.com/cofferdam-run/cofferdam/host/outbound"
	"github.com/cofferdam-run/cofferdam/host/store"
	"github.com/cofferdam-run/cofferdam/host/store/internal/sealing"
	"github.com/cofferdam-run/cofferdam/host/vault"
	"github.com/cofferdam-run/cofferdam/hostfns/journal"
	"github.com/cofferdam-run/cofferdam/hostfns/state"
)

// canary is what only whoever has the tenant's key may see.
const canary = "canary-5f0c1e"

func testPayloads(t *testing.T, open Open) {
	each(t, open, map[string]func(*testing.T, *bundle){
		"are sealed, all of them":     payloadsAreSealed,
		"go under the next key":       payloadsRotate,
		"open nowhere else":           payloadsMoved,
		"do not open when swapped":    payloadsSwapped,
		"are added to under new keys": deltasAfterRotation,
		"are gone with their key":     payloadsShredded,
		"cannot be put there plain":   payloadsPlain,
	})
}

// traces is what an execution has left behind in every place where payloads are.
type traces struct {
	event, execution, job, schedule, delivery string
	answer                                    store.Key
}

// fill has a place hold the canary everywhere.
func (b *bundle) fill(t testing.TB, p place) *traces {
	t.Helper()
	ctx := t.Context()
	e := b.event(p)
	e.Body = []byte(canary)
	e.Request = &event.Request{Method: "POST", Path: "/" + canary, Headers: map[string][]string{"A": {canary}}}
	l := &traces{event: e.ID, execution: ident.New(ident.Execution, b.clock.now())}
	must2(t)(b.Accept(ctx, e, &event.Work{Execution: l.execution, Lane: event.Live}))
	large := b.event(p)
	large.Body = bytes.Repeat([]byte(canary), 64<<10/len(canary)+1)
	must2(t)(b.Accept(ctx, large, nil))
	c := b.claim(t, "w1", p, 1)[0]
	must(t, b.Begin(ctx, c, execution.Beginning{VersionID: "plv_1", World: []byte(canary)}))
	must(t, b.Append(ctx, c, segment(1, canary, "large "+canary)))
	end := b.full(c, p)
	end.Attempt, end.Output = []byte(`{"claim":1,"version_id":"`+canary+`"}`), []byte(`"`+canary+`"`)
	end.State = state.Changes{Writes: []state.Write{{Key: "dir/k", Value: raw(`"` + canary + `"`)}, {Key: "n", Delta: 40}}}
	end.Records[0].Body = []byte(canary)
	end.Checkpoint.Cursor = []byte(canary)
	g := segment(2, canary)
	end.Journal = &g
	must(t, b.Complete(ctx, end))
	l.dies(t, b, p)
	l.answers(t, b, p)
	return l
}

// dies has another execution end with an error that says the canary.
func (l *traces) dies(t testing.TB, b *bundle, p place) {
	t.Helper()
	c := b.running(t, p)
	end := success(c)
	end.Outcome, end.Error = execution.Dead, []byte(`{"class":"plugin_bug","code":"c","message":"`+canary+`"}`)
	end.Fingerprint = "f"
	must(t, b.Complete(t.Context(), end))
}

// answers has a job and a request of the tenant's leave the canary.
func (l *traces) answers(t testing.TB, b *bundle, p place) {
	t.Helper()
	j := b.job(t, p)
	l.job = j.ID
	j = b.claimJobs(t, "w1", 1)[0]
	b.saved(t, j, job.Saved{Progress: json.RawMessage(`"` + canary + `"`), To: job.Done}, job.Done)
	s := b.schedule(p, "canary")
	s.Input = json.RawMessage(`"` + canary + `"`)
	l.schedule = b.insertSchedule(t, s).ID
	d := b.destined(p.tenant, "canary", "none.none")
	must(t, b.InsertDestination(t.Context(), d, nil, 9)) // What is sealed there is no payload.
	x := b.delivery(d, p.tenant)
	l.delivery = x.ID
	must(t, b.InsertDelivery(t.Context(), x, time.Hour))
	must2(t)(b.SettleDelivery(t.Context(), b.settled(x, outbound.Failed, func(s *outbound.Settled) { s.Attempts[0].Answer = canary })))
	l.answer = store.Key{Scope: p.tenant, Key: "key/1", Digest: []byte("d")}
	must2(t)(b.Reserve(t.Context(), l.answer, b.clock.now()))
	must(t, b.Settle(t.Context(), l.answer, store.Answered{Status: 200, Body: []byte(canary)}))
}

// found is where the canary is read, by the place.
func (l *traces) found(t testing.TB, b *bundle, p place) (map[string]string, error) {
	t.Helper()
	ctx := t.Context()
	got := map[string]string{}
	trace, err := b.Trace(ctx, p.tenant, l.execution)
	if err != nil {
		return nil, err
	}
	got["event"], got["request"] = string(trace.Event.Body), trace.Event.Request.Path
	got["output"], got["attempt"] = string(trace.Execution.Output), trace.Attempts[0].VersionID
	r, err := b.Journal(ctx, p.tenant, l.execution)
	if err != nil {
		return nil, err
	}
	got["world"], got["segment"], got["last segment"] = string(r.World), string(r.Segments[0].Data), string(r.Segments[1].Data)
	got["large"] = string(r.Segments[0].Large[journal.DigestOf([]byte("large "+canary))])
	entries, err := b.State(p.tenant, p.installation).List(ctx, "", "", 9)
	if err != nil {
		return nil, err
	}
	got["state"], got["sum"] = string(entries[0].Value), string(entries[1].Value)
	cursor, err := b.Cursor(ctx, p.tenant, p.installation, "p")
	if err != nil {
		return nil, err
	}
	got["cursor"] = string(cursor)
	records, err := b.Events(ctx, p.tenant, event.Filter{Kind: event.Record})
	if err != nil {
		return nil, err
	}
	got["record"] = string(records[0].Body)
	dead, err := b.DeadLetters(ctx, p.tenant)
	if err != nil {
		return nil, err
	}
	got["error"] = dead[0].Message
	j, err := b.Job(ctx, p.tenant, l.job)
	if err != nil {
		return nil, err
	}
	got["job"] = string(j.Progress)
	s, err := b.Schedule(ctx, p.tenant, l.schedule)
	if err != nil {
		return nil, err
	}
	got["schedule"] = string(s.Input)
	d, err := b.OutboundDelivery(ctx, p.tenant, l.delivery)
	if err != nil {
		return nil, err
	}
	got["delivery"] = d.Attempts[0].Answer
	answer, err := b.Reserve(ctx, l.answer, b.clock.now())
	if err != nil {
		return nil, err
	}
	got["answer"] = string(answer.Body)
	return got, nil
}

func (l *traces) wantAll(t testing.TB, b *bundle, p place) {
	t.Helper()
	got, err := l.found(t, b, p)
	must(t, err)
	equal(t, map[string]string{
		"event": canary, "request": "/" + canary, "output": `"` + canary + `"`, "attempt": canary,
		"world": canary, "segment": canary, "last segment": canary, "large": "large " + canary,
		"state": `"` + canary + `"`, "sum": "40", "cursor": canary, "record": canary, "error": canary,
		"job": `"` + canary + `"`, "answer": canary,
		"schedule": `"` + canary + `"`, "delivery": canary,
	}, got)
}

// sealedBytes are all that a tenant has sealed, by the place.
func (b *bundle) sealedBytes(t testing.TB, tenant string) map[vault.Place][]vault.Sealed {
	t.Helper()
	all := map[vault.Place][]vault.Sealed{}
	for _, p := range b.SealedPlaces() {
		after := ""
		for {
			// One at a time, so that each is found after the one before.
			some, err := b.StaleRecords(t.Context(), tenant, p, []byte("no head"), after, 1)
			must(t, err)
			if len(some) == 0 {
				break
			}
			all[p] = append(all[p], some...)
			after = some[0].Record
		}
	}
	return all
}

func payloadsAreSealed(t *testing.T, b *bundle) {
	l := b.fill(t, b.acme)
	all := b.sealedBytes(t, b.acme.tenant)
	total := 0
	for _, p := range b.SealedPlaces() {
		if p.Payload && len(all[p]) == 0 {
			t.Errorf("nothing is found in %s.%s", p.Table, p.Name)
		}
		for _, r := range all[p] {
			if total++; bytes.Contains(r.Bytes, []byte(canary)) || bytes.Contains(r.Bytes, []byte("40")) && p.Table == "state_values" {
				t.Errorf("%s.%s of %s shows what is in it", p.Table, p.Name, r.Record)
			}
		}
	}
	n, err := b.CountStale(t.Context(), b.acme.tenant, []byte("no head"))
	must(t, err)
	equal(t, total, n)
	l.wantAll(t, b, b.acme)
}

// rotated gives the tenant another key, and seals everything under it.
func (b *bundle) rotated(t testing.TB, v *vault.Vault, tenant string) {
	t.Helper()
	ctx := t.Context()
	must(t, v.Rotate(ctx, tenant, ident.New(ident.Job, b.clock.now())))
	for p, was := range b.sealedBytes(t, tenant) {
		now, err := v.Reseal(ctx, p, was)
		must(t, err)
		n, err := b.ResealRecords(ctx, was, now)
		must(t, err)
		equal(t, len(was), n)
	}
	must(t, v.Retire(ctx, tenant))
}

// sealedBy has the store seal with keys that the test has in hand.
func (b *bundle) sealedBy(t testing.TB) *vault.Vault {
	t.Helper()
	v := vault.New(b.Store, ephemeral(t))
	b.SealWith(v)
	return v
}

func payloadsRotate(t *testing.T, b *bundle) {
	v := b.sealedBy(t)
	l := b.fill(t, b.acme)
	before := b.sealedBytes(t, b.acme.tenant)
	b.rotated(t, v, b.acme.tenant)
	l.wantAll(t, b, b.acme)
	after := b.sealedBytes(t, b.acme.tenant)
	for p, was := range before {
		for i := range was {
			if bytes.Equal(was[i].Bytes, after[p][i].Bytes) {
				t.Errorf("%s.%s of %s is as it was", p.Table, p.Name, was[i].Record)
			}
		}
	}
}

// payloadsMoved puts each sealed value where each other one is.
func payloadsMoved(t *testing.T, b *bundle) {
	l := b.fill(t, b.acme)
	b.fill(t, b.other)
	strange := b.sealedBytes(t, b.other.tenant)
	all := b.sealedBytes(t, b.acme.tenant)
	var from [][]byte
	for _, records := range []map[vault.Place][]vault.Sealed{all, strange} {
		for _, some := range records {
			from = append(from, some[0].Bytes)
		}
	}
	for p, records := range all {
		if !p.Payload {
			continue
		}
		for _, was := range records {
			for _, other := range from {
				if bytes.Equal(other, was.Bytes) {
					continue
				}
				moved := was
				moved.Bytes = other
				must2(t)(b.ResealRecords(t.Context(), []vault.Sealed{was}, [][]byte{other}))
				err := b.openAll(t, b.acme)
				if err == nil {
					t.Fatalf("%s.%s of %s opens with what is another's", p.Table, p.Name, was.Record)
				}
				wantFault(t, err, fault.Platform, sealing.CodeSealed)
				must2(t)(b.ResealRecords(t.Context(), []vault.Sealed{moved}, [][]byte{was.Bytes}))
			}
		}
	}
	l.wantAll(t, b, b.acme)
}

// payloadsSwapped puts ciphertexts of all fields, of two tenants, one of whom has two
// keys, where others are, ten thousand times.
func payloadsSwapped(t *testing.T, b *bundle) {
	ctx := t.Context()
	v := b.sealedBy(t)
	b.fill(t, b.acme)
	b.fill(t, b.other)
	must(t, v.Rotate(ctx, b.other.tenant, ident.New(ident.Job, b.clock.now())))
	for p, was := range b.sealedBytes(t, b.other.tenant) {
		now, err := v.Reseal(ctx, p, was[:(len(was)+1)/2])
		must(t, err)
		must2(t)(b.ResealRecords(ctx, was[:len(now)], now))
	}
	type place struct {
		vault.Place
		at vault.Sealed
	}
	var all []place
	for _, tenant := range []string{b.acme.tenant, b.other.tenant} {
		records := b.sealedBytes(t, tenant)
		for _, p := range b.SealedPlaces() {
			if !p.Payload { // The bundle has none of these.
				f := vault.Field{Tenant: tenant, Table: p.Table, Record: ident.New(ident.Connection, b.clock.now()), Name: p.Name, Version: 1}
				sealed, err := v.Seal(ctx, f, []byte(canary))
				must(t, err)
				records[p] = []vault.Sealed{{Field: f, Bytes: sealed}}
			}
			for _, r := range records[p] {
				all = append(all, place{p, r})
			}
		}
	}
	opens := func(p vault.Place, r vault.Sealed) bool {
		now, err := v.Reseal(ctx, p, []vault.Sealed{r})
		must(t, err)
		return now[0] != nil
	}
	for _, p := range all {
		if !opens(p.Place, p.at) {
			t.Fatalf("%s.%s of %s does not open where it belongs", p.Table, p.Name, p.at.Record)
		}
	}
	random := rand.New(rand.NewPCG(1, 2))
	const swaps = 10_000
	for n := 0; n < swaps; {
		from, to := all[random.IntN(len(all))], all[random.IntN(len(all))]
		if from.at.Field == to.at.Field {
			continue
		}
		n++
		moved := to.at
		moved.Bytes = from.at.Bytes
		if opens(to.Place, moved) {
			t.Fatalf("%+v opens as %+v", from.at.Field, to.at.Field)
		}
	}
}

// openAll reads every payload of a place, one after the other.
func (b *bundle) openAll(t testing.TB, p place) error {
	t.Helper()
	ctx := t.Context()
	if _, err := b.Events(ctx, p.tenant, event.Filter{}); err != nil {
		return err
	}
	if _, err := b.State(p.tenant, p.installation).List(ctx, "", "", 9); err != nil {
		return err
	}
	if _, err := b.Cursor(ctx, p.tenant, p.installation, "p"); err != nil {
		return err
	}
	if _, err := b.Jobs(ctx, p.tenant, job.Filter{}); err != nil {
		return err
	}
	if _, err := b.Reserve(ctx, store.Key{Scope: p.tenant, Key: "key/1", Digest: []byte("d")}, b.clock.now()); err != nil {
		return err
	}
	if _, err := b.Schedule(ctx, p.tenant, "canary"); err != nil {
		return err
	}
	d, _, err := b.Destination(ctx, p.tenant, "canary")
	must(t, err)
	sent, err := b.OutboundDeliveries(ctx, p.tenant, d.ID, outbound.Filter{})
	must(t, err)
	for _, x := range sent {
		if _, err := b.OutboundDelivery(ctx, p.tenant, x.ID); err != nil {
			return err
		}
	}
	all, err := b.Executions(ctx, p.tenant, execution.Filter{})
	if err != nil {
		return err
	}
	for _, e := range all {
		if _, err := b.Trace(ctx, p.tenant, e.ID); err != nil {
			return err
		}
		if _, err := b.Journal(ctx, p.tenant, e.ID); err != nil {
			return err
		}
	}
	return nil
}

// deltasAfterRotation has a process add to a number that another process has sealed
// under a key that the first has not met.
func deltasAfterRotation(t *testing.T, b *bundle) {
	k := ephemeral(t)
	b.SealWith(vault.New(b.Store, k))
	b.fill(t, b.acme)
	other := vault.New(b.Store, k)
	b.rotated(t, other, b.acme.tenant)
	must(t, b.change(t, b.acme, state.Changes{Writes: []state.Write{{Key: "n", Delta: 2}}}))
	got, err := b.State(b.acme.tenant, b.acme.installation).Get(t.Context(), "n")
	must(t, err)
	equal(t, "42", string(got.Value))
}

func payloadsShredded(t *testing.T, b *bundle) {
	v := b.sealedBy(t)
	l := b.fill(t, b.acme)
	b.fill(t, b.other)
	running := b.running(t, b.acme)
	ten, err := b.Tenant(t.Context(), b.acme.tenant)
	must(t, err)
	must2(t)(b.AskDeletion(t.Context(), ten, 0))
	must2(t)(b.DestroyKey(t.Context(), b.acme.tenant))
	v.Forget(b.acme.tenant)
	if _, err := l.found(t, b, b.acme); err == nil {
		t.Error("payloads open without their key")
	}
	must(t, b.openAll(t, b.other))
	// What was in flight ends, and leaves nothing that is private.
	must(t, b.Complete(t.Context(), b.full(running, b.acme)))
	b.wantState(t, b.acme, running.Execution, execution.Succeeded)
	entry, err := b.State(b.acme.tenant, b.acme.installation).Get(t.Context(), "k")
	must(t, err)
	equal(t, int64(0), entry.Version)
}

// payloadsPlain puts what is not sealed into every place.
func payloadsPlain(t *testing.T, b *bundle) {
	b.fill(t, b.acme)
	for p, records := range b.sealedBytes(t, b.acme.tenant) {
		if !p.Payload {
			continue
		}
		was := records[0]
		for _, plain := range []string{`{"claim":1}`, "\x01", "\x01\x01short", strings.Repeat("\x01", 64)} {
			forged := was
			forged.Bytes = []byte(plain)
			must2(t)(b.ResealRecords(t.Context(), []vault.Sealed{was}, [][]byte{forged.Bytes}))
			err := b.openAll(t, b.acme)
			wantFault(t, err, fault.Platform, sealing.CodeSealed)
			must2(t)(b.ResealRecords(t.Context(), []vault.Sealed{forged}, [][]byte{was.Bytes}))
		}
	}
	err := b.openAll(t, b.acme)
	must(t, err)
}

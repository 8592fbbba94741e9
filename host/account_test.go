package host_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/sumdb/note"

	"github.com/cofferdam-run/cofferdam/host"
	"github.com/cofferdam-run/cofferdam/host/audit"
	"github.com/cofferdam-run/cofferdam/host/audit/transcript"
	"github.com/cofferdam-run/cofferdam/host/connection"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/ident"
	"github.com/cofferdam-run/cofferdam/host/store"
)

// written counts the transactions that write nothing but entries of the audit log.
type written struct {
	store.Store

	transactions atomic.Int64
	// arrived is how many there were when the latest request came to the party.
	arrived atomic.Int64
}

func (w *written) AddActs(ctx context.Context, es []audit.Entry) error {
	w.transactions.Add(1)
	return w.Store.AddActs(ctx, es)
}

// with has a step made with the account at the party.
func with(s step) step {
	s.Request = json.RawMessage(strings.Replace(string(s.Request), "{", `{"connection":"party",`, 1))
	return s
}

// connected has a party's account, whose credential is good for its plain address.
func connected(t *testing.T, db store.Store) (*journaled, *written) {
	t.Helper()
	w := &written{Store: db}
	j := setupJournal(t, hosting(w), newParty(t, func(asked) reply {
		w.arrived.Store(w.transactions.Load())
		return reply{}
	}))
	account, err := j.h.Connections.Create(t.Context(), j.owner, connection.Spec{
		Name: "party", Type: connection.Bearer, Hosts: []string{strings.TrimPrefix(j.party.plain, "http://")},
		Credential: connection.Credential{Token: "t0ken"},
	})
	if err != nil {
		t.Fatal(err)
	}
	grants := j.in.Grants
	grants.Connections = map[string]string{"party": account.ID}
	if j.in, err = j.h.Installations.Grant(t.Context(), j.owner, j.in.ID, grants); err != nil {
		t.Fatal(err)
	}
	return j, w
}

// opened is what the audit log says of an execution's openings: how often each was done
// for which purpose, by how many leaves.
func (j *journaled) opened(t *testing.T, execution string) (times map[string]int64, leaves int) {
	t.Helper()
	times = map[string]int64{}
	all, err := j.h.Audit.List(t.Context(), audit.Filter{Tenant: j.owner, OfTenant: true, Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range all {
		says, err := transcript.Parse(l.Text)
		if err != nil {
			t.Fatal(err)
		}
		if says["execution"] != execution {
			continue
		}
		if who, _ := says["who"].(string); who != "installation "+j.in.ID || says["object"] != j.in.Grants.Connections["party"] || says["key"] != "connections.credential" {
			t.Errorf("a leaf says %v", says)
		}
		n, _ := says["count"].(int64)
		times[fmt.Sprint(says["action"], " ", says["result"], ": ", says["purpose"])] += max(n, 1)
		leaves++
	}
	return times, leaves
}

// settled waits for an execution and then for what is written after its end.
func (j *journaled) settled(t *testing.T, id string) {
	t.Helper()
	if x := j.ended(t, id); x.State != execution.Succeeded {
		t.Fatalf("it is %s: %v", x.State, x.Error)
	}
	// Whatever is written now takes along what waited.
	if err := j.h.Audit.Use(t.Context(), audit.Entry{Who: audit.Host, Action: "test", Result: audit.Done}); err != nil {
		t.Fatal(err)
	}
}

// TestOpeningsAreInTheAuditLogOnEachStore: that a credential is opened costs a commit
// where nothing else is written, and once for each purpose of a run.
func TestOpeningsAreInTheAuditLogOnEachStore(t *testing.T) {
	t.Parallel()
	for db, open := range map[string]func(*testing.T) store.Store{"sqlite": openStore, "postgres": openPostgres} {
		t.Run(db, func(t *testing.T) {
			t.Parallel()
			j, w := connected(t, open(t))
			plain := strings.TrimPrefix(j.party.plain, "http://")
			open := "credential.open done: request to " + plain
			for _, c := range []struct {
				name  string
				steps []step
				// alone is how many transactions the openings need of their own before they
				// happen, and leaves how many the log has of them.
				alone  int64
				leaves int
				want   map[string]int64
			}{
				{"nothing", []step{get(j.party.plain + "/a")}, 0, 0, map[string]int64{}},
				{"an effect", []step{with(post(j.party.plain + "/a"))}, 0, 1, map[string]int64{open: 1}},
				{"a read", []step{with(get(j.party.plain + "/a"))}, 1, 1, map[string]int64{open: 1}},
				{
					"an effect, and reads and effects after it",
					[]step{with(post(j.party.plain + "/a")), with(get(j.party.plain + "/b")), with(post(j.party.plain + "/c")), get(j.party.plain + "/d"), with(get(j.party.plain + "/e"))},
					0, 2,
					map[string]int64{open: 4},
				},
				{"reads, and an effect after them", []step{with(get(j.party.plain + "/a")), with(get(j.party.plain + "/b")), with(post(j.party.plain + "/c"))}, 1, 2, map[string]int64{open: 3}},
				{"an effect where the credential may not be sent", []step{func() step {
					s := with(post(j.party.keyed + "/a"))
					s.Tolerate = true
					return s
				}()}, 0, 2, map[string]int64{
					"credential.open done: request to " + strings.TrimPrefix(j.party.keyed, "http://"):     1,
					"credential.unopened done: request to " + strings.TrimPrefix(j.party.keyed, "http://"): 1,
				}},
			} {
				before, requests := w.transactions.Load(), len(j.party.requests(""))
				id := j.do(t, c.steps...)
				if x := j.ended(t, id); x.State != execution.Succeeded {
					t.Fatalf("%s: it is %s: %v", c.name, x.State, x.Error)
				}
				if got := w.arrived.Load() - before; got != c.alone && len(j.party.requests("")) > requests {
					t.Errorf("%s: %d transactions before the last request, want %d", c.name, got, c.alone)
				}
				j.settled(t, id)
				got, leaves := j.opened(t, id)
				if d := cmp.Diff(c.want, maps.Clone(got)); d != "" || leaves != c.leaves {
					t.Errorf("%s: %d leaves, want %d (-want +got):\n%s", c.name, leaves, c.leaves, d)
				}
			}
		})
	}
}

// TestTextsOfTheAuditLogAreForgottenOnEachStore: the hashes stay, and with them the proof.
func TestTextsOfTheAuditLogAreForgottenOnEachStore(t *testing.T) {
	t.Parallel()
	for db, open := range map[string]func(*testing.T) store.Store{"sqlite": openStore, "postgres": openPostgres} {
		t.Run(db, func(t *testing.T) {
			t.Parallel()
			s := open(t)
			k, err := audit.CreateKey(filepath.Join(t.TempDir(), "audit-key"))
			if err != nil {
				t.Fatal(err)
			}
			old := time.Now().Add(-40 * 24 * time.Hour)
			entry := func(action string, at time.Time) audit.Entry {
				return audit.Entry{ID: ident.New(audit.Prefix, at), At: at, Who: "tok_1", Tenant: "ten_1", Action: action, Result: audit.Done}
			}
			must := func(err error) {
				t.Helper()
				if err != nil {
					t.Fatal(err)
				}
			}
			must(s.AddActs(t.Context(), []audit.Entry{entry("a", old), entry(transcript.KeyAction, old), entry("b", old), entry("c", time.Now())}))
			_, _, err = s.SequenceActs(t.Context(), 100)
			must(err)
			b := runHost(t, host.Config{Store: s, Audit: host.Audit{Signer: k, Public: k.Public(), Keep: 30 * 24 * time.Hour}})
			for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
				leaves, err := b.h.Audit.List(t.Context(), audit.Filter{Action: "audit.forget", Limit: 1})
				must(err)
				if len(leaves) == 1 {
					break
				}
				if time.Now().After(deadline) {
					t.Fatal("nothing was forgotten")
				}
			}
			for tenant, hashes := range map[string]int64{"": 2, "ten_1": 2} {
				var out bytes.Buffer
				_, err := b.h.Audit.Checkpoint(t.Context())
				must(err)
				must(b.h.Audit.Export(t.Context(), &out, tenant))
				for text, there := range map[string]bool{`\"action\":\"a\"`: false, `\"action\":\"b\"`: false, `\"action\":\"c\"`: true, transcript.KeyAction: true} {
					if strings.Contains(out.String(), text) != there {
						t.Errorf("of %q: that it has %s is %t", tenant, text, !there)
					}
				}
				got, err := transcript.Verify(&out, transcript.Options{Keys: []note.Verifier{k.Public()}})
				if err != nil || !got.Sound() || got.Hashes != hashes || got.Leaves < 4 {
					t.Errorf("of %q: got %+v, %v, want a log that is sound, with %d hashes", tenant, got, err, hashes)
				}
			}
		})
	}
}

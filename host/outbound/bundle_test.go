package outbound_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/cofferdam-run/cofferdam/host/destination"
	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/ident"
	"github.com/cofferdam-run/cofferdam/host/notice"
	"github.com/cofferdam-run/cofferdam/host/outbound"
	"github.com/cofferdam-run/cofferdam/host/store"
	"github.com/cofferdam-run/cofferdam/host/store/postgres"
	"github.com/cofferdam-run/cofferdam/host/store/postgres/postgrestest"
	"github.com/cofferdam-run/cofferdam/host/store/sqlite"
	"github.com/cofferdam-run/cofferdam/host/telemetry"
	"github.com/cofferdam-run/cofferdam/host/tenant"
	"github.com/cofferdam-run/cofferdam/host/vault"
	"github.com/cofferdam-run/cofferdam/host/vault/keyfile"
	"github.com/cofferdam-run/cofferdam/host/webhook/signature"
)

func TestMain(m *testing.M) { postgrestest.Main(m) }

const (
	acme  = "ten_01J00000000000000000000000"
	other = "ten_01J00000000000000000000001"
)

// noon is a Monday.
var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// bundle is a store with two tenants, and a process that sends. Nothing passes but what a
// test advances.
type bundle struct {
	store.Store
	*outbound.Sender

	vault        *vault.Vault
	destinations *destination.Destinations
	us           atomic.Int64
	spans        *tracetest.InMemoryExporter
}

func (b *bundle) now() time.Time          { return time.UnixMicro(b.us.Load()).UTC() }
func (b *bundle) advance(d time.Duration) { b.us.Add(d.Microseconds()) }

type opener func(testing.TB, func() time.Time) (store.Store, error)

func openSQLite(tb testing.TB, now func() time.Time) (store.Store, error) {
	tb.Helper()
	return sqlite.Open(tb.Context(), filepath.Join(tb.TempDir(), "test.db"), sqlite.Options{Now: now})
}

func openPostgres(tb testing.TB, now func() time.Time) (store.Store, error) {
	tb.Helper()
	return postgres.Open(tb.Context(), postgrestest.DSN(tb), postgres.Options{Now: now})
}

// onBoth runs a test on both databases.
func onBoth(t *testing.T, test func(t *testing.T, b *bundle)) {
	t.Helper()
	for name, open := range map[string]opener{"sqlite": openSQLite, "postgres": openPostgres} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, setup(t, open))
		})
	}
}

func setup(tb testing.TB, open opener) *bundle {
	tb.Helper()
	b := &bundle{spans: tracetest.NewInMemoryExporter()}
	b.us.Store(noon.UnixMicro())
	s, err := open(tb, b.now)
	must(tb, err)
	tb.Cleanup(func() { must(tb, s.Close()) })
	_, _, err = s.Migrate(tb.Context())
	must(tb, err)
	keeper, err := keyfile.Ephemeral()
	must(tb, err)
	b.Store, b.vault = s, vault.Configured(vault.Config{Store: s, Keeper: keeper, Now: b.now, Logger: slog.New(slog.DiscardHandler)})
	s.SealWith(b.vault)
	for id, name := range map[string]string{acme: "acme", other: "other"} {
		must(tb, s.InsertTenant(tb.Context(), tenant.Tenant{
			ID: id, Name: name, Limits: tenant.Limits{Running: 10, Weight: 1}, State: tenant.Active, CreatedAt: noon,
		}))
	}
	b.destinations, b.Sender = b.process(s, "wrk_1", nil)
	return b
}

// process is what a process has on a store.
func (b *bundle) process(s store.Store, name string, change func(*outbound.Config)) (*destination.Destinations, *outbound.Sender) {
	d := destination.New(destination.Config{Store: s, Vault: b.vault, Now: b.now})
	c := outbound.Config{
		Store: s, Destinations: d, Transport: http.DefaultTransport, Holder: name, Now: b.now,
		Jitter: func(d time.Duration) time.Duration { return d },
		After:  func(time.Duration) <-chan time.Time { return nil },
		Tracer: telemetry.New(telemetry.Config{Provider: sdktrace.NewTracerProvider(sdktrace.WithSyncer(b.spans))}),
	}
	if change != nil {
		change(&c)
	}
	return d, outbound.New(c)
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// record stores a record as an execution would.
func (b *bundle) record(tb testing.TB, tenant, name, body string) string {
	tb.Helper()
	id := ident.New(ident.Event, b.now())
	_, err := b.Accept(tb.Context(), event.Event{
		ID: id, Tenant: tenant, Installation: "ins_1", Kind: event.Record, Name: name, Source: "ins_1", DedupeKey: id,
		Body: []byte(body), ReceivedAt: b.now(),
	}, nil)
	must(tb, err)
	return id
}

func (b *bundle) notice(tb testing.TB, tenant, subject string) string {
	tb.Helper()
	id := ident.New(ident.Notice, b.now())
	first, err := b.InsertNotice(tb.Context(), notice.Notice{
		ID: id, Tenant: tenant, Kind: notice.ConnectionBroken, Subject: subject, Connection: "con_1", At: b.now(), CreatedAt: b.now(),
	})
	must(tb, err)
	if !first {
		tb.Fatalf("%q was told before", subject)
	}
	return id
}

// due sends what is due.
func (b *bundle) due(tb testing.TB) time.Duration {
	tb.Helper()
	pause, err := b.SendDue(tb.Context())
	must(tb, err)
	return pause
}

func (b *bundle) only(tb testing.TB, owner string, d destination.Destination) outbound.Delivery {
	tb.Helper()
	all, err := b.List(tb.Context(), owner, d.ID, outbound.Filter{})
	must(tb, err)
	if len(all) != 1 {
		tb.Fatalf("got %d deliveries, want one: %+v", len(all), all)
	}
	return all[0]
}

// arrived is a request that a receiver got.
type arrived struct {
	ID, Type string
	At       time.Time
	Body     []byte
	Header   http.Header
}

// receiver is a host app's: it verifies what it gets as its own library would.
type receiver struct {
	*httptest.Server

	b       *bundle
	secrets []string
	answer  atomic.Pointer[http.HandlerFunc]

	mu  sync.Mutex
	got []arrived
}

func (b *bundle) receiver(tb testing.TB) *receiver {
	tb.Helper()
	r := &receiver{b: b}
	r.answers(http.StatusNoContent)
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		body, err := io.ReadAll(q.Body)
		if err != nil {
			tb.Error(err)
		}
		r.keep(tb, q, body)
		(*r.answer.Load())(w, q)
	}))
	tb.Cleanup(r.Close)
	return r
}

func (r *receiver) keep(tb testing.TB, q *http.Request, body []byte) {
	tb.Helper()
	scheme, err := signature.Find(destination.Scheme)
	if err != nil {
		tb.Error(err)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	_, err = scheme.Verify(context.Background(), signature.Case{ //nolint:usetesting // A request outlives no test.
		Request: signature.Request{Method: q.Method, Header: q.Header, Body: body}, Secrets: r.secrets, Now: r.b.now(),
	})
	if err != nil {
		tb.Errorf("what arrived does not verify: %v", err)
	}
	if !r.peer(tb, q.Header, body) {
		tb.Error("what arrived does not verify as Standard Webhooks' own library does it")
	}
	var m struct{ Type string }
	if err := json.Unmarshal(body, &m); err != nil {
		tb.Error(err)
	}
	r.got = append(r.got, arrived{ID: q.Header.Get("Webhook-Id"), Type: m.Type, At: r.b.now(), Body: body, Header: q.Header.Clone()})
}

// peer verifies as those do who take Standard Webhooks' own library.
func (r *receiver) peer(tb testing.TB, header http.Header, body []byte) bool {
	tb.Helper()
	for _, secret := range r.secrets {
		theirs, err := standardwebhooks.NewWebhook(secret)
		if err != nil {
			tb.Error(err)
			return false
		}
		if theirs.VerifyIgnoringTimestamp(body, header) == nil { // The test's time is not its.
			return true
		}
	}
	return false
}

func (r *receiver) answers(status int, header ...string) {
	r.answersWith(func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, "answered "+strconv.Itoa(status))
	})
}

func (r *receiver) answersWith(f http.HandlerFunc) { r.answer.Store(&f) }

// all is what has arrived until now.
func (r *receiver) all() []arrived {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]arrived(nil), r.got...)
}

// ids are those of what has arrived, in that order.
func (r *receiver) ids() []string {
	ids := []string{}
	for _, a := range r.all() {
		ids = append(ids, a.ID)
	}
	return ids
}

// listens makes a destination of a receiver.
func (r *receiver) listens(tb testing.TB, owner string, ordered bool, kinds ...string) destination.Destination {
	tb.Helper()
	d, secret, err := r.b.destinations.Create(tb.Context(), owner, destination.Spec{
		Name: "d" + strconv.FormatInt(time.Now().UnixNano(), 36), URL: r.URL + "/hooks", Kinds: kinds, Ordered: ordered,
	})
	must(tb, err)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.secrets = append(r.secrets, secret)
	return d
}

package egress_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdam-run/cofferdam/hostfns"
	"github.com/cofferdam-run/cofferdam/hostfns/egress"
	"github.com/cofferdam-run/cofferdam/runtime"
)

// account is one connection, whose token is sent.
type account string

func (a account) Apply(_ context.Context, name string, r *http.Request) ([]string, error) {
	return bearer(name, r)
}

func (a account) Account(name string) string {
	if name != "bank" {
		return ""
	}
	return string(a)
}

func (b testBundle) idempotent(more ...egress.Rule) *egress.Session {
	return b.egress.Session(egress.Permissions{
		Rules:       append(more, rule(b.host)),
		Credentials: account("con_1"),
		Idempotency: []egress.IdempotencyRule{{Host: "{broken}", Header: "X-Broken", TTL: time.Hour}, {Host: b.host, Header: "X-Idem", TTL: 24 * time.Hour}},
		NotDone:     []egress.NotDoneRule{{Host: "{broken}", Status: []int{500}}, {Host: b.host, Status: []int{409, 503}}},
	})
}

// keyed makes a request whose crossing has a key, and gives what the guest reads.
func keyed(t *testing.T, s *egress.Session, key string, request map[string]any) string {
	t.Helper()
	raw, err := json.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	gate := hostfns.NewGate(hostfns.GateConfig{
		Funcs: s.Funcs(), Now: func() time.Time { return time.Time{} },
		Layers: []hostfns.Layer{func(next hostfns.Handler) hostfns.Handler {
			return func(ctx context.Context, c runtime.Crossing) (json.RawMessage, error) {
				hostfns.SetKey(ctx, key)
				return next(ctx, c)
			}
		}},
	})
	a, err := gate.Call(t.Context(), runtime.Crossing{Func: "http", Request: raw})
	if err != nil {
		t.Fatal(err)
	}
	return string(a.Response)
}

func with(request, more map[string]any) map[string]any {
	request = maps.Clone(request)
	maps.Copy(request, more)
	return request
}

func TestKeyGoesIntoTheDeclaredHeader(t *testing.T) {
	t.Parallel()
	b := setup(t, func(w http.ResponseWriter, r *http.Request) {
		if to := r.URL.Query().Get("to"); to != "" {
			http.Redirect(w, r, to, http.StatusPermanentRedirect)
			return
		}
		if r.URL.Path == "/created" {
			http.Redirect(w, r, "/end", http.StatusSeeOther)
			return
		}
		fmt.Fprintf(w, "%s %q", r.Method, r.Header.Values("X-Idem"))
	}, nil)
	other := setup(t, mirror, nil)
	url := "https://" + b.host
	tests := map[string]struct {
		request map[string]any
		key     string
		want    string
	}{
		"of what must not be made twice": {map[string]any{"method": "POST", "url": url}, "exe_1/h-a-1", `POST [\"exe_1/h-a-1\"]`},
		"of what the guest has named":    {map[string]any{"method": "PUT", "url": url, "idempotency_key": "a"}, "exe_1/a", `PUT [\"exe_1/a\"]`},
		"not of a read":                  {map[string]any{"method": "GET", "url": url}, "exe_1/a", `GET []`},
		"not without one":                {map[string]any{"method": "POST", "url": url}, "", `POST []`},
		"not where the answer is":        {map[string]any{"method": "POST", "url": url + "/created", "idempotency_key": "b"}, "exe_1/b", `GET []`},
		"after a redirect":               {map[string]any{"method": "POST", "url": url + "?to=/end"}, "exe_1/b", `POST [\"exe_1/b\"]`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := keyed(t, b.idempotent(), test.key, test.request); !strings.Contains(got, test.want) {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
	t.Run("not elsewhere", func(t *testing.T) {
		t.Parallel()
		s := other.egress.Session(egress.Permissions{
			Rules: []egress.Rule{rule(other.host)}, Idempotency: []egress.IdempotencyRule{{Host: b.host, Header: "X-Idem"}},
		})
		if got := keyed(t, s, "exe_1/a", map[string]any{"method": "POST", "url": "https://" + other.host}); strings.Contains(got, "exe_1/a") {
			t.Errorf("another host got the key: %s", got)
		}
	})
}

func TestHTTPRefusesKeys(t *testing.T) {
	t.Parallel()
	b := setup(t, func(http.ResponseWriter, *http.Request) { t.Error("it was reached") }, nil)
	post := map[string]any{"method": "POST", "url": "https://" + b.host}
	tests := map[string]struct {
		session *egress.Session
		request map[string]any
		want    string
	}{
		"of a host that takes none": {b.session(), with(post, map[string]any{"idempotency_key": "a"}), `name the host under "idempotency"`},
		"of a read":                 {b.idempotent(), map[string]any{"method": "GET", "url": "https://" + b.host, "idempotency_key": "a"}, "this is a GET: leave it out"},
		"that are too long":         {b.idempotent(), with(post, map[string]any{"idempotency_key": strings.Repeat("a", 129)}), "of 129 bytes: it must be 1 to 128 visible ASCII characters"},
		"like the host's":           {b.idempotent(), with(post, map[string]any{"idempotency_key": "h-1"}), "names that begin with h- are those of keys that the host makes"},
		"with a space":              {b.idempotent(), with(post, map[string]any{"idempotency_key": "a b"}), "visible ASCII"},
		"with a line break":         {b.idempotent(), with(post, map[string]any{"idempotency_key": "a\r\nX: y"}), "visible ASCII"},
		"with an umlaut":            {b.idempotent(), with(post, map[string]any{"idempotency_key": "ü"}), "visible ASCII"},
		"in the header itself": {
			b.idempotent(), with(post, map[string]any{"headers": map[string]any{"x-idem": []string{"mine"}}}),
			`the header "x-idem" is set by the host, as the manifest's "idempotency" says: use "idempotency_key"`,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			wantError(t, test.session, test.request, hostfns.CodeInvalidRequest, test.want)
		})
	}
}

func TestMark(t *testing.T) {
	t.Parallel()
	b := setup(t, mirror, nil)
	url := "https://" + b.host
	const day = 24 * time.Hour
	post := map[string]any{"method": "POST", "url": url + "/charges", "body": "amount=1"}
	same := markOf(t, b.idempotent(), post).Same
	if len(same) != 32 {
		t.Fatalf("what is the same is %q", same)
	}
	tests := map[string]struct {
		request map[string]any
		want    hostfns.Mark
	}{
		"a request":                {post, hostfns.Mark{Host: b.host, Keyed: true, Same: same, TTL: day}},
		"its headers do not count": {with(post, map[string]any{"headers": map[string]any{"date": []string{"now"}}, "timeout_ms": 5}), hostfns.Mark{Host: b.host, Keyed: true, Same: same, TTL: day}},
		"another spelling":         {with(post, map[string]any{"method": "post", "url": "HTTPS://" + b.host + "/charges#x"}), hostfns.Mark{Host: b.host, Keyed: true, Same: same, TTL: day}},
		"one with a name":          {with(post, map[string]any{"idempotency_key": "charge"}), hostfns.Mark{Host: b.host, Keyed: true, Name: "charge", Same: same, TTL: day}},
		"with an account":          {with(post, map[string]any{"connection": "bank"}), hostfns.Mark{Host: b.host, Keyed: true, Same: same, TTL: day, Account: "con_1"}},
		"with none":                {with(post, map[string]any{"connection": "other"}), hostfns.Mark{Host: b.host, Keyed: true, Same: same, TTL: day}},
		"a read":                   {map[string]any{"method": "GET", "url": url, "connection": "bank"}, hostfns.Mark{Host: b.host, Account: "con_1"}},
		"what may be made again":   {map[string]any{"method": "PUT", "url": url}, hostfns.Mark{Host: b.host}},
		"another host":             {map[string]any{"method": "POST", "url": "https://elsewhere.example"}, hostfns.Mark{Host: "elsewhere.example"}},
		"no request":               {map[string]any{"method": 7}, hostfns.Mark{}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(test.want, markOf(t, b.idempotent(), test.request)); diff != "" {
				t.Errorf("mark (-want +got):\n%s", diff)
			}
		})
	}
	for name, change := range map[string]map[string]any{
		"another method": {"method": "PATCH"}, "another URL": {"url": url + "/refunds"}, "another body": {"body": "amount=2"}, "no body": {"body": nil},
	} {
		if got := markOf(t, b.idempotent(), with(post, change)); got.Same == same {
			t.Errorf("%s makes no difference", name)
		}
	}
	if got := markOf(t, b.with(bearer), with(post, map[string]any{"connection": "bank"})); got != (hostfns.Mark{Host: b.host}) {
		t.Errorf("of credentials without accounts: %+v", got)
	}
}

func TestWhatWasMarkedIsNotSentForAnother(t *testing.T) {
	t.Parallel()
	b := setup(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Method, r.URL.Path) }, nil)
	s := b.idempotent()
	post := map[string]any{"method": "POST", "url": "https://" + b.host + "/marked"}
	raw, err := json.Marshal(post)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Funcs()[0].Mark(t.Context(), raw); err != nil {
		t.Fatal(err)
	}
	clear(raw) // A guest's memory is its own again after the call.
	for _, request := range []map[string]any{with(post, map[string]any{"method": "PUT"}), post, get("https://" + b.host + "/got")} {
		want := request["method"].(string) + strings.TrimPrefix(request["url"].(string), "https://"+b.host)
		markOf(t, s, post)
		for range 2 {
			if got := must(t, s, request).text(); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		}
	}
}

// markOf asks as the gate does.
func markOf(t *testing.T, s *egress.Session, request map[string]any) hostfns.Mark {
	t.Helper()
	raw, err := json.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	m, err := s.Funcs()[0].Mark(t.Context(), raw)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestOutcomesThatAreDeclared(t *testing.T) {
	t.Parallel()
	b := setup(t, func(w http.ResponseWriter, r *http.Request) {
		var status int
		if _, err := fmt.Sscanf(r.URL.Path, "/%d", &status); err != nil {
			t.Error(err)
		}
		w.Header().Set("Location", "https://127.0.0.1:1/")
		w.WriteHeader(status)
	}, nil)
	const done, notDone, unknown = hostfns.Done, hostfns.NotDone, hostfns.Unknown
	tests := map[string]struct {
		status     int
		connection string
		want       hostfns.Outcome
	}{
		"declared":                       {409, "", notDone},
		"declared of a server's error":   {503, "", notDone},
		"not declared":                   {500, "", unknown},
		"a credential that was refused":  {401, "bank", notDone},
		"no credential":                  {401, "", done},
		"what the credential may not do": {403, "bank", done},
		"too many requests":              {429, "", notDone},
		"a redirect to nowhere":          {308, "", notDone},
		"a redirect from what was done":  {303, "", done},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			request := map[string]any{"method": "POST", "url": fmt.Sprintf("https://%s/%d", b.host, test.status), "connection": test.connection}
			got := toldOf(t, b.idempotent(rule("127.0.0.1:1")).Funcs(), request)
			if want := (told{hostfns.Unsafe, test.want}); got != want {
				t.Errorf("got %s, %s, want %s, %s", got.effect, got.outcome, want.effect, want.outcome)
			}
		})
	}
}

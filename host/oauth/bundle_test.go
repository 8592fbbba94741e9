package oauth_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log" //nolint:depguard // net/http takes no other.
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/host/oauth"
	"github.com/cofferdam-run/cofferdam/host/oauth/oauthtest"
)

const redirectURI = "https://cofferdam.example/oauth/callback"

// clientSecret has what every encoding treats in its own way.
const clientSecret = "s:cret%+/ ü&="

func starter() oauth.Starter { return oauth.Starter{Tenant: "ten_a", Session: "session-a"} }

// testBundle is a client, and a server that answers as a test says.
type testBundle struct {
	client   *oauth.Client
	flows    *oauthtest.Flows
	server   *httptest.Server
	clock    *clock
	requests *requests
}

// clock stands still unless it is told otherwise.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// requests are those that a server got.
type requests struct {
	mu  sync.Mutex
	all []got
}

type got struct {
	*http.Request
	params url.Values
}

func (r *requests) add(g got) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, g)
}

func (r *requests) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.all)
}

func (r *requests) last(t *testing.T) got {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.all) == 0 {
		t.Fatal("the server was asked nothing")
	}
	return r.all[len(r.all)-1]
}

// quiet is for servers on which connections are broken on purpose.
func quiet() *log.Logger { return slog.NewLogLogger(slog.DiscardHandler, slog.LevelError) }

type option func(*oauth.Config)

// setup starts a server that answers all requests with answer, by the client's clock.
func setup(t *testing.T, answer http.HandlerFunc, options ...option) *testBundle {
	t.Helper()
	b := &testBundle{flows: &oauthtest.Flows{}, clock: &clock{now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}, requests: &requests{}}
	b.server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		params, _ := url.ParseQuery(string(body))
		b.requests.add(got{r, params})
		r.Body = io.NopCloser(bytes.NewReader(body))
		w.Header().Set("Date", b.clock.Now().Format(http.TimeFormat))
		answer(w, r)
	}))
	b.server.Config.ErrorLog = quiet()
	b.server.StartTLS()
	t.Cleanup(b.server.Close)
	config := oauth.Config{Transport: b.server.Client().Transport, Flows: b.flows, Now: b.clock.Now}
	for _, o := range options {
		o(&config)
	}
	var err error
	if b.client, err = oauth.New(config); err != nil {
		t.Fatal(err)
	}
	return b
}

// registration is a client at the bundle's server.
func (b *testBundle) registration() oauth.Registration {
	return oauth.Registration{
		Provider: "acme", ClientID: "client:1", Secret: oauth.Secret{ClientSecret: clientSecret},
		RedirectURI: redirectURI, Scopes: []string{"read", "write"},
		Endpoints: oauth.Endpoints{
			Issuer: b.server.URL, Authorization: b.server.URL + "/authorize", Token: b.server.URL + "/token",
			Revocation: b.server.URL + "/revoke", Introspection: b.server.URL + "/introspect", DeviceAuthorization: b.server.URL + "/device",
		},
	}
}

func (b *testBundle) begin(t *testing.T, r oauth.Registration) oauth.Begun {
	t.Helper()
	begun, err := b.client.Begin(t.Context(), r, starter(), "con_1")
	if err != nil {
		t.Fatal(err)
	}
	return begun
}

// arrive plays the browser: it begins a flow and comes back with a code.
func (b *testBundle) arrive(t *testing.T, r oauth.Registration) oauth.Arrived {
	t.Helper()
	begun := b.begin(t, r)
	arrived, err := b.client.Accept(t.Context(), starter(), redirectURI, url.Values{"code": {"the-c0de-itself"}, "state": {begun.State}})
	if err != nil {
		t.Fatal(err)
	}
	return arrived
}

// exchange does all of a flow.
func (b *testBundle) exchange(t *testing.T, r oauth.Registration) (oauth.Token, error) {
	t.Helper()
	return b.client.Exchange(t.Context(), r, b.arrive(t, r))
}

// query are the parameters of an authorization request.
func query(t *testing.T, begun oauth.Begun) url.Values {
	t.Helper()
	u, err := url.Parse(begun.URL)
	if err != nil {
		t.Fatal(err)
	}
	return u.Query()
}

// says answers with a status and JSON.
func says(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// gives answers with a token, and with further fields over it.
func gives(over string) http.HandlerFunc {
	answer := map[string]json.RawMessage{
		"access_token": []byte(`"at-1"`), "token_type": []byte(`"Bearer"`), "expires_in": []byte(`3600`), "refresh_token": []byte(`"rt-1"`),
	}
	if over != "" {
		if err := json.Unmarshal([]byte(over), &answer); err != nil {
			panic(err) // The test itself is wrong.
		}
	}
	for name, v := range answer {
		if string(v) == "null" {
			delete(answer, name)
		}
	}
	body, _ := json.Marshal(answer)
	return says(http.StatusOK, string(body))
}

// wantError checks the code of an error, that it says what to do, and that nothing
// secret is in it.
func wantError(t *testing.T, err error, code string) *oauth.Error {
	t.Helper()
	e, ok := errors.AsType[*oauth.Error](err)
	if !ok {
		t.Fatalf("got %v, want an *oauth.Error of %s", err, code)
	}
	if e.Code != code {
		t.Errorf("got the code %s (%v), want %s", e.Code, err, code)
	}
	if e.Hint == "" {
		t.Errorf("%s says nothing of what to do", e.Code)
	}
	shown := fmt.Sprintf("%v %+v %#v %s %v", err, *e, e, e.Fault().Error(), string(e.Fault().Details))
	for _, secret := range []string{clientSecret, url.QueryEscape(clientSecret), "the-c0de-itself", "rt-secret", "at-secret", "BEGIN PRIVATE"} {
		if strings.Contains(shown, secret) {
			t.Errorf("the error has %q: %s", secret, shown)
		}
	}
	return e
}

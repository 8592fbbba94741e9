package oauth_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/oauth"
)

func TestTokenRequestsAreSentAsTheProviderHasThem(t *testing.T) {
	t.Parallel()
	fields := map[string]string{"grant_type": "refresh_token", "refresh_token": "rt-0"}
	for name, tt := range map[string]struct {
		wire   oauth.Wire
		method string
		query  map[string]string
		body   string
		header map[string]string
	}{
		"a form": {oauth.Wire{}, "POST", nil, "grant_type=refresh_token&refresh_token=rt-0", map[string]string{"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}},
		"JSON": {
			oauth.Wire{Body: "json", Headers: map[string]string{"Notion-Version": "2022-06-28"}},
			"POST", nil,
			`{"grant_type":"refresh_token","refresh_token":"rt-0"}`,
			map[string]string{"Content-Type": "application/json", "Notion-Version": "2022-06-28"},
		},
		"the query":      {oauth.Wire{Body: "query"}, "POST", fields, "", map[string]string{"Content-Type": ""}},
		"GET":            {oauth.Wire{Method: "GET"}, "GET", fields, "", map[string]string{"Content-Type": ""}},
		"other names":    {oauth.Wire{Rename: map[string]string{"refresh_token": "old_token"}}, "POST", nil, "grant_type=refresh_token&old_token=rt-0", nil},
		"refreshes only": {oauth.Wire{Body: "json", RefreshBody: "form", RefreshMethod: "POST", Method: "GET"}, "POST", nil, "grant_type=refresh_token&refresh_token=rt-0", nil},
		"a refresh of the access token": {
			oauth.Wire{RefreshGrant: "ig_refresh_token", RefreshAs: "access_token"}, "POST", nil, "access_token=rt-0&grant_type=ig_refresh_token", nil,
		},
		"further parameters": {
			oauth.Wire{RefreshParameters: map[string]string{"expires_in": "60", "grant_type": "mine"}, TokenParameters: map[string]string{"x": "y"}},
			"POST", nil,
			"expires_in=60&grant_type=refresh_token&refresh_token=rt-0", nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var body string
			b := setup(t, func(w http.ResponseWriter, r *http.Request) {
				read, _ := io.ReadAll(r.Body)
				body = string(read)
				gives("")(w, r)
			})
			r := b.registration()
			r.Endpoints.Refresh = b.server.URL + "/refresh?v=2"
			r.Wire = tt.wire
			if _, err := b.client.Refresh(t.Context(), r, "rt-0"); err != nil {
				t.Fatal(err)
			}
			sent := b.requests.last(t)
			query := url.Values{"v": {"2"}}
			for name, v := range tt.query {
				query.Set(name, v)
			}
			if diff := cmp.Diff(query, sent.URL.Query()); diff != "" || sent.Method != tt.method || sent.URL.Path != "/refresh" {
				t.Errorf("%s %s: -want +got:\n%s", sent.Method, sent.URL.Path, diff)
			}
			want, _ := url.ParseQuery(tt.body)
			got, _ := url.ParseQuery(body)
			if body != tt.body && (strings.HasPrefix(tt.body, "{") || !cmp.Equal(want, got)) {
				t.Errorf("got %s, want %s", body, tt.body)
			}
			for name, want := range tt.header {
				if got := sent.Header.Get(name); got != want {
					t.Errorf("%s: got %q, want %q", name, got, want)
				}
			}
		})
	}
}

func TestAClientWithItsOwnNames(t *testing.T) {
	t.Parallel()
	b := setup(t, gives(`{"access_token":null,"data":{"token":"at-2","until":1772370000,"rt":"rt-2","rt_in":"7200"}}`))
	r := b.registration()
	r.Wire = oauth.Wire{
		TokenAuth: "client_secret_post", Rename: map[string]string{"client_id": "client_key"}, CodeParameter: "auth_code",
		Answer: oauth.Answer{AccessToken: "/data/token", ExpiresIn: "/data/until", Unit: "absolute", RefreshToken: "/data/rt", RefreshExpiresIn: "/data/rt_in"},
	}
	begun := b.begin(t, r)
	if q := query(t, begun); q.Get("client_key") != "client:1" || q.Has("client_id") {
		t.Errorf("got %v", q)
	}
	arrived, err := b.client.Accept(t.Context(), starter(), redirectURI, url.Values{"auth_code": {"c"}, "state": {begun.State}})
	if err != nil {
		t.Fatal(err)
	}
	token, err := b.client.Exchange(t.Context(), r, arrived)
	if err != nil || token.Access != "at-2" || token.Refresh != "rt-2" || !token.ExpiresAt.Equal(b.clock.Now().Add(time.Hour)) {
		t.Errorf("got %s, %v", token.ExpiresAt, err)
	}
	if sent := b.requests.last(t).params; sent.Get("client_key") != "client:1" || sent.Has("client_id") || sent.Get("code") != "c" {
		t.Errorf("got %v", sent)
	}
	arrived.Values.Del("auth_code")
	_, err = b.client.Exchange(t.Context(), r, arrived)
	wantError(t, err, "callback_invalid")
}

func TestLifetimesInTheProvidersUnit(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		unit, said string
		want       time.Duration
	}{
		{"ms", "1800000", 30 * time.Minute},
		{"absolute", "1772370000", time.Hour},
		{"absolute", `"2026-03-01T13:00:00Z"`, time.Hour},
		{"absolute", `"2026-03-01T14:00:00+01:00"`, time.Hour},
		{"absolute", "1e18", 10 * 365 * 24 * time.Hour},
		{"absolute", `"soon"`, 0},
		{"none", "3600", 0},
	} {
		b := setup(t, gives(`{"expires_in":`+tt.said+`}`))
		r := b.registration()
		r.Wire.Answer.Unit = tt.unit
		token, err := b.client.Refresh(t.Context(), r, "rt")
		got := token.ExpiresAt.Sub(b.clock.Now())
		if token.ExpiresAt.IsZero() {
			got = 0
		}
		if err != nil || got != tt.want {
			t.Errorf("%s %s: got %s, %v, want %s", tt.said, tt.unit, got, err, tt.want)
		}
	}
}

func TestTimesOfTheServersAreByOurClock(t *testing.T) {
	t.Parallel()
	for header, want := range map[string]time.Duration{
		"Sun, 01 Mar 2026 12:10:00 GMT": 10 * time.Minute, "Sun, 01 Mar 2026 11:00:00 GMT": -time.Hour, "Sun, 01 Mar 2026 12:00:01 GMT": 0, "": 0, "yesterday": 0,
	} {
		b := setup(t, nil)
		b.server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header()["Date"] = []string{header}
			gives(`{"expires_in":1772370000}`)(w, r)
		})
		r := b.registration()
		r.Wire.Answer.Unit = "absolute"
		token, err := b.client.Refresh(t.Context(), r, "rt")
		if got := token.Skew; err != nil || (got-want).Abs() > time.Second {
			t.Errorf("%s: got %s, %v, want %s", header, got, err, want)
		}
		if left := token.ExpiresAt.Sub(b.clock.Now()); (left - (time.Hour - want)).Abs() > time.Second {
			t.Errorf("%s: it expires in %s, want %s", header, left, time.Hour-want)
		}
	}
}

func TestACallbackThatTheProviderSigns(t *testing.T) {
	t.Parallel()
	b := setup(t, gives(""))
	r := b.registration()
	r.Wire.CallbackHMAC = "hmac"
	sign := func(key string, values url.Values) url.Values {
		sum := hmac.New(sha256.New, []byte(key))
		sum.Write([]byte("code=" + values.Get("code") + "&shop=" + values.Get("shop") + "&state=" + values.Get("state")))
		values.Set("hmac", hex.EncodeToString(sum.Sum(nil)))
		return values
	}
	for name, tt := range map[string]struct {
		change func(url.Values)
		ok     bool
	}{
		"as it was sent":    {func(url.Values) {}, true},
		"of another shop":   {func(v url.Values) { v.Set("shop", "evil.myshopify.com") }, false},
		"with more":         {func(v url.Values) { v.Set("a", "b") }, false},
		"without the HMAC":  {func(v url.Values) { v.Del("hmac") }, false},
		"of another secret": {func(v url.Values) { sign("x", v) }, false},
	} {
		values := sign(clientSecret, url.Values{"code": {"c"}, "shop": {"north.myshopify.com"}, "state": {b.begin(t, r).State}})
		tt.change(values)
		arrived, err := b.client.Accept(t.Context(), starter(), redirectURI, values)
		if err != nil {
			t.Fatal(err)
		}
		if _, err = b.client.Exchange(t.Context(), r, arrived); (err == nil) != tt.ok {
			t.Errorf("%s: got %v", name, err)
		}
		if !tt.ok {
			wantError(t, err, "callback_invalid")
		}
	}
}

func TestWhenToTryAgain(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		status     int
		after      string
		body       string
		code       string
		retryAfter time.Duration
		class      fault.Class
	}{
		{429, "30", "", "rate_limited", 30 * time.Second, fault.RateLimited},
		{429, "0.5", `{"error":"slow"}`, "rate_limited", 500 * time.Millisecond, fault.RateLimited},
		{503, "Sun, 01 Mar 2026 12:05:00 GMT", "<html>", "server_error", 5 * time.Minute, fault.Upstream},
		{503, "99999999", `{"error":"temporarily_unavailable","error_description":"soon"}`, "temporarily_unavailable", time.Hour, fault.Upstream},
		{408, "", "", "temporarily_unavailable", 0, fault.Upstream},
		{500, "-5", "", "server_error", 0, fault.Upstream},
		{502, "later", `{"error":"invalid_grant"}`, "server_error", 0, fault.Upstream}, // Of a proxy that is lost; nothing is given up for it.
		{400, "10", `{"error":"temporarily_unavailable"}`, "temporarily_unavailable", 10 * time.Second, fault.Upstream},
		{400, "", `{"error":"invalid_grant"}`, "invalid_grant", 0, fault.Auth},
		{401, "", `{"error":"invalid_client"}`, "invalid_client", 0, fault.Auth},
		{403, "", `{"message":"no"}`, "refused", 0, fault.Auth},
		{400, "", `{"error":"invalid_scope"}`, "invalid_scope", 0, fault.InvalidInput},
		{400, "", `{"error":"in valid"}`, "refused", 0, fault.Auth},
		{200, "", `<html>`, "answer_invalid", 0, fault.ContractChanged},
	} {
		b := setup(t, func(w http.ResponseWriter, r *http.Request) {
			if tt.after != "" {
				w.Header().Set("Retry-After", tt.after)
			}
			says(tt.status, tt.body)(w, r)
		})
		_, err := b.client.Refresh(t.Context(), b.registration(), "rt-secret")
		e := wantError(t, err, tt.code)
		retryable := tt.class == fault.Upstream || tt.class == fault.RateLimited
		if e.RetryAfter != tt.retryAfter || e.Status != tt.status || e.Retryable != retryable {
			t.Errorf("%d %s: got %+v", tt.status, tt.body, e)
		}
		f := fault.From(err)
		var details map[string]string
		if json.Unmarshal(f.Details, &details) != nil || f.Class != tt.class || f.RetryAfter != tt.retryAfter || details["oauth_error"] != tt.code || f.Hint == "" {
			t.Errorf("%d %s: got the fault %+v", tt.status, tt.body, f)
		}
		if !errors.Is(f, err) {
			t.Error("the fault has no cause")
		}
	}
}

func TestARegistrationThatCannotWorkSaysWhy(t *testing.T) {
	t.Parallel()
	b := setup(t, gives(""))
	for want, change := range map[string]func(*oauth.Registration){
		"no client id":               func(r *oauth.Registration) { r.ClientID = "" },
		"no client secret":           func(r *oauth.Registration) { r.Secret.ClientSecret = "" },
		"no token endpoint":          func(r *oauth.Registration) { r.Endpoints.Token = "" },
		"token_endpoint_auth_method": func(r *oauth.Registration) { r.Wire.TokenAuth = "hmac" },
		"token_request_body":         func(r *oauth.Registration) { r.Wire.RefreshBody = "xml" },
		"token_request_method":       func(r *oauth.Registration) { r.Wire.Method = "PUT" },
		"expires_unit":               func(r *oauth.Registration) { r.Wire.Answer.Unit = "days" },
		"code_verifier":              func(r *oauth.Registration) { r.Wire.RefreshParameters = map[string]string{"code_verifier": "x"} },
		"no pair":                    func(r *oauth.Registration) { r.Secret.Certificate = "x" },
	} {
		r := b.registration()
		change(&r)
		_, err := b.client.Refresh(t.Context(), r, "rt-secret")
		if e := wantError(t, err, "registration_invalid"); !strings.Contains(e.Description, want) {
			t.Errorf("got %s, want %s", e.Description, want)
		}
	}
	_, err := b.client.Refresh(t.Context(), b.registration(), "")
	wantError(t, err, oauth.CodeInvalidGrant)
	if b.requests.count() != 0 {
		t.Error("the server was asked")
	}
	if _, err := oauth.New(oauth.Config{}); err == nil {
		t.Error("a client without a transport was made")
	}
	_, err = b.with(t, func(c *oauth.Config) { c.Flows = nil }).Begin(t.Context(), b.registration(), starter(), "")
	wantError(t, err, "registration_invalid")
}

func TestAServerThatHangsIsGivenUp(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	b := setup(t, func(http.ResponseWriter, *http.Request) { <-release })
	t.Cleanup(func() { close(release) })
	b.client = b.with(t, func(c *oauth.Config) { c.Timeout = 50 * time.Millisecond })
	_, err := b.client.Refresh(t.Context(), b.registration(), "rt-secret")
	if e := wantError(t, err, "unreachable"); !e.Retryable || e.Status != 0 || !strings.Contains(e.Description, "in time") {
		t.Errorf("got %+v", e)
	}
	if n := b.requests.count(); n > 1 { // On a busy machine its time may be over before it is asked.
		t.Errorf("it was asked %d times", n)
	}
}

func TestAGrantIsSentOnceThoughAConnectionBreaks(t *testing.T) {
	t.Parallel()
	for _, method := range []string{"POST", "GET"} {
		n := 0
		b := setup(t, func(w http.ResponseWriter, r *http.Request) {
			if n++; n > 1 { // On a connection that was kept, where net/http makes a GET again.
				panic(http.ErrAbortHandler)
			}
			gives("")(w, r)
		})
		r := b.registration()
		r.Wire.Method = method
		if _, err := b.client.Refresh(t.Context(), r, "rt-secret"); err != nil {
			t.Fatal(err)
		}
		_, err := b.client.Refresh(t.Context(), r, "rt-secret")
		wantError(t, err, "unreachable")
		if got := b.requests.count(); got != 2 {
			t.Errorf("%s: it was sent %d times", method, got-1)
		}
	}
}

func FuzzAnswers(f *testing.F) {
	for _, seed := range []string{
		`{"access_token":"a","expires_in":1e400,"scope":[1,{}],"error":null}`, `access_token=a&scope=b%2Cc`, `{"access_token":"a.e30.c"}`, `<`, `{"error":{"code":{}}}`, "\xef\xbb\xbf{}",
	} {
		f.Add(seed, "application/json", 200)
		f.Add(seed, "text/plain", 400)
	}
	f.Fuzz(func(t *testing.T, body, kind string, status int) {
		now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
		answer := roundTrip(func(r *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: status, Header: http.Header{"Content-Type": {kind}}, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
		})
		client, err := oauth.New(oauth.Config{Transport: answer, Now: func() time.Time { return now }})
		if err != nil {
			t.Fatal(err)
		}
		r := oauth.Registration{ClientID: "c", Secret: oauth.Secret{ClientSecret: "s"}, Endpoints: oauth.Endpoints{Token: "https://acme.example/token"}}
		token, err := client.Refresh(t.Context(), r, "rt-0")
		if err != nil {
			if _, ok := errors.AsType[*oauth.Error](err); !ok {
				t.Errorf("got %T", err)
			}
			return
		}
		if token.Access == "" || token.Refresh == "" || !token.ExpiresAt.IsZero() && token.ExpiresAt.After(now.Add(11*365*24*time.Hour)) || status/100 != 2 {
			t.Errorf("%d %q gave a token that is none", status, body)
		}
	})
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestAClientIsForManyAtOnce(t *testing.T) {
	t.Parallel()
	b := setup(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			publishes(openidPlace, nil)(w, r)
			return
		}
		w.Header().Set("Date", longAgo().Format(http.TimeFormat)) // So that its clock is remembered, too.
		gives("")(w, r)
	})
	done := make(chan error)
	for range 16 {
		go func() {
			_, err := b.client.Discover(t.Context(), b.server.URL)
			if err == nil {
				_, err = b.client.Refresh(t.Context(), b.registration(), "rt-0")
			}
			done <- err
		}()
	}
	for range 16 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func longAgo() time.Time { return time.Unix(0, 0).UTC() }

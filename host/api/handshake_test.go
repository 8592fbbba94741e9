package api_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/host/api"
	"github.com/cofferdam-run/cofferdam/host/webhook/descriptor"
	"github.com/cofferdam-run/cofferdam/host/webhook/signature"
)

// shaking is an endpoint of a provider, which the vendor tries.
type shaking struct {
	*bundle
	scheme       *signature.Scheme
	path, secret string
	parameters   map[string]string
}

// at makes an endpoint whose descriptor is the provider's.
func (b *bundle) at(t *testing.T, name string, parameters map[string]string) shaking {
	t.Helper()
	s, err := signature.Find(name)
	if err != nil {
		t.Fatal(err)
	}
	body := map[string]any{"installation": "hello", "webhook": "issues", "descriptor": s.Descriptor}
	if parameters != nil {
		body["parameters"] = parameters
	}
	e := b.do(t, 201, "createEndpoint", map[string]any{"tenant": "acme"}, body)
	secret, _ := e["secret"].(string)
	return shaking{b, s, e["path"].(string), secret, parameters}
}

// ask makes a request as the vendor does, signed if it is to be.
func (s shaking) ask(t *testing.T, r signature.Request, sign bool) answer {
	t.Helper()
	if sign {
		var err error
		r, err = s.scheme.Sign(signature.Outgoing{Request: r, Secret: s.secret, ID: "1", At: time.Now(), Parameters: s.parameters})
		if err != nil {
			t.Fatal(err)
		}
	}
	req, err := http.NewRequestWithContext(t.Context(), r.Method, s.url+s.path+"?"+r.Query, strings.NewReader(string(r.Body)))
	if err != nil {
		t.Fatal(err)
	}
	if r.Header != nil {
		req.Header = r.Header
	}
	return send(t, req)
}

func TestHandshakes(t *testing.T) {
	t.Parallel()
	b := setup(t, api.Options{})
	b.tenant(t, "acme")
	b.installed(t, "acme")
	post := func(body string) signature.Request {
		return signature.Request{Method: http.MethodPost, Body: []byte(body), Header: http.Header{"Content-Type": {"application/json"}}}
	}
	asks := func(method, query string, headers ...string) signature.Request {
		r := signature.Request{Method: method, Query: query, Header: http.Header{}}
		for i := 0; i < len(headers); i += 2 {
			r.Header.Set(headers[i], headers[i+1])
		}
		return r
	}
	with := func(r signature.Request, name, value string) signature.Request {
		r.Header.Set(name, value)
		return r
	}
	for _, tt := range []struct { //nolint:paralleltest // What is left behind is counted after all of them.
		name, provider string
		request        signature.Request
		signed         bool
		parameters     map[string]string
		status         int
		body           string
	}{
		{"Slack", "slack", post(`{"type":"url_verification","challenge":"3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P"}`), true, nil, 200, "3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P"},
		{"Slack, unsigned", "slack", post(`{"type":"url_verification","challenge":"x"}`), false, nil, 401, ""},
		{"Zoom", "zoom", post(`{"event":"endpoint.url_validation","payload":{"plainToken":"qgg8vlvZRS6UYooatFL8Aw"}}`), true, nil, 200, `"plainToken":"qgg8vlvZRS6UYooatFL8Aw"`},
		{"Zoom, unsigned", "zoom", post(`{"event":"endpoint.url_validation","payload":{"plainToken":"qgg8vlvZRS6UYooatFL8Aw"}}`), false, nil, 401, ""},
		{"Meta", "meta", asks("GET", "hub.mode=subscribe&hub.verify_token=nobody-guesses&hub.challenge=1158201444"), false, map[string]string{"verify_token": "nobody-guesses"}, 200, "1158201444"},
		{"Meta, another token", "meta", asks("GET", "hub.mode=subscribe&hub.verify_token=somebody&hub.challenge=1158201444"), false, map[string]string{"verify_token": "nobody-guesses"}, 401, ""},
		{"Meta, a token twice", "meta", asks("GET", "hub.mode=subscribe&hub.verify_token=nobody-guesses&hub.verify_token=x&hub.challenge=1"), false, map[string]string{"verify_token": "nobody-guesses"}, 401, ""},
		{"Meta, a challenge that is markup", "meta", asks("GET", "hub.mode=subscribe&hub.verify_token=nobody-guesses&hub.challenge=%3Cscript%3E"), false, map[string]string{"verify_token": "nobody-guesses"}, 401, ""},
		{"Microsoft Graph", "microsoft-graph", asks("POST", "validationToken=Validation%3A+Testing+client%3F"), false, nil, 200, "Validation: Testing client?"},
		{"Xero, right", "xero", post(`{"events":[],"firstEventSequence":0,"lastEventSequence":0,"entropy":"S0m3r4Nd0mt3xt"}`), true, nil, 200, "empty"},
		{"Xero, wrong", "xero", with(post(`{"events":[],"firstEventSequence":0,"lastEventSequence":0}`), "X-Xero-Signature", "AAAA"), false, nil, 401, ""},
		{"Dropbox", "dropbox", asks("GET", "challenge=abc123"), false, nil, 200, "abc123"},
		{"X", "x", asks("GET", "crc_token=MGFjNGFhMGYt"), false, nil, 200, `{"response_token":"sha256=`},
		{"X, a token that is an event", "x", asks("GET", "crc_token="+url.QueryEscape(`{"for_user_id":"1"}`)), false, nil, 401, ""},
		{"Trello", "trello", asks("HEAD", ""), false, nil, 200, "empty"},
		{"Okta", "okta", asks("GET", "", "X-Okta-Verification-Challenge", "xyz"), false, nil, 200, `{"verification":"xyz"}`},
		{"Twitch", "twitch", with(post(`{"challenge":"pogchamp-kappa-360noscope-vohiyo"}`), "Twitch-Eventsub-Message-Type", "webhook_callback_verification"), true, nil, 200, "pogchamp-kappa-360noscope-vohiyo"},
		{"Event Grid", "event-grid", with(post(`[{"id":"1","data":{"validationCode":"512d38b6-c7b8-40c8-89fe-f46f9e9622b6"}}]`), "Aeg-Event-Type", "SubscriptionValidation"), true, nil, 200, `{"validationResponse":"512d38b6-c7b8-40c8-89fe-f46f9e9622b6"}`},
		{"Event Grid, without the key", "event-grid", with(post(`[{"id":"1","data":{"validationCode":"5"}}]`), "Aeg-Event-Type", "SubscriptionValidation"), false, nil, 401, ""},
		{"Event Grid's abuse protection", "event-grid", asks("OPTIONS", "", "WebHook-Request-Origin", "eventgrid.azure.net"), true, nil, 200, "empty"},
		{"Google's sync", "google-channel", with(with(asks("POST", "", "X-Goog-Resource-State", "sync"), "X-Goog-Channel-Id", "c"), "X-Goog-Message-Number", "1"), true, nil, 200, ""},
		{"WooCommerce's ping", "woocommerce", with(post("webhook_id=7"), "Content-Type", "application/x-www-form-urlencoded"), false, nil, 200, ""},
		{"none of the vendor's", "stripe", asks("GET", "challenge=abc"), false, nil, 404, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := b.at(t, tt.provider, tt.parameters)
			a := s.ask(t, tt.request, tt.signed)
			if a.status != tt.status {
				t.Fatalf("got %d %s, want %d", a.status, a.body, tt.status)
			}
			if tt.body == "empty" && len(a.body) > 0 || tt.body != "empty" && !strings.Contains(string(a.body), tt.body) {
				t.Errorf("got %q, want %q", a.body, tt.body)
			}
			if got := a.header.Get("Content-Type"); tt.status == 200 && strings.Contains(got, "html") {
				t.Errorf("answered as %s", got)
			}
		})
	}
	if items := b.do(t, 200, "listEvents", map[string]any{"tenant": "acme"}, nil)["items"].([]any); len(items) != 0 {
		t.Errorf("%d handshakes were stored", len(items))
	}
}

func TestAHandshakeThatBringsTheSecret(t *testing.T) {
	t.Parallel()
	b := setup(t, api.Options{})
	b.tenant(t, "acme")
	b.installed(t, "acme")
	s := b.at(t, "asana", nil)
	hook := signature.Request{Method: http.MethodPost, Header: http.Header{"X-Hook-Secret": {"b537207f20cbfa02357cf448134da559"}}}
	if a := s.ask(t, hook, false); a.status != 200 || a.header.Get("X-Hook-Secret") != "b537207f20cbfa02357cf448134da559" {
		t.Fatalf("got %d %s %v", a.status, a.body, a.header)
	}
	forged := signature.Request{Method: http.MethodPost, Header: http.Header{"X-Hook-Secret": {"another-secret"}}}
	if a := s.ask(t, forged, false); a.status != 403 {
		t.Errorf("a second secret: got %d %s, want 403", a.status, a.body)
	}
	s.secret = "b537207f20cbfa02357cf448134da559"
	if a := s.ask(t, signature.Request{Method: http.MethodPost, Body: []byte(`{"events":[]}`)}, true); a.status != 200 || !strings.Contains(string(a.body), "exe_") {
		t.Errorf("a delivery: got %d %s", a.status, a.body)
	}
	id := strings.TrimPrefix(s.path, "/hooks/")
	e := b.do(t, 200, "showHandshake", map[string]any{"tenant": "acme", "endpoint": id}, map[string]any{})
	if e["secret"] != s.secret {
		t.Errorf("got %v", e)
	}
}

func TestTheSecretBeforeCountsForAWhile(t *testing.T) {
	t.Parallel()
	b := setup(t, api.Options{})
	path, first := b.hooked(t)
	id := strings.TrimPrefix(path, "/hooks/")
	e := b.do(t, 200, "rotateEndpoint", map[string]any{"tenant": "acme", "endpoint": id}, map[string]any{"keep_seconds": 3600})
	for i, secret := range []string{first, e["secret"].(string)} {
		if a := b.deliver(t, path, secret, []string{"a", "b"}[i], "{}"); a.status != 202 {
			t.Errorf("secret %d: %d %s", i, a.status, a.body)
		}
	}
	b.do(t, 200, "rotateEndpoint", map[string]any{"tenant": "acme", "endpoint": id}, map[string]any{})
	if a := b.deliver(t, path, first, "c", "{}"); a.status != 401 {
		t.Errorf("after a rotation that keeps none: %d", a.status)
	}
}

func TestDescriptorsOfUsers(t *testing.T) {
	t.Parallel()
	b := setup(t, api.Options{})
	b.tenant(t, "acme")
	b.installed(t, "acme")
	params := map[string]any{"tenant": "acme"}
	bad := map[string]any{"name": "Acme", "title": "Acme", "parts": []any{map[string]any{"signature": []any{"X-Signature"}}}, "signatures": []any{map[string]any{"alg": "md5", "signed": "{id}{body}"}}}
	p := b.do(t, 422, "createEndpoint", params, map[string]any{"installation": "hello", "webhook": "issues", "descriptor": bad})
	text, _ := p["detail"].(string)
	if p["code"] != "descriptor_invalid" || !strings.Contains(text, "/name") {
		t.Errorf("got %v", p)
	}
	weak, err := descriptor.Find("hubspot-v1")
	if err != nil {
		t.Fatal(err)
	}
	p = b.do(t, 422, "createEndpoint", params, map[string]any{"installation": "hello", "webhook": "issues", "descriptor": weak})
	if p["code"] != "weak_scheme" {
		t.Errorf("got %v", p)
	}
	b.do(t, 201, "createEndpoint", params, map[string]any{"installation": "hello", "webhook": "issues", "descriptor": weak, "allow_weak": true})
	sample := map[string]any{"scheme": "github", "secret": "It's a Secret to Everybody", "request": map[string]any{
		"headers": map[string]any{"X-GitHub-Delivery": []any{"1"}, "X-Hub-Signature-256": []any{"sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"}},
		"body":    "Hello, World!",
	}}
	report := b.do(t, 200, "verifySample", params, sample)
	if report["verified"] != true || report["signed"] != "Hello, World!" || report["delivery_id"] != "1" {
		t.Errorf("got %v", report)
	}
	sample["secret"] = "Not the secret of anybody"
	report = b.do(t, 200, "verifySample", params, sample)
	if report["verified"] != false || strings.Contains(strings.Join(strings.Fields(text), " "), "Not the secret") {
		t.Errorf("got %v", report)
	}
}

package signature_test

import (
	"encoding/json"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/host/webhook/descriptor"
	"github.com/cofferdam-run/cofferdam/host/webhook/signature"
)

// vector is a line of testdata/vectors.json: what vendors have published, and what was made
// by what they document. Of some the file has the facts in words, which played says in code.
type vector struct{ ID, Provider, Key, Signed, Body, Expect string }

// played is how a vector becomes a delivery.
type played struct {
	scheme string
	// url, query, ts and so on are as Request
	// and the parts have them.
	url, query, ts, id, body, key string
	headers                       map[string]string
	// custom is a descriptor, in place of a scheme.
	custom string
}

func plays() map[string]played {
	const when = "1614265330"
	id := "msg_p5jXN8AQM9LWM0D4loKWxJek"
	twilio := "CallSid=CA1234567890ABCDE&Caller=%2B14158675309&Digits=1234&From=%2B14158675309&To=%2B18005551212"
	return map[string]played{
		"stdwh-go":            {scheme: "standard-webhooks", id: id, ts: when, body: `{"test": 2432232314}`},
		"stdwh-v1a-gen":       {scheme: "standard-webhooks", id: id, ts: when, body: `{"test": 2432232314}`},
		"stdwh-v1a-svix":      {scheme: "standard-webhooks", id: id, ts: when, body: `{"test": 2432232314}`, key: "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4="},
		"slack-docs":          {scheme: "slack", ts: "1531420618"},
		"github-docs":         {scheme: "github", id: "1"},
		"atlassian-docs":      {scheme: "jira", id: "1"},
		"twilio-py-1":         {scheme: "twilio", url: "https://mycompany.com/myapp.php", query: "foo=1&bar=2", body: twilio, headers: formed()},
		"twilio-form":         {scheme: "twilio", url: "https://mycompany.com/myapp.php", query: "foo=1&bar=2", headers: formed()},
		"hubspot-v1":          {scheme: "hubspot-v1", headers: map[string]string{"X-HubSpot-Signature-Version": "v1"}},
		"hubspot-v3-gen":      {scheme: "hubspot", url: "https://www.example.com/webhook_uri", ts: "1564113600000"},
		"square-1":            {scheme: "square", url: "https://webhook.site/679a4f3a-dcfa-49ee-bac5-9d0edad886b9"},
		"square-3":            {scheme: "square", url: "https://webhook.site/webhooks"},
		"shopify-webhook":     {scheme: "shopify", headers: map[string]string{"X-Shopify-Webhook-Id": "1"}},
		"shopify-oauth-cb":    {custom: callback, query: "code=0907a61c0c8d55e99db179b68161bc00&shop=some-shop.myshopify.com&timestamp=1337178173"},
		"shopify-proxy":       {scheme: "shopify-app-proxy", query: "extra=1&extra=2&shop=shop-name.myshopify.com&path_prefix=%2Fapps%2Fawesome_reviews&timestamp=1317327555", ts: "1317327555"},
		"box-primary":         {scheme: "box", id: "1", ts: "2020-01-01T00:00:00-07:00", headers: boxed()},
		"box-unicode-escaped": {scheme: "box", id: "1", ts: "2020-01-01T00:00:00-07:00", headers: boxed()},
		"adyen-item":          {scheme: "adyen", key: "DFB1EB5485895CFA84146406857104ABB4CBCABDC8AAF103A624C8F6A3EAAB00", body: adyenBody},
		"pagerduty":           {scheme: "pagerduty"},
		"mux":                 {scheme: "mux"},
		"razorpay-1":          {scheme: "razorpay"},
		"qonto":               {custom: unstamped},
		"zendesk":             {scheme: "zendesk", id: "1", ts: "2021-03-25T05:09:27Z"},
		"sendgrid":            {scheme: "sendgrid", ts: "1600112502"},
		"stripe-gen":          {scheme: "stripe", key: "whsec_test_secret"},
		"zoom-gen":            {scheme: "zoom", ts: when},
		"meta-gen":            {scheme: "meta"},
		"x-sig-gen":           {scheme: "x"},
		"xero-gen":            {scheme: "xero"},
		"mailgun-gen":         {scheme: "mailgun", ts: when, id: "abcdef0123456789abcdef0123456789abcdef01234567890a", body: `{"signature":{},"event-data":{}}`},
		"asana-gen":           {scheme: "asana"},
		"dropbox-gen":         {scheme: "dropbox"},
		"intercom-gen":        {scheme: "intercom"},
		"docusign-gen":        {scheme: "docusign"},
		"paystack-gen":        {scheme: "paystack", key: "sk_test"},
		"linear-gen":          {scheme: "linear", id: "1", ts: "1614265330000", body: `{"test": 2432232314, "webhookTimestamp": 0}`},
		"twitch-gen":          {scheme: "twitch", id: "e76c6bd4-55c9-4987-8304-da1588d8988b", ts: "2019-11-16T10:11:12.634234626Z"},
		"discord-gen":         {scheme: "discord", ts: when},
	}
}

func formed() map[string]string {
	return map[string]string{"Content-Type": "application/x-www-form-urlencoded"}
}

func boxed() map[string]string {
	return map[string]string{"Box-Signature-Version": "1", "Box-Signature-Algorithm": "HmacSHA256"}
}

const (
	adyenBody = `{"notificationItems":[{"NotificationRequestItem":{"additionalData":{},"pspReference":"pspReference","originalReference":"originalReference",` +
		`"merchantAccountCode":"merchantAccount","merchantReference":"reference","amount":{"value":1000,"currency":"EUR"},"eventCode":"EVENT","success":"true"}}]}`
	// callback is how Shopify signs the callback of an authorization, which package oauth
	// verifies: here it is a descriptor of a user's own.
	// unstamped is the sum of Qonto's example, whose header and time the page does not show.
	unstamped = `{"name":"qonto-example","title":"Qonto","parts":[{"signature":["header:X-Qonto-Signature"]}],"signatures":[{"alg":"hmac-sha256","signed":"{body}"}]}`
	callback  = `{"name":"shopify-callback","title":"Shopify callback","secret":"vendor","parts":[{"signature":["query:hmac"]}],
		"signatures":[{"alg":"hmac-sha256","signed":"{query}","query":{"join":"&","without":["hmac"]}}],"dedupe":{"or":"none"}}`
)

func TestPublishedVectors(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors []vector
	if err := json.Unmarshal(data, &vectors); err != nil {
		t.Fatal(err)
	}
	all := plays()
	for _, v := range vectors {
		if v.ID == "zoom-crc-gen" {
			continue // It is a handshake: see TestHandshakes.
		}
		p, ok := all[v.ID]
		delete(all, v.ID)
		if !ok {
			t.Errorf("%s is not played", v.ID)
			continue
		}
		t.Run(v.ID, func(t *testing.T) {
			t.Parallel()
			p.verify(t, v)
		})
	}
	if len(all) > 0 || len(vectors) != 39 {
		t.Errorf("%d vectors, and %d that are played and not there", len(vectors), len(all))
	}
}

func (p played) verify(t *testing.T, v vector) {
	t.Helper()
	scheme := p.compiled(t)
	r := signature.Request{Method: http.MethodPost, URL: p.url, Query: p.query, Header: http.Header{}, Body: []byte(p.body)}
	if p.body == "" {
		r.Body = []byte(v.Body)
	}
	for name, value := range p.headers {
		r.Header.Set(name, value)
	}
	parts := scheme.Parts[0]
	expect := v.Expect
	if scheme.Parse.As == "kv" && p.ts != "" {
		expect = scheme.Parse.Timestamp + "=" + p.ts + "," + scheme.Parse.Signatures[0] + "=" + expect
	}
	for place, value := range map[string]string{parts.ID: p.id, parts.Timestamp: p.ts, parts.Signature[0]: expect} {
		if place != "" && value != "" {
			r = at(r, place, value)
		}
	}
	key := v.Key
	if p.key != "" {
		key = p.key
	}
	c := signature.Case{Request: r, Secrets: []string{key}, Now: p.time(t, scheme, expect)}
	if scheme.CheckSecret(key) != nil {
		// A vendor's example that nobody should use: the sum itself is compared.
		p.explains(t, scheme, c, key, v.Expect)
		return
	}
	if scheme.Name == "linear" { // The time is in a body of its own.
		c.Body = []byte(v.Body)
		p.explains(t, scheme, c, key, v.Expect)
		return
	}
	if _, err := scheme.Verify(t.Context(), c); err != nil {
		t.Errorf("%v\n%+v", err, scheme.Explain(t.Context(), c))
	}
	c.Body = append([]byte("x"), c.Body...)
	if _, err := scheme.Verify(t.Context(), c); err == nil && scheme.Name != "mailgun" && p.custom != callback && scheme.Name != "shopify-app-proxy" {
		t.Error("another body was accepted")
	}
}

// explains compares the signature with an HMAC over what the scheme says is signed.
func (p played) explains(t *testing.T, s *signature.Scheme, c signature.Case, key, want string) {
	t.Helper()
	text := s.Explain(t.Context(), c).Signed
	got := s.Signatures[0].Prefix + hmacText(s.Signatures[0].Alg, s.Signatures[0].Enc, key, text)
	if !strings.HasSuffix(want, got) {
		t.Errorf("got %s over %q, want %s", got, text, want)
	}
}

func (p played) compiled(t *testing.T) *signature.Scheme {
	t.Helper()
	if p.custom != "" {
		d, err := descriptor.Parse("callback.json", []byte(p.custom))
		if err != nil {
			t.Fatal(err)
		}
		s, err := signature.Compile(d)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s, err := signature.Find(p.scheme)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// time is that of the vector.
func (p played) time(t *testing.T, s *signature.Scheme, expect string) time.Time {
	t.Helper()
	ts := p.ts
	if ts == "" && s.Parse.Timestamp != "" {
		_, ts, _ = strings.Cut(strings.Split(expect, ",")[0], "=")
	}
	if ts == "" {
		return now
	}
	if at, err := time.Parse(time.RFC3339Nano, ts); err == nil {
		return at
	}
	n, err := strconv.ParseInt(ts, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	if s.Timestamp.Unit == "ms" {
		return time.UnixMilli(n)
	}
	return time.Unix(n, 0)
}

// at puts a value where it is not yet.
func at(r signature.Request, place, value string) signature.Request {
	kind, name := descriptor.Place(place)
	switch kind {
	case "header":
		r.Header.Set(name, value)
	case "query":
		if !strings.Contains("&"+r.Query, "&"+name+"=") {
			r.Query += "&" + name + "=" + value
		}
	default:
		var body any
		_ = json.Unmarshal(r.Body, &body)
		each(body, strings.Split(name[1:], "/"), func(parent map[string]any, name string) { parent[name] = value })
		r.Body, _ = json.Marshal(body)
	}
	return r
}

package oauth_test

import (
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdam-run/cofferdam/host/oauth"
)

func rfc8628() map[string]func(*testing.T) {
	return map[string]func(*testing.T){
		"RFC 8628: pending":                             devicePending,
		"RFC 8628: slow_down":                           deviceSlowDown,
		"RFC 8628: expired":                             deviceExpired,
		"RFC 8628: denied":                              deviceDenied,
		"RFC 8628: an interval of 5 s if there is none": deviceInterval,
		"RFC 8628: longer pauses when nothing answers":  deviceUnreachable,
		"RFC 8628: verification_uri_complete":           deviceComplete,
		"RFC 8628: an end, whatever the server says":    deviceEnd,
	}
}

// deviceBundle is a server whose device endpoint answers begins, and whose token
// endpoint answers the polls in turn, the last one for ever.
func deviceBundle(t *testing.T, begins string, polls ...http.HandlerFunc) (*testBundle, oauth.Registration) {
	t.Helper()
	n := 0
	b := setup(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/device" {
			says(http.StatusOK, begins)(w, r)
			return
		}
		polls[min(n, len(polls)-1)](w, r)
		n++
	})
	return b, b.registration()
}

func (b *testBundle) deviceBegin(t *testing.T, r oauth.Registration) oauth.Device {
	t.Helper()
	d, err := b.client.DeviceBegin(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// waits polls, and says for how long it is to wait for the next poll.
func (b *testBundle) waits(t *testing.T, r oauth.Registration, d *oauth.Device) time.Duration {
	t.Helper()
	b.clock.advance(d.PollAt.Sub(b.clock.Now()))
	_, err := b.client.DevicePoll(t.Context(), r, d)
	e := wantError(t, err, oauth.CodePending)
	if !e.Retryable || !d.PollAt.Equal(b.clock.Now().Add(e.RetryAfter)) {
		t.Errorf("got %+v, and the next poll at %s", e, d.PollAt)
	}
	return e.RetryAfter
}

const deviceAnswer = `{"device_code":"device-secret","user_code":"WDJB-MJHT","verification_uri":"https://acme.example/device","interval":3,"expires_in":600}`

func isPending() http.HandlerFunc {
	return says(http.StatusBadRequest, `{"error":"authorization_pending"}`)
}

func devicePending(t *testing.T) {
	b, r := deviceBundle(t, deviceAnswer, isPending(), isPending(), gives(""))
	d := b.deviceBegin(t, r)
	want := url.Values{"client_id": {"client:1"}, "scope": {"read write"}}
	if diff := cmp.Diff(want, b.requests.last(t).params); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	// Too early asks nobody.
	_, err := b.client.DevicePoll(t.Context(), r, &d)
	if e := wantError(t, err, oauth.CodePending); e.RetryAfter != 3*time.Second || b.requests.count() != 1 {
		t.Errorf("got %s after %d requests", e.RetryAfter, b.requests.count())
	}
	for range 2 {
		if got := b.waits(t, r, &d); got != 3*time.Second {
			t.Errorf("got %s", got)
		}
	}
	b.clock.advance(3 * time.Second)
	token, err := b.client.DevicePoll(t.Context(), r, &d)
	if err != nil || token.Access != "at-1" || !cmp.Equal(token.Scopes, r.Scopes) {
		t.Errorf("got %v, %v", token.Scopes, err)
	}
	want = url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:device_code"}, "device_code": {"device-secret"}}
	if diff := cmp.Diff(want, b.requests.last(t).params); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func deviceSlowDown(t *testing.T) {
	slow := says(http.StatusBadRequest, `{"error":"slow_down"}`)
	b, r := deviceBundle(t, deviceAnswer, slow, slow, isPending())
	d := b.deviceBegin(t, r)
	for _, want := range []time.Duration{8 * time.Second, 13 * time.Second, 13 * time.Second} {
		if got := b.waits(t, r, &d); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func deviceExpired(t *testing.T) {
	b, r := deviceBundle(t, deviceAnswer, says(http.StatusBadRequest, `{"error":"expired_token"}`))
	d := b.deviceBegin(t, r)
	b.clock.advance(3 * time.Second)
	_, err := b.client.DevicePoll(t.Context(), r, &d)
	wantError(t, err, "expired_token")
	// By our own clock nobody is asked.
	asked := b.requests.count()
	b.clock.advance(10 * time.Minute)
	_, err = b.client.DevicePoll(t.Context(), r, &d)
	if wantError(t, err, "expired_token"); b.requests.count() != asked {
		t.Error("it was asked for all the same")
	}
}

func deviceDenied(t *testing.T) {
	b, r := deviceBundle(t, deviceAnswer, says(http.StatusBadRequest, `{"error":"access_denied","error_description":"of device-secret"}`))
	d := b.deviceBegin(t, r)
	b.clock.advance(3 * time.Second)
	_, err := b.client.DevicePoll(t.Context(), r, &d)
	if e := wantError(t, err, "access_denied"); e.Retryable || e.Description != "of [redacted]" {
		t.Errorf("got %+v", e)
	}
}

func deviceInterval(t *testing.T) {
	for interval, want := range map[string]time.Duration{
		``: 5 * time.Second, `,"interval":0`: 5 * time.Second, `,"interval":-1`: 5 * time.Second, `,"interval":"7"`: 7 * time.Second, `,"interval":1e9`: time.Minute,
	} {
		b, r := deviceBundle(t, `{"device_code":"d","user_code":"u","verification_url":"https://acme.example/device"`+interval+`}`, isPending())
		if d := b.deviceBegin(t, r); d.Interval != want || d.VerificationURI != "https://acme.example/device" {
			t.Errorf("%s: got %s at %s, want %s", interval, d.Interval, d.VerificationURI, want)
		}
	}
}

func deviceUnreachable(t *testing.T) {
	gone := func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
	b, r := deviceBundle(t, deviceAnswer, gone, gone, says(http.StatusServiceUnavailable, ""), gone, gone, gone, gone)
	d := b.deviceBegin(t, r)
	for _, want := range []int{6, 12, 24, 48, 60, 60} {
		if got := b.waits(t, r, &d); got.Seconds() != float64(want) {
			t.Errorf("got %s, want %d s", got, want)
		}
	}
}

func deviceComplete(t *testing.T) {
	for uri, ok := range map[string]bool{
		"https://acme.example/device?user_code=WDJB-MJHT": true, "": true, "javascript:alert(1)": false, "http://acme.example/": false, "https://acme.example@evil.example/": false,
	} {
		b, r := deviceBundle(t, `{"device_code":"d","user_code":"u","verification_uri":"https://acme.example/device","verification_uri_complete":"`+uri+`"}`, isPending())
		d, err := b.client.DeviceBegin(t.Context(), r)
		if ok && (err != nil || d.VerificationURIComplete != uri) {
			t.Errorf("%s: got %s, %v", uri, d.VerificationURIComplete, err)
		}
		if !ok {
			wantError(t, err, "answer_invalid")
		}
	}
	for _, missing := range []string{`{}`, `{"device_code":"d","user_code":"u"}`, `{"user_code":"u","verification_uri":"https://acme.example/"}`} {
		b, r := deviceBundle(t, missing, isPending())
		_, err := b.client.DeviceBegin(t.Context(), r)
		wantError(t, err, "answer_invalid")
	}
}

func deviceEnd(t *testing.T) {
	for _, life := range []string{`1e12`, `-1`, `null`} {
		b, r := deviceBundle(t, `{"device_code":"d","user_code":"u","verification_uri":"https://acme.example/device","expires_in":`+life+`}`, isPending())
		d := b.deviceBegin(t, r)
		polls := 0
		for b.clock.Now().Before(d.ExpiresAt) && polls < 1000 {
			b.waits(t, r, &d)
			polls++
			b.clock.advance(d.Interval)
		}
		_, err := b.client.DevicePoll(t.Context(), r, &d)
		wantError(t, err, "expired_token")
		if most := int(30 * time.Minute / (5 * time.Second)); polls > most {
			t.Errorf("%s: it was asked %d times", life, polls)
		}
	}
}

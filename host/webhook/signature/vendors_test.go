package signature_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/webhook/descriptor"
	"github.com/cofferdam-run/cofferdam/host/webhook/signature"
)

// of is a bundle of a scheme that comes with the program, whose vendor's clock is ours.
func of(tb testing.TB, name string) (b *bundle, clock *time.Time) {
	tb.Helper()
	d, err := descriptor.Find(name)
	if err != nil {
		tb.Fatal(err)
	}
	b = setup(tb, d, samples(tb)[name])
	at := now
	b.vendors = signature.NewVendors(signature.VendorsConfig{
		Transport: b.vendor, Now: func() time.Time { return at }, Check: func([][]byte, time.Time) error { return nil },
	})
	return b, &at
}

// member sets a member of a body of JSON before it is signed.
func member(name, value string) func(*signature.Outgoing) {
	return func(o *signature.Outgoing) {
		var body map[string]any
		if json.Unmarshal(o.Body, &body) != nil {
			body = map[string]any{}
		}
		body[name] = value
		o.Body, _ = json.Marshal(body)
	}
}

func TestCertificatesComeFromTheVendorAlone(t *testing.T) {
	t.Parallel()
	b, _ := of(t, "sns")
	forged := []string{
		"http://sns.us-east-1.amazonaws.com/a.pem", "https://sns.us-east-1.amazonaws.com:8443/a.pem", "https://sns.us-east-1.amazonaws.com.evil.example/a.pem",
		"https://evil.example/sns.us-east-1.amazonaws.com/a.pem", "https://user@sns.us-east-1.amazonaws.com/a.pem", "https://sns.us-east-1.amazonaws.com@evil.example/a.pem",
		"https://evil.example#sns.us-east-1.amazonaws.com/a.pem", "https://sns.us-east-1.amazonaws.com/a.pem#b", "https://sns.us-east-1.amazonaws.com/../a.pem",
		"https://sns.us-east-1.amazonaws.com/a/b.pem", "https://sns.us-east-1.amazonaws.com/a.pem.html", "https://sns.us-east-1.amazonaws.com/", "https://SNS.us-east-1.amazonaws.com/a.pem",
		"https://sns.us.east.amazonaws.com/a.pem", "https://xsns.us-east-1.amazonaws.com/a.pem", "https://bucket.s3.amazonaws.com/a.pem", "https://127.0.0.1/a.pem", "https://[::1]/a.pem",
		"file:///etc/passwd", "//sns.us-east-1.amazonaws.com/a.pem", "sns.us-east-1.amazonaws.com/a.pem", "https:sns.us-east-1.amazonaws.com/a.pem", "", "https://sns.us-east-1.amazonaws.com\n.evil.example/a.pem",
	}
	for _, address := range forged {
		r := b.signed(t, member("SigningCertURL", address))
		if got, err := b.verify(t, r); err == nil || fault.From(err).Class != fault.Auth {
			t.Errorf("%q: got %+v, %v", address, got, err)
		}
	}
	if len(b.vendor.asked) != 0 {
		t.Errorf("somebody was asked: %q", b.vendor.asked)
	}
	if _, err := b.verify(t, b.signed(t, member("SigningCertURL", "https://sns.eu-west-1.amazonaws.com/a.pem?x=1"))); err != nil {
		t.Errorf("the vendor's own: %v", err)
	}
	if want := "GET https://sns.eu-west-1.amazonaws.com/a.pem"; len(b.vendor.asked) != 1 || b.vendor.asked[0] != want {
		t.Errorf("asked %q, want %q: a query is the sender's to choose", b.vendor.asked, want)
	}
}

func TestCertificatesThatAreNone(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]func() (*http.Response, error){
		"nobody is there": func() (*http.Response, error) { return nil, errors.New("no route") },
		"an error":        func() (*http.Response, error) { return respond(404, "gone"), nil },
		"a redirect":      func() (*http.Response, error) { return respond(302, "elsewhere"), nil },
		"no PEM":          func() (*http.Response, error) { return respond(200, []byte("hello")), nil },
		"a broken one": func() (*http.Response, error) {
			return respond(200, []byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")), nil
		},
		"too long": func() (*http.Response, error) { return respond(200, []byte(strings.Repeat("x", 64<<10+1))), nil },
		"one of yesterday": func() (*http.Response, error) {
			return respond(200, certificate(now.Add(-48*time.Hour), now.Add(-time.Hour))), nil
		},
		"one of tomorrow": func() (*http.Response, error) {
			return respond(200, certificate(now.Add(time.Hour), now.Add(48*time.Hour))), nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, clock := of(t, "sns")
			b.vendor.answer = func(*http.Request) (*http.Response, error) { return answer() }
			r := b.signed(t)
			for range 3 {
				if _, err := b.verify(t, r); err == nil || fault.From(err).Code != "vendor_keys_unavailable" || fault.Status(fault.From(err)) != 503 {
					t.Errorf("got %v", err)
				}
			}
			if n := len(b.vendor.asked); n != 1 {
				t.Errorf("it was asked %d times for what is remembered", n)
			}
			b.vendor.answer = nil
			*clock = clock.Add(11 * time.Second)
			if _, err := b.verify(t, r); err != nil {
				t.Errorf("once it answers: %v", err)
			}
		})
	}
}

func TestAVendorsAnswerIsKept(t *testing.T) {
	t.Parallel()
	b, clock := of(t, "sns")
	r := b.signed(t)
	release := make(chan struct{})
	b.vendor.answer = func(*http.Request) (*http.Response, error) {
		<-release
		return respond(200, certificate(now.Add(-time.Hour), now.Add(24*time.Hour))), nil
	}
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if _, err := b.verify(t, r); err != nil {
				t.Error(err)
			}
		})
	}
	close(release)
	all.Wait()
	asked := func() int {
		b.vendor.mu.Lock()
		defer b.vendor.mu.Unlock()
		return len(b.vendor.asked)
	}
	if n := asked(); n != 1 {
		t.Errorf("twenty deliveries at once asked %d times", n)
	}
	*clock = clock.Add(59 * time.Minute)
	_, _ = b.verify(t, r)
	if n := asked(); n != 1 {
		t.Errorf("within the hour it was asked %d times", n)
	}
	*clock = clock.Add(2 * time.Minute)
	_, _ = b.verify(t, r)
	if n := asked(); n != 2 {
		t.Errorf("after the hour it was asked %d times", n)
	}
}

func TestAFloodOfForgedDeliveriesAsksLittle(t *testing.T) {
	t.Parallel()
	b, clock := of(t, "sns")
	flood := func() {
		for i := range 100 {
			r := b.signed(t, member("SigningCertURL", fmt.Sprintf("https://sns.us-east-1.amazonaws.com/%d-%d.pem", clock.Unix(), i)))
			_, _ = b.verify(t, r)
		}
	}
	flood()
	if n := len(b.vendor.asked); n != 30 {
		t.Errorf("a hundred made-up addresses asked %d times within a minute, want 30", n)
	}
	// Another of the vendor's hosts is not held up.
	if _, err := b.verify(t, b.signed(t, member("SigningCertURL", "https://sns.eu-west-1.amazonaws.com/a.pem"))); err != nil {
		t.Errorf("another host: %v", err)
	}
	*clock = clock.Add(time.Minute)
	flood()
	if n := len(b.vendor.asked); n != 61 {
		t.Errorf("a minute later %d questions in all, want 61", n)
	}
}

func TestMadeUpKeysAskOnceAMinute(t *testing.T) {
	t.Parallel()
	b, clock := of(t, "google-pubsub")
	if _, err := b.verify(t, b.signed(t)); err != nil {
		t.Fatal(err)
	}
	unknown := b.signed(t)
	b.vendor.answer = func(*http.Request) (*http.Response, error) { return respond(200, map[string]any{"keys": []any{}}), nil }
	*clock = clock.Add(time.Hour + time.Second) // Keys were replaced: this one is not among them any more.
	for range 50 {
		if _, err := b.verify(t, unknown); err == nil {
			t.Fatal("a key that the vendor does not have any more was taken")
		}
	}
	if n := len(b.vendor.asked); n > 2 {
		t.Errorf("fifty tokens of a made-up key asked %d times", n)
	}
}

func TestASubscriptionIsConfirmedAtTheVendor(t *testing.T) {
	t.Parallel()
	confirmation := func(subscribe string) []func(*signature.Outgoing) {
		return []func(*signature.Outgoing){member("Type", "SubscriptionConfirmation"), member("Token", "2336412f37"), member("SubscribeURL", subscribe)}
	}
	const right = "https://sns.us-east-1.amazonaws.com/?Action=ConfirmSubscription&Token=2336412f37"
	b, _ := of(t, "sns")
	got, err := b.verify(t, b.signed(t, confirmation(right)...))
	if err != nil || got.Handshake == nil || got.Handshake.Name != "subscription confirmation" || got.ID != "" {
		t.Fatalf("got %+v, %v", got, err)
	}
	if n := len(b.vendor.asked); n != 2 || b.vendor.asked[1] != "GET "+right {
		t.Errorf("asked %q", b.vendor.asked)
	}
	for _, wrong := range []string{
		"http://sns.us-east-1.amazonaws.com/?Action=ConfirmSubscription", "https://evil.example/?Action=ConfirmSubscription",
		"https://sns.us-east-1.amazonaws.com/admin?Action=ConfirmSubscription", "https://169.254.169.254/latest/meta-data", "",
	} {
		b, _ := of(t, "sns")
		if got, err := b.verify(t, b.signed(t, confirmation(wrong)...)); err == nil {
			t.Errorf("%q: got %+v", wrong, got)
		}
		if n := len(b.vendor.asked); n > 1 { // The certificate.
			t.Errorf("%q: asked %q", wrong, b.vendor.asked)
		}
	}
	b, _ = of(t, "sns")
	unsigned := b.signed(t, confirmation(right)...)
	unsigned.Body = []byte(strings.Replace(string(unsigned.Body), "2336412f37", "2336412f38", 1))
	if _, err := b.verify(t, unsigned); err == nil || len(b.vendor.asked) > 1 {
		t.Errorf("one that is not signed: %v, asked %q", err, b.vendor.asked)
	}
	b, _ = of(t, "sns")
	b.vendor.answer = func(r *http.Request) (*http.Response, error) {
		if strings.HasSuffix(r.URL.Path, ".pem") {
			return respond(200, certificate(now.Add(-time.Hour), now.Add(24*time.Hour))), nil
		}
		return respond(500, "not now"), nil
	}
	if _, err := b.verify(t, b.signed(t, confirmation(right)...)); err == nil || fault.Status(fault.From(err)) != 503 {
		t.Errorf("a vendor that does not confirm: %v", err)
	}
}

func TestDiscordsPingIsAnsweredOnceItIsVerified(t *testing.T) {
	t.Parallel()
	b, _ := of(t, "discord")
	ping := func(body string) func(*signature.Outgoing) {
		return func(o *signature.Outgoing) { o.Body = []byte(body) }
	}
	got, err := b.verify(t, b.signed(t, ping(`{"type":1,"id":"7"}`)))
	if err != nil || got.Handshake == nil || got.Handshake.Status != 200 || string(got.Handshake.Body) != `{"type":1}` || got.Handshake.ContentType != "application/json" {
		t.Errorf("the ping of interactions: got %+v, %v", got, err)
	}
	if got, err := b.verify(t, b.signed(t, ping(`{"type":0}`))); err != nil || got.Handshake == nil || got.Handshake.Status != 204 || len(got.Handshake.Body) != 0 {
		t.Errorf("the ping of events: got %+v, %v", got, err)
	}
	if got, err := b.verify(t, b.signed(t, ping(`{"type":2,"id":"8"}`))); err != nil || got.Handshake != nil || got.ID != "8" {
		t.Errorf("an interaction: got %+v, %v", got, err)
	}
	// Discord tries with signatures that are wrong, and wants a 401.
	forged := b.signed(t, ping(`{"type":1}`))
	forged.Body = []byte(`{"type":1,"x":1}`)
	if reply, err := b.Unsigned(b.caseOf(forged)); reply != nil || err != nil {
		t.Errorf("it is answered unsigned: %+v, %v", reply, err)
	}
	if _, err := b.verify(t, forged); err == nil || fault.Status(fault.From(err)) != 401 {
		t.Errorf("a forged ping: %v", err)
	}
}

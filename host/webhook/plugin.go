package webhook

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/cofferdam-run/cofferdam/host/endpoint"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/webhook/signature"
)

// ByPlugin is the scheme of endpoints whose deliveries the plugin verifies. A descriptor of
// this name is one of somebody's own.
const ByPlugin = "plugin"

// Question is a delivery of which a plugin is asked whether it is authentic.
type Question struct {
	Tenant, Installation, Webhook string
	// Secret is the one that the plugin may have things signed with. It is asked once for
	// each that counts.
	Secret string
	Now    time.Time
	signature.Request
}

const (
	// pluginTolerance is how far the time that was signed may be off.
	pluginTolerance = 5 * time.Minute
	// maxVerdict bounds what a plugin answers, and maxRespond what a vendor is told of it.
	maxVerdict, maxRespond = 16 << 10, 2048
	// maxDeliveryID bounds what is kept as the key of duplicates, as for descriptors.
	maxDeliveryID = 256
	// A secret is any text: the vendor chose it.
	leastSecret, mostSecret = 8, 4096
)

// Codes of refusals. Those that a plugin gives itself are of a list, since they are labels of
// metrics.
const (
	codeVerifyFailed = "verify_failed"
	codeUnavailable  = "verify_unavailable"
	codeRefused      = "delivery_refused"
)

// verdict is what the export verify returns: see sdk/ABI.md.
type verdict struct {
	Accept    *bool    `json:"accept"`
	ID        string   `json:"id"`
	Timestamp *float64 `json:"timestamp"`
	Code      string   `json:"code"`
	Message   string   `json:"message"`
	Respond   *respond `json:"respond"`
}

// respond is the answer to a handshake.
type respond struct {
	Status int             `json:"status"`
	Text   *string         `json:"text"`
	JSON   json.RawMessage `json:"json"`
}

func byPlugin(e endpoint.Endpoint) bool { return e.Scheme == ByPlugin && len(e.Descriptor) == 0 }

// tryPlugins is Try for what the plugin verifies. Its secret is the endpoint's.
func (i *Intake) tryPlugins(ctx context.Context, e endpoint.Opened, r signature.Request, now time.Time) signature.Report {
	report := signature.Report{Scheme: ByPlugin, Steps: []signature.Explained{{Step: "verify", Result: "ok"}}}
	verified, err := i.ask(ctx, e, r, now)
	if err != nil {
		f := fault.From(err)
		report.Steps[0] = signature.Explained{Step: "verify", Result: "failed", Code: f.Code, Reason: f.Message, Hint: f.Hint}
		return report
	}
	report.Verified, report.DeliveryID = true, verified.ID
	if verified.Handshake != nil {
		report.Handshake = verified.Handshake.Name
	}
	return report
}

// ask has the plugin judge a delivery, with each secret that counts until it accepts.
func (i *Intake) ask(ctx context.Context, e endpoint.Opened, r signature.Request, now time.Time) (signature.Verified, error) {
	if i.c.Verify == nil {
		return signature.Verified{}, fault.New(fault.Platform, codeUnavailable, "plugins verify no deliveries here")
	}
	refusal := error(fault.New(fault.Platform, "endpoint_incomplete", "the endpoint has no signing secret yet").
		WithHint("Rotate its secret: `cofferdam endpoint rotate`."))
	for _, secret := range e.Secrets(now) {
		output, err := i.c.Verify(ctx, Question{
			Tenant: e.Tenant, Installation: e.Installation, Webhook: e.Webhook, Secret: secret, Now: now, Request: r,
		})
		if err != nil {
			return signature.Verified{}, unjudged(err)
		}
		v, err := readVerdict(output)
		if err != nil {
			return signature.Verified{}, failed("what verify returned is no verdict: %v", err)
		}
		verified, err := v.judge(r, now)
		if err == nil {
			return verified, nil
		}
		refusal = err
	}
	return signature.Verified{}, refusal
}

// unjudged tells what the plugin did wrong from what happened to us, which the vendor is told
// to try again.
func unjudged(err error) error {
	f := fault.From(err)
	switch f.Class {
	case fault.PluginBug:
		return failed("%s", f.Message).Because(err)
	case fault.RateLimited:
		return f
	default:
		return fault.New(fault.Platform, codeUnavailable, "the plugin could not be asked: %.200s", f.Message).Because(err)
	}
}

func failed(format string, args ...any) *fault.Error {
	return fault.New(fault.Auth, codeVerifyFailed, format, args...).
		WithHint("Try the delivery with `cofferdam endpoint verify-sample`, and the plugin's verify in a test of its own.")
}

// readVerdict reads what a plugin answered: one JSON object, with accept in it.
func readVerdict(output []byte) (verdict, error) {
	var v verdict
	if len(output) > maxVerdict {
		return v, fmt.Errorf("it has %d bytes, and %d are the most", len(output), maxVerdict)
	}
	d := json.NewDecoder(bytes.NewReader(output))
	if err := d.Decode(&v); err != nil {
		return v, fmt.Errorf("read it: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return v, errors.New("something follows it")
	}
	if v.Accept == nil {
		return v, errors.New("it does not say whether it accepts")
	}
	return v, nil
}

// judge holds what has to hold of any verdict.
func (v verdict) judge(r signature.Request, now time.Time) (signature.Verified, error) {
	if !*v.Accept {
		return signature.Verified{}, v.refusal()
	}
	if v.Timestamp != nil {
		if off := *v.Timestamp - float64(now.Unix()); math.IsNaN(off) || math.Abs(off) > pluginTolerance.Seconds() {
			return signature.Verified{}, fault.New(fault.Auth, "timestamp_out_of_range", "the delivery was signed %.0f s from now, and %d s is the limit", off, int(pluginTolerance.Seconds())).
				WithHint("A redelivery must be signed anew. If all deliveries are refused, compare the clocks.")
		}
	}
	if v.Respond != nil {
		reply, err := v.Respond.reply()
		return signature.Verified{Handshake: reply}, err
	}
	if r.Method != http.MethodPost {
		return signature.Verified{}, fault.New(fault.Auth, "handshake_refused", "the request is no handshake of the vendor's")
	}
	if v.ID == "" {
		sum := sha256.Sum256(r.Body)
		v.ID = "sha256:" + hex.EncodeToString(sum[:])
	}
	if len(v.ID) > maxDeliveryID || strings.ContainsFunc(v.ID, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return signature.Verified{}, fault.New(fault.InvalidInput, "delivery_id_invalid", "the id that verify returned must have 1 to %d printable ASCII characters, and has %d bytes", maxDeliveryID, len(v.ID))
	}
	return signature.Verified{ID: v.ID}, nil
}

// refusal is the plugin's, in words of ours where it is counted.
func (v verdict) refusal() error {
	switch v.Code {
	case "signature_missing", "signature_invalid", "timestamp_out_of_range", "delivery_id_missing":
	default:
		v.Message = strings.TrimSpace(v.Code + " " + v.Message)
		v.Code = codeRefused
	}
	return fault.New(fault.Auth, v.Code, "the plugin refused the delivery: %.200s", strings.ToValidUTF8(v.Message, "\uFFFD"))
}

func (r respond) reply() (*signature.Reply, error) {
	reply := &signature.Reply{Name: ByPlugin, Status: r.Status, Header: http.Header{}}
	if r.Status < 200 || r.Status > 299 {
		return nil, failed("what verify would respond has the status %d: it may be 200 to 299", r.Status)
	}
	if r.Text != nil && r.JSON != nil {
		return nil, failed("what verify would respond has a text and a json")
	}
	switch {
	case r.Text != nil:
		reply.ContentType, reply.Body = "text/plain; charset=utf-8", []byte(*r.Text)
	case r.JSON != nil:
		reply.ContentType, reply.Body = "application/json", r.JSON
	}
	if len(reply.Body) > maxRespond {
		return nil, failed("what verify would respond has %d bytes: it may have %d", len(reply.Body), maxRespond)
	}
	return reply, nil
}

// pluginScheme is how an endpoint's deliveries are signed of which only the plugin knows.
type pluginScheme struct{}

var _ endpoint.Scheme = pluginScheme{}

// SchemeName implements endpoint.Scheme.
func (pluginScheme) SchemeName() string { return ByPlugin }

// NewSecret implements endpoint.Scheme.
func (pluginScheme) NewSecret() (string, error) {
	random := make([]byte, 32) // As long as SHA-256's output.
	rand.Read(random)          // It never fails: <https://pkg.go.dev/crypto/rand#Read>.
	return hex.EncodeToString(random), nil
}

// CheckSecret implements endpoint.Scheme.
func (pluginScheme) CheckSecret(secret string) error {
	n := len(secret)
	if n >= leastSecret && n <= mostSecret && utf8.ValidString(secret) && !strings.ContainsFunc(secret, func(r rune) bool { return r < ' ' && r != '\n' || r == 0x7f }) {
		return nil
	}
	return fault.New(fault.InvalidInput, "invalid_secret", "the secret has %d bytes, or a control character: it must be a text of %d to %d bytes", n, leastSecret, mostSecret).At("/secret").
		WithHint("Copy the signing secret from the vendor's page, whole, or leave it out to have one made.")
}

// Adopts implements endpoint.Scheme.
func (pluginScheme) Adopts() bool { return false }

// Tell implements endpoint.Scheme.
func (pluginScheme) Tell(given map[string]string) (public, secret map[string]string, err error) {
	if len(given) > 0 {
		return nil, nil, fault.New(fault.InvalidInput, "invalid_parameters", "the plugin verifies the deliveries, and has no parameters").At("/parameters").
			WithHint("What it has to know is in the installation's configuration.")
	}
	return nil, nil, nil
}

// Weakness implements endpoint.Scheme.
func (pluginScheme) Weakness() string { return "" }

package worker

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/webhook"
	"github.com/cofferdam-run/cofferdam/hostfns"
	"github.com/cofferdam-run/cofferdam/hostfns/replay"
	"github.com/cofferdam-run/cofferdam/hostfns/sign"
	"github.com/cofferdam-run/cofferdam/registry/manifest"
	"github.com/cofferdam-run/cofferdam/runtime"
)

// exportVerify says whether a delivery is authentic: see sdk/ABI.md.
const exportVerify = "verify"

// What one call of verify may use. Whoever knows an address can have it called as often as
// they like.
const (
	// verifyFuel is some 50 ms of a core, and verifyFuelPerByte what it takes to read a byte
	// of a body and to have it signed. The times are for a machine that is busy with others.
	verifyFuel, verifyFuelPerByte         = 200_000_000, 400
	verifyDeadline, verifyDeadlinePerByte = time.Second, 3 * time.Microsecond
	verifyOutput                          = 16 << 10
	verifySigns                           = 16
	// verifiesOfTenant is how many may run at once for one tenant, and verifyWait how long
	// others wait for their turn.
	verifiesOfTenant = 8
	verifyWait       = 2 * time.Second
)

// verifyInput is the input of verify: see sdk/ABI.md, "Webhooks that a plugin verifies".
type verifyInput struct {
	Verify  string          `json:"verify"`
	Time    string          `json:"time"`
	Request unverified      `json:"request"`
	Config  json.RawMessage `json:"config"`
}

// unverified is a request as it came.
type unverified struct {
	Method     string              `json:"method"`
	URL        string              `json:"url"`
	Query      string              `json:"query"`
	Headers    map[string][]string `json:"headers"`
	Body       *string             `json:"body,omitempty"`
	BodyBase64 []byte              `json:"body_base64,omitempty"`
}

// Verify asks the plugin of an installation whether a delivery is authentic, in a sandbox that
// can have things signed with the endpoint's secret, and nothing else. It returns what the
// export returned. A *fault.Error of the Class PluginBug is the plugin's fault; of any other,
// ours.
func (s *Sandbox) Verify(ctx context.Context, q webhook.Question) ([]byte, error) {
	leave, err := s.verifies.enter(ctx, q.Tenant, s.c.After(verifyWait))
	if err != nil {
		return nil, err
	}
	defer leave()
	i, err := s.c.Installation(ctx, q.Tenant, q.Installation)
	if err != nil {
		return nil, fmt.Errorf("find installation: %w", err)
	}
	v, err := s.version(ctx, i.VersionID)
	if err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(v.Manifest.Webhooks, func(w manifest.Webhook) bool { return w.Name == q.Webhook && w.Verify }) {
		return nil, fault.New(fault.Platform, "endpoint_incomplete", "%s %s does not verify the webhook %q any more", v.Name, v.Version, q.Webhook).
			WithHint("Make a new endpoint, and have the vendor deliver there.")
	}
	module, release, err := s.modules.take(ctx, v)
	if err != nil {
		return nil, fmt.Errorf("prepare plugin version %s: %w", v.ID, err)
	}
	defer release()
	var seed [32]byte  // Nobody makes this call again.
	rand.Read(seed[:]) // It never fails: <https://pkg.go.dev/crypto/rand#Read>.
	result, err := Verification{Question: q, Config: i.Config, Seed: seed, Now: s.c.Now}.Call(ctx, module)
	return result.Output, unverifiable(err)
}

// Verification is a call of the export verify, as a server makes it.
type Verification struct {
	webhook.Question

	// Config is the installation's, and Seed feeds the random stream.
	Config json.RawMessage
	Seed   [32]byte
	// Signer is asked for signatures in front of the function sign, which is next. Defaults
	// to nobody.
	Signer func(ctx context.Context, request json.RawMessage, next func(context.Context, json.RawMessage) (any, error)) (any, error)
	// Now is the clock. It must be set.
	Now func() time.Time
}

// Call makes the call. What the plugin fails with is a *runtime.Failure.
func (v Verification) Call(ctx context.Context, m *runtime.Module) (runtime.Result, error) {
	input, err := json.Marshal(verifyInputOf(v.Question, v.Config))
	if err != nil {
		return runtime.Result{}, fmt.Errorf("encode the input of verify: %w", err)
	}
	size := len(v.Body)
	return m.Call(ctx, runtime.Call{
		Export: exportVerify, Input: input,
		World: runtime.World{Seed: v.Seed, Start: v.Question.Now, Config: replay.ConfigStrings(v.Config)},
		Host:  hostfns.NewGate(hostfns.GateConfig{Funcs: v.functions(), Now: v.Now}),
		Limits: runtime.Limits{
			Fuel: verifyFuel + verifyFuelPerByte*int64(size), Deadline: verifyDeadline + verifyDeadlinePerByte*time.Duration(size), OutputBytes: verifyOutput,
		},
		Share: runtime.Share{Key: v.Tenant},
	})
}

// functions are all that verify may ask for.
func (v Verification) functions() []hostfns.Func {
	funcs := sign.New(sign.Config{Keys: endpointKeys(v.Secret), Allowed: endpointSigns(), Calls: verifySigns, Now: v.Now}).Funcs()
	if v.Signer == nil {
		return funcs
	}
	for i, f := range funcs {
		funcs[i].Answer = func(ctx context.Context, request json.RawMessage) (any, error) {
			return v.Signer(ctx, request, f.Answer)
		}
	}
	return funcs
}

// unverifiable is what a call of verify ended with. It waits for nothing but the processor:
// that its time is up is this machine's doing.
func unverifiable(err error) error {
	f, guests := errors.AsType[*runtime.Failure](err)
	if !guests || f.Code == runtime.CodeDeadlineExceeded || f.Code == runtime.CodeKilled {
		return err
	}
	return fault.New(fault.PluginBug, "verify_failed", "verify ended with %.64s: %.200s", f.Code, strings.ToValidUTF8(f.Message, "\uFFFD")).Because(err)
}

func verifyInputOf(q webhook.Question, config json.RawMessage) verifyInput {
	v := verifyInput{Verify: q.Webhook, Time: q.Now.UTC().Format(time.RFC3339Nano), Config: orJSON(config, `{}`)}
	v.Request = unverified{Method: q.Method, URL: q.URL, Query: q.Query, Headers: make(map[string][]string, len(q.Header))}
	for name, values := range q.Header {
		name = strings.ToLower(name)
		v.Request.Headers[name] = append(v.Request.Headers[name], values...)
	}
	if utf8.Valid(q.Body) {
		body := string(q.Body)
		v.Request.Body = &body
	} else {
		v.Request.BodyBase64 = q.Body
	}
	return v
}

// endpointKeys are the endpoint's secret by the names that verify has for it: as it is, and
// what it is the base64 or the hexadecimal digits of.
type endpointKeys string

var _ sign.Keys = endpointKeys("")

// Key implements sign.Keys.
func (k endpointKeys) Key(_ context.Context, name string) (sign.Key, error) {
	var secret []byte
	err := sign.ErrNoConnection
	switch name {
	case "secret":
		secret, err = []byte(k), nil
	case "secret.base64":
		secret, err = base64.StdEncoding.DecodeString(strings.TrimPrefix(string(k), "whsec_"))
	case "secret.hex":
		secret, err = hex.DecodeString(string(k))
	}
	if err != nil {
		return sign.Key{}, fmt.Errorf("%w: the endpoint's secret is not of the form that %q stands for", sign.ErrNoKey, name)
	}
	return sign.Key{Secret: secret}, nil
}

func endpointSigns() map[string][]string {
	hmacs := []string{"hmac-sha1", "hmac-sha256", "hmac-sha384", "hmac-sha512"}
	return map[string][]string{"secret": hmacs, "secret.base64": hmacs, "secret.hex": hmacs}
}

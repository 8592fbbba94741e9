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

// verification is the input of verify: see sdk/ABI.md, "Webhooks that a plugin verifies".
type verification struct {
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
	input, err := json.Marshal(verificationOf(q, i.Config))
	if err != nil {
		return nil, fmt.Errorf("encode the input of verify: %w", err)
	}
	module, release, err := s.modules.take(ctx, v)
	if err != nil {
		return nil, fmt.Errorf("prepare plugin version %s: %w", v.ID, err)
	}
	defer release()
	// Nobody makes this call again.
	world := runtime.World{Start: q.Now, Config: replay.ConfigStrings(i.Config)}
	rand.Read(world.Seed[:]) // It never fails: <https://pkg.go.dev/crypto/rand#Read>.
	signatures := sign.New(sign.Config{Keys: endpointKeys(q.Secret), Allowed: endpointSigns(), Calls: verifySigns, Now: s.c.Now})
	result, err := module.Call(ctx, runtime.Call{
		Export: exportVerify, Input: input, World: world,
		Host: hostfns.NewGate(hostfns.GateConfig{Funcs: signatures.Funcs(), Now: s.c.Now}),
		Limits: runtime.Limits{
			Fuel: verifyFuel + verifyFuelPerByte*int64(len(q.Body)), Deadline: verifyDeadline + verifyDeadlinePerByte*time.Duration(len(q.Body)), OutputBytes: verifyOutput,
		},
		Share: runtime.Share{Key: q.Tenant},
	})
	return result.Output, unverifiable(err)
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

func verificationOf(q webhook.Question, config json.RawMessage) verification {
	v := verification{Verify: q.Webhook, Time: q.Now.UTC().Format(time.RFC3339Nano), Config: orJSON(config, `{}`)}
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

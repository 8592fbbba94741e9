package golden

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/cofferdam-run/cofferdam/cmd/cofferdam/internal/fixture"
	"github.com/cofferdam-run/cofferdam/cmd/cofferdam/internal/trial"
	"github.com/cofferdam-run/cofferdam/host/webhook"
	"github.com/cofferdam-run/cofferdam/host/webhook/signature"
	"github.com/cofferdam-run/cofferdam/host/worker"
	"github.com/cofferdam-run/cofferdam/registry/manifest"
)

// deliveryURL is the address of an endpoint that nobody has named.
const deliveryURL = "https://hooks.example/hooks/end_00000000000000000000000001"

// checkVerify looks at what only tests of verify have, and what they have not.
func (t *Test) checkVerify() error {
	e := t.Expect
	switch {
	case t.Verify == "" && (t.Secret != "" || t.Method != "" || t.URL != ""):
		return errors.New("a secret, a method and a URL are for a verify: name a webhook there")
	case t.Verify == "":
		return nil
	case t.Secret == "" && t.Fixture == "":
		return errors.New(`a verify needs a secret, such as "a secret of nobody's": that of an endpoint, for nothing but this test`)
	case t.State != nil || t.Checkpoint != nil || t.Connections != nil || t.Credentials != nil || t.HTTP != nil || t.Functions != nil:
		return errors.New("a verify can have things signed, and nothing else: leave out state, checkpoint, connections, credentials, http and functions")
	case e.Records != nil || e.Tags != nil || e.State != nil || e.Logs != nil || e.Waits != nil:
		return errors.New("a verify leaves nothing behind: expect an output or an error")
	default:
		return nil
	}
}

// verification makes a call of verify of a test; its error says why it cannot be one.
func (s Subject) verification(ctx context.Context, b *trial.Bench, w *world) (call, error) {
	t := s.Test
	config, err := completed(b.Manifest, t.Config)
	if err != nil {
		return nil, err
	}
	var ask trial.Ask
	ask.Query = t.Query
	if err := t.ask(b, s.Project, &ask); err != nil {
		return nil, err
	}
	secret := t.Secret
	if secret == "" {
		f, err := fixture.Read(s.Project, t.Fixture, Names(b.Manifest))
		if err != nil {
			return nil, err
		}
		if secret = f.Secret; secret == "" {
			return nil, fmt.Errorf("neither the test nor the fixture %s says with which secret it is signed: give one, for nothing but this", t.Fixture)
		}
	}
	if !slices.ContainsFunc(b.Manifest.Webhooks, func(m manifest.Webhook) bool { return m.Name == t.Verify && m.Verify }) {
		return nil, fmt.Errorf("the plugin does not verify the webhook %q: a scheme or a descriptor does", t.Verify)
	}
	header := http.Header{}
	for name, values := range ask.Headers {
		header[http.CanonicalHeaderKey(name)] = values
	}
	v := worker.Verification{
		Question: webhook.Question{
			Webhook: t.Verify, Secret: secret, Now: t.now(),
			Request: signature.Request{
				Method: cmp.Or(t.Method, http.MethodPost), URL: cmp.Or(t.URL, deliveryURL), Query: ask.Query, Header: header, Body: ask.Payload,
			},
		},
		Config: config, Seed: sha256.Sum256([]byte(s.Name)), Now: t.now,
		Signer: func(ctx context.Context, request json.RawMessage, next trial.Answer) (any, error) {
			return w.sign(ctx, request, next)
		},
	}
	return func() (*trial.Report, error) { return trial.Verify(ctx, b.Module, v) }, nil
}

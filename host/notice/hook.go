package notice

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/cofferdam-run/cofferdam/host/webhook"
)

// scheme is how deliveries are signed.
const scheme = "standard-webhooks"

// maxAnswer is how much is read of an answer, whose text matters to nobody: enough for the
// connection to be used again.
const maxAnswer = 4 << 10

// HookConfig says where notices are delivered.
type HookConfig struct {
	// URL takes notices by POST. Any status from 200 to 299 says that it has; redirects are
	// not followed.
	URL string
	// Secret signs them: whsec_ and base64.
	Secret string
	// Transport makes the requests. It must be set.
	Transport http.RoundTripper
	Now       func() time.Time
}

// Hook is a Config.Notify that delivers notices to a URL, as
// https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
// says: the id of a delivery is the notice's, so that who gets it twice knows.
func Hook(c HookConfig) (func(ctx context.Context, n Notice) error, error) {
	u, err := url.Parse(c.URL)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.User != nil {
		return nil, errors.New("the URL for notices must be like https://app.example.com/notices, without a user name")
	}
	if err := webhook.CheckSecret(scheme, c.Secret); err != nil {
		return nil, fmt.Errorf("the secret that signs notices: %w", err)
	}
	client := &http.Client{
		Transport:     c.Transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return func(ctx context.Context, n Notice) error { return c.deliver(ctx, client, n) }, nil
}

// delivery is the body.
type delivery struct {
	Type      Kind      `json:"type"`
	Timestamp time.Time `json:"timestamp"`
	Data      Notice    `json:"data"`
}

func (c HookConfig) deliver(ctx context.Context, client *http.Client, n Notice) error {
	body, err := json.Marshal(delivery{Type: n.Kind, Timestamp: n.CreatedAt.UTC(), Data: n})
	if err != nil {
		return fmt.Errorf("encode a notice: %w", err)
	}
	signed, err := webhook.Sign(scheme, c.Secret, n.ID, c.Now(), body)
	if err != nil {
		return fmt.Errorf("sign a notice: %w", err)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.URL, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("make a delivery: %w", err)
	}
	r.Header = signed
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", "Cofferdam")
	answer, err := client.Do(r)
	if err != nil {
		if told, ok := errors.AsType[*url.Error](err); ok {
			err = told.Err // Without the URL, which may have something secret.
		}
		return fmt.Errorf("deliver a notice: %w", err)
	}
	_, _ = io.CopyN(io.Discard, answer.Body, maxAnswer) // What cannot be read is not missed.
	_ = answer.Body.Close()                             // As above.
	if answer.StatusCode < 200 || answer.StatusCode > 299 {
		return fmt.Errorf("deliver a notice: it was answered with %s", answer.Status)
	}
	return nil
}

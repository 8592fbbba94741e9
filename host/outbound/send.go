package outbound

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/cofferdam-run/cofferdam/host/destination"
	"github.com/cofferdam-run/cofferdam/host/webhook"
)

const (
	// answerKept is how much of an answer is kept, and answerRead how much is read, so that
	// the connection can be used again.
	answerKept = 1 << 10
	answerRead = 16 << 10
	// secretLeast is how long a value in a URL is before it is taken for a secret.
	secretLeast = 6
	hidden      = "[hidden]"
)

// result is what has come of a try.
type result struct {
	attempt  Attempt
	throttle time.Duration
	// hopeless says that no further try can do better.
	hopeless bool
}

func (r result) taken() bool { return r.attempt.Status >= 200 && r.attempt.Status <= 299 }

// send makes one try. The error is that of a database, or that ctx has ended: then nothing
// is known.
func (s *Sender) send(ctx context.Context, to destination.Opened, d Delivery) (result, error) {
	began := s.c.Now()
	r := result{attempt: Attempt{At: began.UTC()}}
	body, err := s.body(ctx, d)
	if errors.Is(err, errGone) {
		r.attempt.Error, r.hopeless = errGone.Error(), true
		return r, nil
	}
	if err != nil {
		return r, err
	}
	request, secrets, err := signed(to, d.Message, began, body)
	if err != nil {
		return r, err
	}
	within, done := context.WithTimeout(ctx, s.c.Timeout)
	defer done()
	answer, err := s.client.Do(request.WithContext(within))
	if err != nil {
		if ctx.Err() != nil {
			return r, ctx.Err()
		}
		r.attempt.Error = s.c.Explain(request, err).Error()
		r.attempt.DurationMS = s.c.Now().Sub(began).Milliseconds()
		return r, nil
	}
	text, _ := io.ReadAll(io.LimitReader(answer.Body, answerRead)) // What cannot be read is not missed.
	_ = answer.Body.Close()                                        // As above.
	r.attempt.DurationMS = s.c.Now().Sub(began).Milliseconds()
	r.attempt.Status, r.attempt.Answer = answer.StatusCode, kept(text, secrets)
	if !r.taken() {
		r.throttle = throttle(answer.StatusCode, answer.Header, s.c.Now())
		r.attempt.Error = refusal(answer.StatusCode)
	}
	return r, nil
}

func refusal(status int) string {
	switch {
	case status >= 300 && status <= 399:
		return "it answered with a redirect, and those are not followed"
	case status == http.StatusGone:
		return "it answered that it is gone"
	default:
		return fmt.Sprintf("it answered %d, and 200 to 299 take a message", status)
	}
}

// signed makes the request, signed with each secret that counts, and returns what of it is
// not to be shown.
func signed(to destination.Opened, id string, at time.Time, body []byte) (*http.Request, []string, error) {
	header := http.Header{}
	var signatures, hide []string
	for _, secret := range to.Secrets(at) {
		h, err := webhook.Sign(destination.Scheme, secret, id, at, body)
		if err != nil {
			return nil, nil, fmt.Errorf("sign a message: %w", err)
		}
		signatures = append(signatures, h.Get("Webhook-Signature"))
		hide = append(hide, strings.TrimPrefix(secret, "whsec_"), strings.TrimPrefix(h.Get("Webhook-Signature"), "v1,"))
		header = h
	}
	header.Set("Webhook-Signature", strings.Join(signatures, " "))
	header.Set("Content-Type", "application/json")
	header.Set("User-Agent", "Cofferdam")
	r, err := http.NewRequest(http.MethodPost, to.URL, bytes.NewReader(body)) //nolint:noctx // Whoever sends it gives it one.
	if err != nil {
		return nil, nil, errors.New("make a request: the destination's URL is none") // The error quotes it.
	}
	r.Header = header
	return r, append(hide, inURL(r.URL)...), nil
}

// inURL are the values in a URL that may be secret: receivers put tokens into paths and
// queries.
func inURL(u *url.URL) []string {
	var all []string
	for _, values := range u.Query() {
		all = append(all, values...)
	}
	for part := range strings.SplitSeq(u.Path, "/") {
		all = append(all, part)
	}
	long := all[:0]
	for _, v := range all {
		if len(v) >= secretLeast {
			long = append(long, v)
		}
	}
	return long
}

// kept is the beginning of an answer, as text and without what is secret. A secret that the
// end cuts in two is gone with it: what is cut off is longer than any.
func kept(answer []byte, secrets []string) string {
	text := strings.ToValidUTF8(string(answer), "\uFFFD")
	for _, s := range secrets {
		text = strings.ReplaceAll(text, s, hidden)
	}
	text = strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' && r != '\t' || r == 0x7f {
			return -1
		}
		return r
	}, text)
	if len(text) <= answerKept {
		return text
	}
	for n := answerKept; ; n-- {
		if utf8.RuneStart(text[n]) {
			return text[:n]
		}
	}
}

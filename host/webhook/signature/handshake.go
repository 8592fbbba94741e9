package signature

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/webhook/descriptor"
)

// maxEcho bounds what an answer repeats of a request. Microsoft's validation tokens have
// some 300 characters.
const maxEcho = 2048

// Reply is the answer to a handshake.
type Reply struct {
	Name   string
	Status int
	Header http.Header
	// ContentType is empty where there is no body.
	ContentType string
	Body        []byte
	// Adopt is the secret that the request brought, if it is one that brings it: to be
	// answered only if the endpoint waits for it.
	Adopt string
}

type handshake struct {
	descriptor.Handshake
	when    []match
	confirm *address
}

func compileHandshake(h descriptor.Handshake) (handshake, error) {
	ready := handshake{Handshake: h}
	var err error
	if ready.when, err = compileMatches(h.When); err != nil {
		return handshake{}, err
	}
	if h.Confirm.At != "" {
		ready.confirm, err = compileAddress(h.Confirm)
	}
	return ready, err
}

// Takes says that requests of this method may be handshakes.
func (s *Scheme) Takes(method string) bool {
	for _, h := range s.handshakes {
		if h.Method == method {
			return true
		}
	}
	return false
}

// Unsigned answers a handshake that the vendor does not sign, or returns nil if the request
// is none.
func (s *Scheme) Unsigned(c Case) (*Reply, error) {
	j := s.judge(c)
	for _, h := range s.handshakes {
		if h.Unsigned && h.Method == c.Method && j.holds(h.when, j.Parameters) {
			return j.reply(h)
		}
	}
	return nil, nil //nolint:nilnil // It is not one, which is no error.
}

// handshake answers one that has been verified.
func (j *judgement) handshake(ctx context.Context) (*Reply, error) {
	for _, h := range j.handshakes {
		if h.Unsigned || h.Method != j.Case.Method || !j.holds(h.when, j.Parameters) {
			continue
		}
		if h.confirm != nil {
			if err := j.Vendors.confirm(ctx, h.confirm, j.reading); err != nil {
				return nil, err
			}
		}
		return j.reply(h)
	}
	return nil, nil //nolint:nilnil // It is none, which is no error.
}

func (j *judgement) reply(h handshake) (*Reply, error) {
	r := &Reply{Name: h.Name, Status: h.Respond.Status, Header: http.Header{}}
	if h.Adopt != "" {
		secret, err := j.one(h.Adopt)
		if err != nil {
			return nil, err
		}
		if err := j.CheckSecret(secret); err != nil {
			return nil, err
		}
		r.Adopt = secret
	}
	for name, value := range h.Respond.Header {
		text, err := j.fill(value)
		if err != nil {
			return nil, err
		}
		if !visible(strings.ReplaceAll(text, " ", "")) {
			return nil, fault.New(fault.InvalidInput, codeRefused, "what would be repeated in a header has a control character")
		}
		r.Header.Set(name, text)
	}
	if h.Respond.Text != "" {
		text, err := j.fill(h.Respond.Text)
		if err != nil {
			return nil, err
		}
		r.ContentType, r.Body = "text/plain; charset=utf-8", []byte(text)
	}
	if h.Respond.JSON != nil {
		return r, j.object(r, h.Respond.JSON)
	}
	return r, nil
}

func (j *judgement) object(r *Reply, members map[string]any) error {
	filled := make(map[string]any, len(members))
	for name, value := range members {
		filled[name] = value
		if template, ok := value.(string); ok {
			text, err := j.fill(template)
			if err != nil {
				return err
			}
			filled[name] = text
		}
	}
	body, err := json.Marshal(filled)
	if err != nil {
		return fmt.Errorf("write the answer to a handshake: %w", err)
	}
	r.ContentType, r.Body = "application/json", body
	return nil
}

// fill fills a template of an answer.
func (j *judgement) fill(text string) (string, error) {
	pieces, err := descriptor.Split(text)
	if err != nil {
		return "", fmt.Errorf("split the template: %w", err)
	}
	var b strings.Builder
	for _, p := range pieces {
		switch p.Name {
		case "":
			b.WriteString(p.Text)
		case "hmac-hex", "hmac-b64":
			sum, err := j.answerSum(p)
			if err != nil {
				return "", err
			}
			b.WriteString(sum)
		default:
			value, err := j.one(p.Name + ":" + p.Of)
			if err != nil {
				return "", err
			}
			b.WriteString(value)
		}
	}
	if b.Len() > maxEcho {
		return "", fault.New(fault.InvalidInput, codeRefused, "the answer would have %d bytes: at most %d are repeated", b.Len(), maxEcho)
	}
	return b.String(), nil
}

// answerSum is the HMAC of what is at a place, under the newest secret.
func (j *judgement) answerSum(p descriptor.Piece) (string, error) {
	value, err := j.one(p.Of)
	if err != nil {
		return "", err
	}
	if len(j.Secrets) == 0 {
		return "", setup("the endpoint has no signing secret yet")
	}
	key, err := keyOf(j.ways[0].Signature, j.Secrets[0])
	shared, ok := key.([]byte)
	if err != nil || !ok {
		return "", setup("the endpoint's secret cannot sign an answer")
	}
	return encode(strings.TrimPrefix(p.Name, "hmac-"), hmacSum(j.ways[0].Alg, shared, []byte(value))), nil
}

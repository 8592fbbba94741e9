package api

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/cofferdam-run/cofferdam/host/api/internal/param"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/webhook"
	"github.com/cofferdam-run/cofferdam/host/webhook/descriptor"
	"github.com/cofferdam-run/cofferdam/host/webhook/signature"
)

type verifySampleInput struct {
	param.InTenant
	Body struct {
		Endpoint   string            `json:"endpoint,omitempty" doc:"The endpoint whose delivery it is."`
		Scheme     string            `json:"scheme,omitempty" doc:"The scheme to judge it by. Defaults to the endpoint's."`
		Descriptor json.RawMessage   `json:"descriptor,omitempty" doc:"The descriptor to judge it by, instead of a scheme."`
		Secret     string            `json:"secret,omitempty" writeOnly:"true" doc:"The signing secret. Defaults to the endpoint's."`
		Parameters map[string]string `json:"parameters,omitempty" writeOnly:"true" doc:"What the scheme must be told. Defaults to what the endpoint was."`
		At         time.Time         `json:"at,omitzero" doc:"When it arrived. Defaults to now, so that an old one fails."`
		Request    sampleRequest     `json:"request"`
	}
}

// sampleRequest is a delivery as somebody pastes it.
type sampleRequest struct {
	Method   string              `json:"method,omitempty" doc:"Defaults to POST."`
	URL      string              `json:"url,omitempty" doc:"The URL that the vendor was given, without its query. Defaults to the endpoint's."`
	Query    string              `json:"query,omitempty" doc:"The query as it came, without its question mark."`
	Headers  map[string][]string `json:"headers,omitempty" doc:"The headers."`
	Body     string              `json:"body,omitempty" doc:"The raw body, byte for byte."`
	Encoding string              `json:"encoding,omitempty" enum:"utf8,base64" doc:"How the body is written here. Defaults to utf8."`
}

func (s *server) verifySample(ctx context.Context, in *verifySampleInput) (*answer[signature.Report], error) {
	r, err := requestOf(in.Body.Request)
	if err != nil {
		return nil, err
	}
	return answered(s.h.Webhooks.Try(ctx, tenantOf(ctx), webhook.Sample{
		Endpoint: in.Body.Endpoint, Scheme: in.Body.Scheme, Descriptor: in.Body.Descriptor, Secret: in.Body.Secret,
		Parameters: in.Body.Parameters, At: in.Body.At, Request: r,
	}))
}

// requestOf reads a request as somebody has pasted it.
func requestOf(from sampleRequest) (signature.Request, error) {
	r := signature.Request{Method: from.Method, URL: from.URL, Query: from.Query, Header: http.Header{}, Body: []byte(from.Body)}
	if r.Method == "" {
		r.Method = http.MethodPost
	}
	for name, values := range from.Headers {
		for _, v := range values {
			r.Header.Add(name, v)
		}
	}
	if from.Encoding == "base64" {
		body, err := base64.StdEncoding.DecodeString(from.Body)
		if err != nil {
			return r, fault.New(fault.InvalidInput, "invalid_sample", "the body is not base64").At("/request/body")
		}
		r.Body = body
	}
	return r, nil
}

type signSampleInput struct {
	param.OneEndpoint
	Body struct {
		ID       string              `json:"id,omitempty" maxLength:"256" doc:"The delivery's id. Defaults to a new one."`
		Headers  map[string][]string `json:"headers,omitempty" doc:"Further headers of the vendor's."`
		Body     string              `json:"body,omitempty" doc:"The raw body, byte for byte."`
		Encoding string              `json:"encoding,omitempty" enum:"utf8,base64" doc:"How the body is written here. Defaults to utf8."`
	}
}

func (s *server) signSample(ctx context.Context, in *signSampleInput) (*answer[sampleRequest], error) {
	r, err := requestOf(sampleRequest{Headers: in.Body.Headers, Body: in.Body.Body, Encoding: in.Body.Encoding})
	if err != nil {
		return nil, err
	}
	if r.Header.Get("Content-Type") == "" {
		r.Header.Set("Content-Type", "application/json")
	}
	id := in.Body.ID
	if id == "" {
		id = rand.Text()
	}
	signed, err := s.h.Webhooks.SignSample(ctx, tenantOf(ctx), in.Endpoint, id, r)
	if err != nil {
		return nil, err
	}
	view := sampleRequest{Method: signed.Method, URL: signed.URL, Query: signed.Query, Headers: signed.Header, Body: string(signed.Body), Encoding: "utf8"}
	if !utf8.Valid(signed.Body) {
		view.Body, view.Encoding = base64.StdEncoding.EncodeToString(signed.Body), "base64"
	}
	return answered(view, nil)
}

// schemeView is a provider as whoever makes an endpoint for it needs it.
type schemeView struct {
	Name       string          `json:"name" doc:"What manifests and endpoints call it."`
	Title      string          `json:"title" doc:"What people call it."`
	Secret     string          `json:"secret" doc:"Who makes the signing secret: ours, vendor, handshake (the vendor's first request brings it) or none."`
	Weak       string          `json:"weak,omitempty" doc:"Why an endpoint of it needs allow_weak."`
	Parameters []string        `json:"parameters" nullable:"false" doc:"What an endpoint of it must be told, or may be."`
	Notes      []string        `json:"notes" nullable:"false" doc:"What else there is to know."`
	Docs       []string        `json:"docs" nullable:"false" doc:"The vendor's pages that this is from."`
	Descriptor json.RawMessage `json:"descriptor" doc:"All of it, as data: a descriptor of one's own has the same form."`
}

func (s *server) listSchemes(context.Context, *struct{}) (*answer[page[schemeView]], error) {
	all, err := descriptor.Load()
	if err != nil {
		return nil, err //nolint:wrapcheck // It is in the program, and tested.
	}
	views := make([]schemeView, len(all))
	for i, d := range all {
		text, err := json.Marshal(d) //nolint:gosec // Its secret says who makes one, and is none.
		if err != nil {
			return nil, fmt.Errorf("write a descriptor: %w", err)
		}
		views[i] = schemeView{
			Name: d.Name, Title: d.Title, Secret: d.Secret, Weak: d.Weak, Parameters: append([]string{}, slices.Sorted(maps.Keys(d.Parameters))...),
			Notes: append([]string{}, d.Notes...), Docs: d.Docs, Descriptor: text,
		}
	}
	return listed(views, nil)
}

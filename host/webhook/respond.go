package webhook

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"mime"
	"net/http"
	"net/textproto"
	"strings"
)

// Response is what a plugin has whoever delivered told.
type Response struct {
	Status int
	Header http.Header
	Body   []byte
}

// answers are the media types that a plugin may answer with: those that no browser runs.
// What is of another type is told as text.
func answers(mediaType string) bool {
	switch mediaType {
	case "application/json", "text/plain", "text/xml", "application/xml":
		return true
	default:
		return strings.HasPrefix(mediaType, "application/") && strings.HasSuffix(mediaType, "+json")
	}
}

const (
	asJSON = "application/json"
	asText = "text/plain; charset=utf-8"
)

// ResponseOf is what the output of an execution says that the response is: the output
// itself, or what its one member "respond" says. See sdk/ABI.md. What cannot be understood
// of that is the output itself, too: the execution has succeeded.
func ResponseOf(output json.RawMessage) Response {
	plain := Response{Status: http.StatusOK, Header: http.Header{"Content-Type": {asJSON}}, Body: output}
	if len(output) == 0 {
		return Response{Status: http.StatusNoContent, Header: http.Header{}}
	}
	var of map[string]json.RawMessage
	if json.Unmarshal(output, &of) != nil || len(of) != 1 || of["respond"] == nil {
		return plain
	}
	var said struct {
		Status  int               `json:"status"`
		Headers map[string]string `json:"headers"`
		Body    json.RawMessage   `json:"body"`
		Bytes   *string           `json:"body_base64"`
	}
	d := json.NewDecoder(bytes.NewReader(of["respond"]))
	d.DisallowUnknownFields()
	if d.Decode(&said) != nil || said.Bytes != nil && said.Body != nil {
		return plain
	}
	r := Response{Status: said.Status, Header: http.Header{}}
	if r.Status == 0 {
		r.Status = http.StatusOK
	}
	if r.Status < 200 || r.Status > 599 || r.Status/100 == 3 { // A redirect says nothing to a vendor.
		return plain
	}
	if !r.read(said.Body, said.Bytes) {
		return plain
	}
	r.take(said.Headers)
	return r
}

// read takes the body: a text as it is, and anything else as JSON.
func (r *Response) read(body json.RawMessage, encoded *string) bool {
	var text string
	switch {
	case encoded != nil:
		b, err := base64.StdEncoding.DecodeString(*encoded)
		r.Body = b
		r.Header.Set("Content-Type", asText)
		return err == nil
	case len(body) == 0 || string(body) == "null":
		return true
	case json.Unmarshal(body, &text) == nil:
		r.Body = []byte(text)
		r.Header.Set("Content-Type", asText)
	default:
		r.Body = body
		r.Header.Set("Content-Type", asJSON)
	}
	return true
}

// take takes the headers that a plugin may set.
func (r *Response) take(given map[string]string) {
	for name, value := range given {
		if strings.ContainsFunc(value, func(c rune) bool { return c < ' ' || c > '~' }) {
			continue
		}
		switch name = textproto.CanonicalMIMEHeaderKey(name); name {
		case "Content-Language", "Retry-After":
			r.Header.Set(name, value)
		case "Content-Type":
			if mediaType, _, err := mime.ParseMediaType(value); err == nil && answers(mediaType) {
				r.Header.Set(name, value)
			}
		}
	}
}

// Probe asks each function of the host by way of the SDK: what its input says, and
// nothing else.
package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"log/slog"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/cofferdam-run/cofferdam/sdk/go/connector"
	"github.com/cofferdam-run/cofferdam/sdk/go/connector/code"
)

var _ = connector.Define(connector.Connector{
	Name: "probe-go", Version: "0.1.0", Config: Config{},
	Connections: []connector.Connection{
		{Name: "account", Type: connector.Bearer, Hosts: []string{"api.example.com"}, Rate: connector.Rate{PerSecond: 9.5, Burst: 20}},
		{Name: "shared", Type: connector.HMAC, Hosts: []string{"api.example.com"}, Sign: []string{"hmac-sha1", "hmac-sha256", "HS256"}},
		{Name: "app", Type: connector.PrivateKey, Hosts: []string{"api.example.com"}, Sign: []string{"EdDSA", "ES256", "RS256"}},
		{Name: "aws", Type: connector.AWS, Hosts: []string{"examplebucket.s3.amazonaws.com"}, Sign: []string{"aws-sigv4"}},
	},
	Egress:      []connector.Egress{{Host: "api.example.com", Methods: []string{"GET", "POST", "PUT", "PATCH"}}},
	Idempotency: []connector.Idempotency{{Host: "api.example.com", Header: "Idempotency-Key", TTL: time.Hour}},
	Actions: []connector.Action{
		{Name: "get", Run: connector.Func(get)}, {Name: "set", Run: connector.Func(set)},
		{Name: "delete", Run: connector.Func(remove)}, {Name: "swap", Run: connector.Func(swap)},
		{Name: "add", Run: connector.Func(add)}, {Name: "list", Run: connector.Func(list)},
		{Name: "http", Run: connector.Func(http)}, {Name: "context", Run: connector.Func(context)},
		{Name: "echo", Run: connector.Func(echo)}, {Name: "log", Run: connector.Func(log)},
		{Name: "emit", Run: connector.Func(emit)}, {Name: "tag", Run: connector.Func(tag)},
		{Name: "sleep", Run: connector.Func(sleep)}, {Name: "again", Run: connector.Func(again)},
		{Name: "hmac", Run: connector.Func(hmac)}, {Name: "jwt", Run: connector.Func(jwt)}, {Name: "sigv4", Run: connector.Func(sigv4)},
		{Name: "fail", Run: connector.Func(fail)}, {Name: "bug", Run: connector.Func(bug)},
	},
	Webhooks: []connector.Webhook{
		{Name: "any", Scheme: "github", Run: deliver},
		{Name: "signed", Verify: verify, Run: deliver},
	},
	Polls:   []connector.Poll{{Name: "count", Every: time.Minute, Run: connector.PollFunc(count)}},
	Confirm: confirm,
})

func main() {}

type (
	Config struct {
		Word string `json:"word" default:"Hello"`
		N    *int   `json:"n"`
	}
	object map[string]any
	keyed  struct {
		Key   string          `json:"key"`
		Value json.RawMessage `json:"value,omitempty"`
		Old   json.RawMessage `json:"old,omitempty"`
		New   json.RawMessage `json:"new,omitempty"`
		Delta int64           `json:"delta,omitempty"`
	}
	listed struct {
		Prefix, After string
		Limit         int
	}
	asked struct {
		URL, Method, Connection string           `json:",omitempty"`
		Headers                 connector.Header `json:",omitempty"`
		JSON                    any              `json:"json,omitempty"`
		Text                    string           `json:"text,omitempty"`
		Bytes                   []int            `json:"bytes,omitempty"`
		TimeoutMS               int              `json:"timeout_ms,omitempty"`
		Key                     string           `json:"key,omitempty"`
	}
	line struct {
		Level, Message string
		Fields         map[string]any
	}
	record struct {
		Name, Key, Value string `json:",omitempty"`
		Data             any    `json:"data,omitempty"`
	}
	wait struct {
		MS         int64           `json:"ms,omitempty"`
		Until      time.Time       `json:"until,omitzero"`
		Checkpoint json.RawMessage `json:"checkpoint,omitempty"`
	}
	signed struct {
		Connection string         `json:"connection"`
		Algorithm  string         `json:"algorithm,omitempty"`
		Text       string         `json:"text,omitempty"`
		Bytes      []int          `json:"bytes,omitempty"`
		Claims     map[string]any `json:"claims,omitempty"`
		Method     string         `json:"method,omitempty"`
		URL        string         `json:"url,omitempty"`
		LifetimeS  int            `json:"lifetime_s,omitempty"`
	}
	failure struct {
		Code         code.Code
		Message      string
		RetryAfterMS int64 `json:"retry_after_ms"`
		Details      any
	}
)

func get(ctx *connector.Context, in keyed) (object, error) {
	var value any
	found, err := ctx.State.Get(in.Key, &value)
	return object{"found": found, "value": value}, err
}

func set(ctx *connector.Context, in keyed) (object, error) {
	return object{}, ctx.State.Set(in.Key, in.Value)
}

func remove(ctx *connector.Context, in keyed) (object, error) {
	return object{}, ctx.State.Delete(in.Key)
}

func swap(ctx *connector.Context, in keyed) (object, error) {
	var old any
	if in.Old != nil {
		old = in.Old
	}
	swapped, err := ctx.State.CompareAndSet(in.Key, old, in.New)
	return object{"swapped": swapped}, err
}

func add(ctx *connector.Context, in keyed) (object, error) {
	sum, err := ctx.State.Add(in.Key, in.Delta)
	return object{"sum": sum}, err
}

func list(ctx *connector.Context, in listed) (object, error) {
	entries, more, err := ctx.State.List(in.Prefix, in.After, in.Limit)
	keys, values := []string{}, []json.RawMessage{}
	for _, e := range entries {
		keys, values = append(keys, e.Key), append(values, e.Value)
	}
	return object{"keys": keys, "values": values, "more": more}, err
}

func http(ctx *connector.Context, in asked) (object, error) {
	r := connector.Request{
		Connection: in.Connection, Method: in.Method, URL: in.URL, Header: in.Headers, JSON: in.JSON, Body: []byte(in.Text),
		Timeout: time.Duration(in.TimeoutMS) * time.Millisecond, IdempotencyKey: in.Key,
	}
	for _, b := range in.Bytes {
		r.Body = append(r.Body, byte(b))
	}
	response, err := ctx.HTTP.Do(r)
	if err != nil {
		return nil, err
	}
	out := object{"status": response.Status, "retry": response.Header.Get("Retry-After"), "text": nil, "size": len(response.Body)}
	if utf8.Valid(response.Body) && len(response.Body) < 1000 {
		out["text"] = string(response.Body)
	}
	return out, nil
}

func context(ctx *connector.Context, _ object) (object, error) {
	var c Config
	err := ctx.Config(&c)
	connections := object{}
	for _, name := range ctx.Connections() {
		var fields any
		if err := ctx.Connection(name, &fields); err != nil {
			return nil, err
		}
		connections[name] = fields
	}
	return object{"execution": ctx.Execution, "attempt": ctx.Attempt, "word": c.Word, "n": c.N, "connections": connections, "now": time.Now().UnixMilli()}, err
}

func echo(_ *connector.Context, in any) (any, error) { return in, nil }

func log(ctx *connector.Context, in line) (object, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(in.Level)); err != nil {
		return nil, err
	}
	var attrs []any
	for name, value := range in.Fields {
		attrs = append(attrs, slog.Any(name, value))
	}
	ctx.Log.Log(nil, level, in.Message, attrs...)
	return object{}, nil
}

func emit(ctx *connector.Context, in record) (object, error) {
	return object{}, ctx.Emit(in.Name, in.Key, in.Data)
}

func tag(ctx *connector.Context, in record) (object, error) {
	return object{}, ctx.Tag(in.Name, in.Value)
}

func sleep(ctx *connector.Context, in wait) (object, error) {
	if !in.Until.IsZero() {
		return object{}, ctx.SleepUntil(in.Until)
	}
	return object{}, ctx.Sleep(time.Duration(in.MS) * time.Millisecond)
}

func again(ctx *connector.Context, in wait) (object, error) {
	var checkpoint any
	if found, err := ctx.Checkpoint(&checkpoint); found {
		return object{"checkpoint": checkpoint}, err
	}
	return nil, ctx.StartAgainAt(in.Until, in.Checkpoint)
}

func hmac(ctx *connector.Context, in signed) (connector.Signature, error) {
	payload := []byte(in.Text)
	for _, b := range in.Bytes {
		payload = append(payload, byte(b))
	}
	return ctx.Sign.HMAC(in.Connection, in.Algorithm, payload)
}

func jwt(ctx *connector.Context, in signed) (object, error) {
	token, expires, err := ctx.Sign.JWT(in.Connection, in.Algorithm, in.Claims, time.Duration(in.LifetimeS)*time.Second)
	return object{"token": token, "expires_at": expires}, err
}

func sigv4(ctx *connector.Context, in signed) (object, error) {
	url, expires, err := ctx.Sign.SigV4(in.Connection, in.Method, in.URL, time.Duration(in.LifetimeS)*time.Second)
	return object{"url": url, "expires_at": expires}, err
}

func fail(_ *connector.Context, in failure) (object, error) {
	return nil, &connector.Error{Code: in.Code, Message: in.Message, RetryAfter: time.Duration(in.RetryAfterMS) * time.Millisecond, Details: in.Details}
}

func bug(*connector.Context, object) (object, error) { return nil, errors.New("no error of ours") }

func deliver(_ *connector.Context, d connector.Delivery) (any, error) {
	bytes := []int{}
	for _, b := range d.Body {
		bytes = append(bytes, int(b))
	}
	return object{"id": d.ID, "method": d.Method, "path": d.Path, "query": d.Query, "header": d.Header.Get("X-Test"), "none": d.Header.Get("none"), "bytes": bytes}, nil
}

func verify(ctx *connector.Context, d connector.Incoming) (connector.Verdict, error) {
	if what := d.Header.Get("X-Do"); what != "" {
		return connector.Verdict{}, misbehave(ctx, what)
	}
	switch d.Method {
	case "GET":
		return connector.Respond(connector.HandshakeResponse{Status: 200, Text: d.Query}), nil
	case "PUT":
		var shake object
		err := json.Unmarshal(d.Body, &shake)
		return connector.Respond(connector.HandshakeResponse{Status: 201, JSON: object{"challenge": shake["challenge"]}}), err
	}
	given := d.Header.Get("X-Signature")
	if given == "" {
		return connector.Refuse(connector.SignatureMissing, "there is no x-signature"), nil
	}
	var c Config
	if err := ctx.Config(&c); err != nil {
		return connector.Verdict{}, err
	}
	head := c.Word + "|" + d.Method + "|" + d.URL + "|" + d.Query + "|"
	want, err := ctx.Sign.HMAC(cmp.Or(d.Header.Get("X-Secret"), connector.Secret), "hmac-sha256", append([]byte(head), d.Body...))
	if err != nil {
		return connector.Verdict{}, err
	}
	if !want.Is(given) {
		return connector.Refuse(connector.SignatureInvalid, "it is another, at "+d.ReceivedAt.Format(time.RFC3339)), nil
	}
	var signedAt time.Time
	if seconds, err := strconv.ParseInt(d.Header.Get("X-Time"), 10, 64); err == nil {
		signedAt = time.Unix(seconds, 0)
	}
	return connector.Accept(d.Header.Get("X-Id"), signedAt), nil
}

func misbehave(ctx *connector.Context, what string) error {
	switch what {
	case "http":
		_, err := ctx.HTTP.Do(connector.Request{URL: "https://api.example.com/"})
		return err
	case "state":
		return ctx.State.Set("a", 1)
	case "token":
		_, _, err := ctx.Sign.JWT(connector.Secret, "HS256", map[string]any{"a": 1}, 0)
		return err
	case "spin":
		for { //nolint:revive,staticcheck // It is what is tried.
		}
	default:
		panic("no error of ours")
	}
}

type cursor struct {
	N int `json:"n"`
}

func count(_ *connector.Context, n cursor) (connector.Page[cursor], error) {
	if n.N >= 3 {
		return connector.Page[cursor]{Cursor: n}, nil
	}
	n.N++
	return connector.Page[cursor]{Records: []connector.Record{{Key: string(rune('0' + n.N)), Data: n}}, Cursor: n, More: true}, nil
}

func confirm(ctx *connector.Context, d connector.Doubt) (connector.Confirmation, error) {
	if err := ctx.HTTP.Fetch(connector.Request{URL: d.Request.URL}, nil); err != nil {
		return connector.Unsure(), err
	}
	switch {
	case strings.HasSuffix(d.Request.URL, "/yes"):
		return connector.Happened(connector.Response{Status: 201, Header: d.Request.Header, Body: []byte("made")}), nil
	case strings.HasSuffix(d.Request.URL, "/no"):
		return connector.NotHappened(), nil
	default:
		return connector.Unsure(), nil
	}
}

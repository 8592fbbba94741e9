package connector_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/sdk/go/connector"
	"github.com/cofferdam-run/cofferdam/sdk/go/connector/code"
)

// script is a Host that answers each function with a fixed answer, {"result":{}}
// by default, and remembers what it was asked.
type script struct {
	answers map[string]string
	asked   []string
}

func (s *script) Call(function string, request []byte) []byte {
	s.asked = append(s.asked, function+" "+string(request))
	if answer, ok := s.answers[function]; ok {
		return []byte(answer)
	}
	return []byte(`{"result":{}}`)
}

func (s *script) Random(p []byte) {
	for i := range p {
		p[i] = byte(i)
	}
}

type greetInput struct {
	Name  string `json:"name"`
	Times int    `json:"times" default:"1"`
}

type greetOutput struct {
	Greeting string `json:"greeting"`
}

// with is a connector with one action, run, that does f.
func with(f func(ctx *connector.Context) error) connector.Connector {
	return connector.Connector{
		Name: "test", Version: "1.0.0",
		Actions: []connector.Action{{Name: "run", Run: connector.Func(func(ctx *connector.Context, _ struct{}) (string, error) {
			return "done", f(ctx)
		})}},
	}
}

// do runs f in a call against host.
func do(host connector.Host, f func(ctx *connector.Context) error) error {
	_, err := with(f).Call(host, "action", []byte(`{"execution":"exe_1","attempt":2,"action":"run","input":{},"config":{"n":4},"connections":{"github":{}}}`))
	return err
}

func mustDo(t *testing.T, host connector.Host, f func(ctx *connector.Context) error) {
	t.Helper()
	if err := do(host, f); err != nil {
		t.Fatal(err)
	}
}

func failureOf(t *testing.T, err error) *connector.Error {
	t.Helper()
	var e *connector.Error
	if !errors.As(err, &e) {
		t.Fatalf("got %v, want a *connector.Error", err)
	}
	return e
}

func greeter() connector.Connector {
	return connector.Connector{
		Name: "greeter", Version: "1.2.3",
		Actions: []connector.Action{{
			Name: "greet",
			Run: connector.Func(func(_ *connector.Context, in greetInput) (greetOutput, error) {
				return greetOutput{strings.Repeat("hello "+in.Name+" ", in.Times)}, nil
			}),
		}},
		Webhooks: []connector.Webhook{{
			Name: "ping", Scheme: "github",
			Run: func(_ *connector.Context, d connector.Delivery) (any, error) {
				return fmt.Sprintf("%s %s?%s %s %s", d.Method, d.Path, d.Query, d.Header.Get("X-Kind"), d.Body), nil
			},
		}},
		Polls: []connector.Poll{{
			Name: "since", Every: time.Minute,
			Run: connector.PollFunc(func(_ *connector.Context, since int) (connector.Page[int], error) {
				if since == 0 {
					return connector.Page[int]{Cursor: 1, More: true}, nil
				}
				return connector.Page[int]{Cursor: since + 1, Records: []connector.Record{{Key: "k", Data: since}}}, nil
			}),
		}},
	}
}

func TestExportsAnswerTheirEnvelope(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ export, input, want string }{
		"an action":                      {"action", `{"action":"greet","input":{"name":"mona","times":2}}`, `{"greeting":"hello mona hello mona "}`},
		"an action with defaults":        {"action", `{"action":"greet","input":{"name":"mona"}}`, `{"greeting":"hello mona "}`},
		"a webhook":                      {"webhook", `{"webhook":"ping","request":{"id":"d","received_at":"2026-03-02T07:14:09Z","method":"POST","path":"/p","query":"a=1","headers":{"x-kind":["k"]},"body":"text"}}`, `"POST /p?a=1 k text"`},
		"a webhook of binary":            {"webhook", `{"webhook":"ping","request":{"method":"POST","path":"/","headers":{},"body_base64":"eHl6"}}`, `"POST /?  xyz"`},
		"a poll for the first time":      {"poll", `{"poll":"since","cursor":null}`, `{"records":[],"cursor":1,"more":true}`},
		"a poll that goes on":            {"poll", `{"poll":"since","cursor":5}`, `{"records":[{"key":"k","data":5}],"cursor":6,"more":false}`},
		"properties of newer hosts pass": {"action", `{"action":"greet","input":{"name":"x"},"new":1}`, `{"greeting":"hello x "}`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := greeter().Call(&script{}, tt.export, []byte(tt.input))
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

func TestWhatIsNotThereIsInvalidInput(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ export, input, want string }{
		"an action":           {"action", `{"action":"shout"}`, `there is no action "shout"; this connector has ["greet"]`},
		"a webhook":           {"webhook", `{"webhook":"pong"}`, `there is no webhook "pong"`},
		"a poll":              {"poll", `{"poll":"until"}`, `there is no poll "until"`},
		"a test":              {"test", `{}`, `has no test`},
		"an export":           {"dance", `{}`, `there is no export "dance"`},
		"an envelope":         {"action", `{`, `read the input of action`},
		"an input of its own": {"action", `{"action":"greet","input":{"name":7}}`, `read the input: json`},
		"a delivery":          {"webhook", `{"webhook":"ping","request":[]}`, `read the delivery`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := greeter().Call(&script{}, tt.export, []byte(tt.input))
			if got := failureOf(t, err); got.Code != code.InvalidInput || !strings.Contains(got.Message, tt.want) {
				t.Errorf("got %v, want invalid_input with %q", got, tt.want)
			}
		})
	}
}

func TestACursorOfAnotherTypeIsTheConnectorsBug(t *testing.T) {
	t.Parallel()
	_, err := greeter().Call(&script{}, "poll", []byte(`{"poll":"since","cursor":"text"}`))
	if got := failureOf(t, err); got.Code != code.PluginBug {
		t.Errorf("got %v", got)
	}
}

func TestErrorsReachTheHostWithACode(t *testing.T) {
	t.Parallel()
	limited := connector.Errorf(code.RateLimited, "slow down: %w", io.ErrUnexpectedEOF)
	limited.RetryAfter, limited.Details = 1500*time.Millisecond, map[string]int{"left": 0}
	tests := map[string]struct {
		err  error
		want string
	}{
		"a coded one":       {limited, `{"code":"rate_limited","message":"slow down: unexpected EOF","retry_after_ms":1500,"details":{"left":0}}`},
		"a wrapped one":     {fmt.Errorf("label: %w", limited), `{"code":"rate_limited","message":"label: rate_limited: slow down: unexpected EOF","retry_after_ms":1500,"details":{"left":0}}`},
		"a plain one":       {io.EOF, `{"code":"plugin_bug","message":"EOF"}`},
		"a word of its own": {connector.Errorf("out_of_stock", "none left"), `{"code":"out_of_stock","message":"none left"}`},
		"a wait below 1 ms": {&connector.Error{Code: code.Retry, RetryAfter: time.Microsecond}, `{"code":"retry","message":"","retry_after_ms":1}`},
		"useless details":   {&connector.Error{Code: code.Retry, Message: "m", Details: make(chan int)}, `{"code":"retry","message":"m"}`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := do(&script{}, func(*connector.Context) error { return tt.err })
			if !errors.Is(err, tt.err) {
				t.Errorf("%v does not lead back to %v", err, tt.err)
			}
			got, encodeErr := json.Marshal(err)
			if encodeErr != nil || string(got) != tt.want {
				t.Errorf("got %s, %v, want %s", got, encodeErr, tt.want)
			}
		})
	}
	if !errors.Is(limited, io.ErrUnexpectedEOF) {
		t.Error("Errorf lost what it wraps")
	}
}

func TestErrorsSurviveTheWire(t *testing.T) {
	t.Parallel()
	var got connector.Error
	if err := json.Unmarshal([]byte(`{"code":"auth","message":"m","retry_after_ms":2000,"details":[1]}`), &got); err != nil {
		t.Fatal(err)
	}
	details, _ := got.Details.(json.RawMessage)
	if got.Code != code.Auth || got.RetryAfter != 2*time.Second || string(details) != "[1]" || got.Error() != "auth: m" {
		t.Errorf("got %+v", got)
	}
	if err := json.Unmarshal([]byte(`{"code":7}`), &got); err == nil {
		t.Error("a code that is a number was taken")
	}
}

func TestAPanicIsLoggedAndBecomesPluginBug(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]func(*connector.Context) error{
		"a runtime error": func(ctx *connector.Context) error { ctx.Attempt = []int{}[ctx.Attempt]; return nil },
		"a plain panic":   func(*connector.Context) error { panic("oh no: nil map") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			host := &script{}
			got := failureOf(t, do(host, f))
			if got.Code != code.PluginBug || !strings.HasPrefix(got.Message, "panic: ") {
				t.Errorf("got %v", got)
			}
			if len(host.asked) != 1 || !strings.Contains(host.asked[0], `"level":"error"`) || !strings.Contains(host.asked[0], "goroutine") {
				t.Errorf("the stack was not logged: %q", host.asked)
			}
		})
	}
}

func TestANilErrorOfTheConcreteTypeIsExplained(t *testing.T) {
	t.Parallel()
	var none *connector.Error
	got := failureOf(t, do(&script{}, func(*connector.Context) error { return none }))
	if got.Code != code.PluginBug || !strings.Contains(got.Message, "return a plain nil") {
		t.Errorf("got %v", got)
	}
}

func TestAnOutputWithoutJSONIsTheConnectorsBug(t *testing.T) {
	t.Parallel()
	c := greeter()
	c.Webhooks[0].Run = func(*connector.Context, connector.Delivery) (any, error) { return func() {}, nil }
	_, err := c.Call(&script{}, "webhook", []byte(`{"webhook":"ping","request":{}}`))
	if got := failureOf(t, err); got.Code != code.PluginBug || !strings.Contains(got.Message, "encode the output") {
		t.Errorf("got %v", got)
	}
}

func TestDefineTakesAValidConnectorAndPanicsAtAnother(t *testing.T) {
	t.Parallel()
	if got := connector.Define(greeter()); got.Name != "greeter" {
		t.Errorf("got %q", got.Name)
	}
	defer func() {
		if p := recover(); p == nil || !strings.Contains(fmt.Sprint(p), "semantic version") {
			t.Errorf("got %v, want a panic about the version", p)
		}
	}()
	connector.Define(connector.Connector{Name: "x", Version: "one"})
}

func TestDeliveriesSurviveTheWire(t *testing.T) {
	t.Parallel()
	for _, body := range [][]byte{[]byte("text"), {0xff, 0x00}, nil} {
		sent := connector.Delivery{ID: "d", ReceivedAt: time.Unix(9, 0).UTC(), Method: "POST", Path: "/p", Query: "q=1", Header: connector.Header{"A": {"1", "2"}, "a": {"3"}}, Body: body}
		data, err := json.Marshal(sent)
		if err != nil {
			t.Fatal(err)
		}
		var got connector.Delivery
		if err := json.Unmarshal(data, &got); err != nil {
			t.Fatal(err)
		}
		values := slices.Sorted(slices.Values(got.Header["a"]))
		if got.ID != "d" || !got.ReceivedAt.Equal(sent.ReceivedAt) || got.Query != "q=1" || !slices.Equal(got.Body, body) || !slices.Equal(values, []string{"1", "2", "3"}) {
			t.Errorf("got %+v from %s", got, data)
		}
	}
}

func FuzzCallNeverPanics(f *testing.F) {
	f.Add("action", []byte(`{"action":"greet","input":{"name":"x"}}`))
	f.Add("webhook", []byte(`{"webhook":"ping","request":{"body_base64":"eA=="}}`))
	f.Add("poll", []byte(`{"poll":"since","cursor":{}}`))
	f.Fuzz(func(t *testing.T, export string, input []byte) {
		output, err := greeter().Call(&script{}, export, input)
		if err == nil && !json.Valid(output) {
			t.Errorf("%s(%q): output %q", export, input, output)
		}
		if err != nil && failureOf(t, err).Code == "" {
			t.Errorf("%s(%q): an error without a code: %v", export, input, err)
		}
	})
}

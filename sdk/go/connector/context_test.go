package connector_test

import (
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/slogtest"
	"time"

	"github.com/cofferdam-run/cofferdam/sdk/go/connector"
	"github.com/cofferdam-run/cofferdam/sdk/go/connector/code"
)

func TestContextKnowsItsExecution(t *testing.T) {
	t.Parallel()
	mustDo(t, &script{}, func(ctx *connector.Context) error {
		if ctx.Execution != "exe_1" || ctx.Attempt != 2 || !slices.Equal(ctx.Connections(), []string{"github"}) {
			t.Errorf("got %q, %d, %q", ctx.Execution, ctx.Attempt, ctx.Connections())
		}
		return nil
	})
}

func TestConfigHasTheTypesDefaults(t *testing.T) {
	t.Parallel()
	mustDo(t, &script{}, func(ctx *connector.Context) error {
		var config struct {
			N     int    `json:"n"`
			Label string `json:"label" default:"triage"`
		}
		if err := ctx.Config(&config); err != nil || config.N != 4 || config.Label != "triage" {
			t.Errorf("got %+v, %v", config, err)
		}
		var other struct {
			N string `json:"n"`
		}
		if got := failureOf(t, ctx.Config(&other)); got.Code != code.InvalidInput || !strings.Contains(got.Message, "read the configuration") {
			t.Errorf("got %v", got)
		}
		return nil
	})
}

func TestHostFunctionsAreAskedAsTheContractSays(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		do   func(ctx *connector.Context) error
		want string
	}{
		"emit": {
			func(ctx *connector.Context) error { return ctx.Emit("order", "k1", map[string]int{"n": 1}) },
			`emit {"name":"order","key":"k1","data":{"n":1}}`,
		},
		"emit without a key": {
			func(ctx *connector.Context) error { return ctx.Emit("order", "", nil) },
			`emit {"name":"order","data":null}`,
		},
		"tag":               {func(ctx *connector.Context) error { return ctx.Tag("order", "1001") }, `tag {"name":"order","value":"1001"}`},
		"sleep":             {func(ctx *connector.Context) error { return ctx.Sleep(1500 * time.Millisecond) }, `sleep {"ms":1500}`},
		"sleep until":       {func(ctx *connector.Context) error { return ctx.SleepUntil(time.Unix(0, 0).UTC()) }, `sleep {"until":"1970-01-01T00:00:00Z"}`},
		"sleep of a little": {func(ctx *connector.Context) error { return ctx.Sleep(250 * time.Microsecond) }, `sleep {"ms":0.25}`},
		"sleep of the past": {func(ctx *connector.Context) error { return ctx.Sleep(-time.Hour) }, `sleep {"ms":0}`},
		"set":               {func(ctx *connector.Context) error { return ctx.State.Set("a", []int{1}) }, `state_set {"key":"a","value":[1]}`},
		"delete":            {func(ctx *connector.Context) error { return ctx.State.Delete("a") }, `state_delete {"key":"a"}`},
		"compare with 0": {func(ctx *connector.Context) error {
			_, err := ctx.State.CompareAndSet("a", 0, 1)
			return err
		}, `state_cas {"key":"a","old":0,"new":1}`},
		"compare with absence": {func(ctx *connector.Context) error {
			_, err := ctx.State.CompareAndSet("a", nil, 1)
			return err
		}, `state_cas {"key":"a","new":1}`},
		"compare with null": {func(ctx *connector.Context) error {
			_, err := ctx.State.CompareAndSet("a", json.RawMessage("null"), 1)
			return err
		}, `state_cas {"key":"a","old":null,"new":1}`},
		"add": {func(ctx *connector.Context) error {
			_, err := ctx.State.Add("a", -2)
			return err
		}, `state_add {"key":"a","delta":-2}`},
		"list": {func(ctx *connector.Context) error {
			_, _, err := ctx.State.List("a/", "a/7", 10)
			return err
		}, `state_list {"prefix":"a/","after":"a/7","limit":10}`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			host := &script{}
			mustDo(t, host, tt.do)
			if !slices.Equal(host.asked, []string{tt.want}) {
				t.Errorf("got %q, want %q", host.asked, tt.want)
			}
		})
	}
}

func TestStateAnswersAreDecoded(t *testing.T) {
	t.Parallel()
	host := &script{answers: map[string]string{
		"state_get":  `{"result":{"found":true,"value":{"n":3}}}`,
		"state_cas":  `{"result":{"swapped":true}}`,
		"state_add":  `{"result":{"value":9007199254740993}}`,
		"state_list": `{"result":{"entries":[{"key":"a","value":1},{"key":"b","value":"x"}],"more":true}}`,
	}}
	mustDo(t, host, func(ctx *connector.Context) error {
		var got struct{ N int }
		if found, err := ctx.State.Get("k", &got); !found || err != nil || got.N != 3 {
			t.Errorf("get: %v, %v, %+v", found, err, got)
		}
		var wrong []int
		if _, err := ctx.State.Get("k", &wrong); failureOf(t, err).Code != code.PluginBug {
			t.Errorf("get into another type: %v", err)
		}
		if swapped, err := ctx.State.CompareAndSet("k", 1, 2); !swapped || err != nil {
			t.Errorf("cas: %v, %v", swapped, err)
		}
		if sum, err := ctx.State.Add("k", 1); sum != 9007199254740993 || err != nil {
			t.Errorf("add: %v, %v", sum, err)
		}
		entries, more, err := ctx.State.List("", "", 0)
		var text string
		if err != nil || !more || len(entries) != 2 || entries[1].Decode(&text) != nil || text != "x" {
			t.Errorf("list: %v, %v, %v", entries, more, err)
		}
		return nil
	})
	absent := &script{answers: map[string]string{"state_get": `{"result":{"found":false,"value":null}}`}}
	mustDo(t, absent, func(ctx *connector.Context) error {
		n := 7
		if found, err := ctx.State.Get("k", &n); found || err != nil || n != 7 {
			t.Errorf("an absent key: %v, %v, %d", found, err, n)
		}
		return nil
	})
}

func TestHostErrorsAreErrorsWithACode(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		answer string
		want   code.Code
	}{
		"a denial":            {`{"error":{"code":"denied","message":"not granted"}}`, code.Denied},
		"no answer":           {``, code.Internal},
		"an answer of no use": {`{"result":{"found":"maybe"}}`, code.Internal},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			host := &script{answers: map[string]string{"state_get": tt.answer}}
			err := do(host, func(ctx *connector.Context) error {
				_, err := ctx.State.Get("k", new(int))
				return err
			})
			if got := failureOf(t, err); got.Code != tt.want || !strings.HasPrefix(got.Message, "state_get: ") {
				t.Errorf("got %v, want %s", got, tt.want)
			}
		})
	}
	err := do(&script{}, func(ctx *connector.Context) error { return ctx.State.Set("k", func() {}) })
	if got := failureOf(t, err); got.Code != code.PluginBug {
		t.Errorf("a value without JSON: %v", got)
	}
}

func TestRandIsTheExecutionsStream(t *testing.T) {
	t.Parallel()
	draw := func() (numbers []uint64) {
		mustDo(t, &script{}, func(ctx *connector.Context) error {
			numbers = append(numbers, ctx.Rand().Uint64(), ctx.Rand().Uint64())
			return nil
		})
		return numbers
	}
	first, again := draw(), draw()
	if !slices.Equal(first, again) || first[0] == first[1] {
		t.Errorf("got %v and %v", first, again)
	}
}

func TestLogIsAnOrdinarySlogLogger(t *testing.T) {
	t.Parallel()
	host := &script{}
	mustDo(t, host, func(ctx *connector.Context) error {
		slogtest.Run(t, func(*testing.T) slog.Handler {
			host.asked = nil
			return ctx.Log.Handler()
		}, func(t *testing.T) map[string]any {
			t.Helper()
			return logged(t, host)
		})
		return nil
	})
}

// logged is the one line that was logged, in the form that slogtest reads. The
// host stamps the time, so that is filled in where slogtest may expect it.
func logged(t *testing.T, host *script) map[string]any {
	t.Helper()
	var line struct {
		Level, Message string
		Fields         map[string]any
	}
	if err := json.Unmarshal([]byte(strings.TrimPrefix(host.asked[len(host.asked)-1], "log ")), &line); err != nil {
		t.Fatal(err)
	}
	got := map[string]any{slog.LevelKey: line.Level, slog.MessageKey: line.Message}
	maps.Copy(got, line.Fields)
	if !strings.HasSuffix(t.Name(), "zero-time") {
		got[slog.TimeKey] = "the host's"
	}
	return got
}

func TestLogTakesAnyValue(t *testing.T) {
	t.Parallel()
	host := &script{}
	mustDo(t, host, func(ctx *connector.Context) error {
		ctx.Log.Warn("odd", slog.Any("err", errors.New("boom")), slog.Duration("wait", 2*time.Second), slog.Time("at", time.Unix(0, 0).UTC()), slog.Any("f", func() {}), slog.Any("list", []int{1}))
		ctx.Log.Debug("plain")
		ctx.Log.Error("bad")
		return nil
	})
	if !strings.HasPrefix(host.asked[0], `log {"level":"warn","message":"odd","fields":{"at":"1970-01-01T00:00:00Z","err":"boom","f":"0x`) ||
		!strings.HasSuffix(host.asked[0], `,"list":[1],"wait":"2s"}}`) {
		t.Errorf("got %s", host.asked[0])
	}
	if want := []string{`log {"level":"debug","message":"plain"}`, `log {"level":"error","message":"bad"}`}; !slices.Equal(host.asked[1:], want) {
		t.Errorf("got %q, want %q", host.asked[1:], want)
	}
}

// A host gives the connections as an object of their fields; it used to give a list.
func TestConnectionsAreReadInEitherForm(t *testing.T) {
	t.Parallel()
	for _, connections := range []string{`{"shop":{"region":"eu"},"github":{}}`, `["shop","github"]`} {
		c := connector.Connector{Name: "c", Version: "1.0.0", Actions: []connector.Action{{
			Name: "names", Run: connector.Func(func(ctx *connector.Context, _ struct{}) ([]string, error) { return ctx.Connections(), nil }),
		}}}
		got, err := c.Call(&script{}, "action", []byte(`{"action":"names","input":{},"connections":`+connections+`}`))
		if err != nil || string(got) != `["github","shop"]` {
			t.Errorf("%s: got %s, %v", connections, got, err)
		}
	}
}

func TestFieldsOfConnections(t *testing.T) {
	t.Parallel()
	read := func(connections string) (account, error) {
		var got account
		c := connector.Connector{Name: "c", Version: "1.0.0", Actions: []connector.Action{{
			Name: "read", Run: connector.Func(func(ctx *connector.Context, _ struct{}) (struct{}, error) {
				return struct{}{}, ctx.Connection("shop", &got)
			}),
		}}}
		_, err := c.Call(&script{}, "action", []byte(`{"action":"read","input":{},"connections":`+connections+`}`))
		return got, err
	}
	if got, err := read(`{"shop":{"id":"a-1"}}`); err != nil || got != (account{ID: "a-1", Region: "eu"}) {
		t.Errorf("got %+v, %v, want the id and the default", got, err)
	}
	for connections, want := range map[string]string{`{}`: "no_connection", `{"shop":{"id":7}}`: "invalid_input"} {
		if _, err := read(connections); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", connections, err, want)
		}
	}
}

package connector

import (
	"encoding/json"
	"log/slog"
	"reflect"
	goruntime "runtime"

	"github.com/cofferdam-run/cofferdam/sdk/go/internal/schema"
)

// warmUp goes once through what calls go through. The host has it done before it
// takes the image that every sandbox begins as, so that no call pays for what Go
// does the first time only: encoding/json's tables for each type, above all. It
// runs nothing of the author's but WarmUp, and asks nobody outside.
func (c Connector) warmUp() {
	rehearse(func() { _, _ = c.describe() })
	rehearse(func() {
		_, _ = c.Call(stage{}, "action", []byte(`{"config":{},"connections":{"a":{}},"action":"","input":{}}`))
	})
	rehearse(rehearseContext)
	rehearseType(reflect.TypeOf(c.Config))
	for _, x := range c.Connections {
		rehearseType(reflect.TypeOf(x.Fields))
	}
	for _, a := range c.Actions {
		rehearseType(a.Run.in)
		rehearseType(a.Run.out)
	}
	if c.WarmUp != nil {
		c.WarmUp()
	}
	// What this has used is free for the calls.
	goruntime.GC()
}

// rehearse does f. That it cannot be done now says nothing about a call.
func rehearse(f func()) {
	defer func() { _ = recover() }()
	f()
}

// rehearseType has a type's JSON form made, in both directions.
func rehearseType(t reflect.Type) {
	if t == nil {
		return
	}
	rehearse(func() {
		v := reflect.New(t).Interface()
		_ = schema.Unmarshal([]byte("{}"), v)
		_, _ = json.Marshal(v)
	})
}

// rehearseContext asks what connectors ask.
func rehearseContext() {
	ctx := newContext(stage{}, envelope{Config: json.RawMessage("{}")})
	var anything map[string]any
	_ = ctx.HTTP.Fetch(Request{Connection: "a", Method: "POST", URL: "https://host.invalid/", JSON: map[string]any{"a": []string{"b"}}}, &anything)
	_, _ = ctx.State.Get("a", &anything)
	_ = ctx.State.Set("a", anything)
	_, _ = ctx.State.CompareAndSet("a", nil, anything)
	_, _ = ctx.State.Add("a", 1)
	_ = ctx.Emit("a", "b", anything)
	_ = ctx.Tag("a", "b")
	ctx.Log.Info("rehearsal", slog.String("a", "b"), slog.Int("c", 1))
	_, _ = json.Marshal(asError(Errorf("rehearsal", "rehearsal")))
}

// stage is a Host that has only friendly answers, and none of them true.
type stage struct{}

func (stage) Call(function string, _ []byte) []byte {
	if function == "http" {
		return []byte(`{"result":{"status":200,"headers":{"content-type":["application/json"]},"body":"{\"a\":[\"b\"]}"}}`)
	}
	return []byte(`{"result":{}}`)
}

func (stage) Random(p []byte) { clear(p) }

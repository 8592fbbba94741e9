package connector

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"time"
)

func (c client) logger() *slog.Logger { return slog.New(logHandler{client: c}) }

// logHandler sends records to the host. The host stamps the time.
type logHandler struct {
	client client
	scopes []scope
}

// scope is a group, or the root, with the attributes that were added in it.
type scope struct {
	group string
	attrs []slog.Attr
}

// Enabled leaves the choice of levels to the host.
func (h logHandler) Enabled(context.Context, slog.Level) bool { return true }

func (h logHandler) Handle(_ context.Context, r slog.Record) error {
	fields := map[string]any{}
	inner := fields
	for i, s := range h.scopes {
		if s.group != "" {
			if r.NumAttrs() == 0 && !hasAttrs(h.scopes[i:]) {
				break // A group without attributes is left out.
			}
			nested := map[string]any{}
			inner[s.group] = nested
			inner = nested
		}
		for _, a := range s.attrs {
			add(inner, a)
		}
	}
	r.Attrs(func(a slog.Attr) bool {
		add(inner, a)
		return true
	})
	return h.client.ask("log", struct {
		Level   string         `json:"level"`
		Message string         `json:"message"`
		Fields  map[string]any `json:"fields,omitempty"`
	}{levelName(r.Level), r.Message, fields}, nil)
}

func (h logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	if len(attrs) == 0 {
		return h
	}
	h.scopes = append(slices.Clip(h.scopes), scope{attrs: attrs})
	return h
}

func (h logHandler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	h.scopes = append(slices.Clip(h.scopes), scope{group: name})
	return h
}

func hasAttrs(scopes []scope) bool {
	return slices.ContainsFunc(scopes, func(s scope) bool { return len(s.attrs) > 0 })
}

// levelName knows the four levels of sdk/ABI.md; those between count as the lower one.
func levelName(l slog.Level) string {
	switch {
	case l < slog.LevelInfo:
		return "debug"
	case l < slog.LevelWarn:
		return "info"
	case l < slog.LevelError:
		return "warn"
	default:
		return "error"
	}
}

// add puts an attribute into fields, in a form that always has JSON.
func add(fields map[string]any, a slog.Attr) {
	v := a.Value.Resolve()
	switch v.Kind() {
	case slog.KindGroup:
		addGroup(fields, a.Key, v.Group())
	case slog.KindBool, slog.KindInt64, slog.KindUint64, slog.KindString:
		fields[a.Key] = v.Any()
	case slog.KindTime:
		fields[a.Key] = v.Time().Format(time.RFC3339Nano)
	default:
		if a.Equal(slog.Attr{}) {
			return
		}
		if _, isError := v.Any().(error); isError {
			fields[a.Key] = fmt.Sprint(v.Any())
			return
		}
		fields[a.Key] = printable(v)
	}
}

func addGroup(fields map[string]any, key string, attrs []slog.Attr) {
	if len(attrs) == 0 {
		return
	}
	if key != "" {
		nested := map[string]any{}
		fields[key] = nested
		fields = nested
	}
	for _, a := range attrs {
		add(fields, a)
	}
}

// printable is v itself where JSON has a form for it, and its text otherwise, so
// that no value can keep a log line from being written.
func printable(v slog.Value) any {
	if v.Kind() == slog.KindDuration {
		return v.String()
	}
	encoded, err := json.Marshal(v.Any())
	if err != nil {
		return fmt.Sprintf("%+v", v.Any())
	}
	return json.RawMessage(encoded)
}

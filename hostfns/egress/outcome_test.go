package egress_test

import (
	"context"
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/hostfns"
	"github.com/cofferdam-run/cofferdam/hostfns/egress"
	"github.com/cofferdam-run/cofferdam/runtime"
)

// told is what a request was said to do, and what was said to have become of it.
type told struct {
	effect  hostfns.Effect
	outcome hostfns.Outcome
}

func toldOf(t *testing.T, funcs []hostfns.Func, request map[string]any) told {
	t.Helper()
	got, err := ask(t, funcs, request)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// outcomeOf is toldOf for a call that ends.
func outcomeOf(t *testing.T, funcs []hostfns.Func, request map[string]any) (hostfns.Outcome, error) {
	t.Helper()
	got, err := ask(t, funcs, request)
	return got.outcome, err
}

func ask(t *testing.T, funcs []hostfns.Func, request map[string]any) (told, error) {
	t.Helper()
	raw, err := json.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	var got told
	gate := hostfns.NewGate(hostfns.GateConfig{
		Funcs: funcs, Now: func() time.Time { return time.Time{} },
		Journal: func(next hostfns.Handler) hostfns.Handler {
			return func(ctx context.Context, c runtime.Crossing) (json.RawMessage, error) {
				got.effect = hostfns.EffectOf(ctx, c.Request)
				result, err := next(ctx, c)
				outcome, ok := hostfns.Reported(ctx)
				if !ok {
					t.Error("nothing was reported")
				}
				got.outcome = outcome
				return result, err
			}
		},
	})
	_, err = gate.Call(t.Context(), runtime.Crossing{Func: "http", Request: raw})
	return got, err
}

func TestOutcomes(t *testing.T) {
	t.Parallel()
	b := setup(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/429":
			w.WriteHeader(http.StatusTooManyRequests)
		case "/500":
			w.WriteHeader(http.StatusInternalServerError)
		case "/404":
			w.WriteHeader(http.StatusNotFound)
		case "/closes":
			panic(http.ErrAbortHandler)
		case "/cuts":
			w.Header().Set("Content-Length", "100")
			_, _ = w.Write([]byte("half"))
		case "/large":
			_, _ = w.Write(make([]byte, 2000))
		case "/created":
			http.Redirect(w, r, "/429", http.StatusSeeOther)
		case "/moved":
			http.Redirect(w, r, "/429", http.StatusPermanentRedirect)
		}
	}, func(c *egress.Config) { c.ResponseBytes = 1000 })
	const read, idempotent, unsafe = hostfns.Read, hostfns.Idempotent, hostfns.Unsafe
	const done, notDone, unknown = hostfns.Done, hostfns.NotDone, hostfns.Unknown
	base := "https://" + b.host
	tests := map[string]struct {
		method, url string
		want        told
	}{
		"an answer":                                  {"POST", base + "/", told{unsafe, done}},
		"an answer to what the client did wrong":     {"POST", base + "/404", told{unsafe, done}},
		"too many requests":                          {"POST", base + "/429", told{unsafe, notDone}},
		"a server's error":                           {"POST", base + "/500", told{unsafe, unknown}},
		"a server's error to a read":                 {"GET", base + "/500", told{read, done}},
		"a server's error to what can be done twice": {"PUT", base + "/500", told{idempotent, done}},
		"no answer":                                  {"DELETE", base + "/closes", told{idempotent, unknown}},
		"an answer that is cut off":                  {"POST", base + "/cuts", told{unsafe, unknown}},
		"an answer that is too large":                {"POST", base + "/large", told{unsafe, done}},
		"a redirect to the answer":                   {"POST", base + "/created", told{unsafe, done}},
		"a redirect of the request itself":           {"POST", base + "/moved", told{unsafe, notDone}},
		"a host that is not granted":                 {"POST", "https://elsewhere.example", told{unsafe, notDone}},
		"no valid request":                           {"POST", "nonsense", told{unsafe, notDone}},
		"nobody there":                               {"POST", "https://127.0.0.1:1", told{unsafe, notDone}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := b.session(rule("127.0.0.1:1"))
			if got := toldOf(t, s.Funcs(), map[string]any{"method": test.method, "url": test.url}); got != test.want {
				t.Errorf("got %s, %s, want %s, %s", got.effect, got.outcome, test.want.effect, test.want.outcome)
			}
		})
	}
}

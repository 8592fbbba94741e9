package connector

import (
	"encoding/json"
	"reflect"
	"time"

	"github.com/cofferdam-run/cofferdam/sdk/go/connector/code"
	"github.com/cofferdam-run/cofferdam/sdk/go/internal/schema"
)

// Action is something that a tenant can have done.
type Action struct {
	// Name is a letter, then letters, digits, "_", "." and "-", at most 63.
	Name        string
	Title       string
	Description string
	// Idempotent says that doing it twice is doing it once.
	Idempotent bool
	// Run does it. Make it with Func.
	Run Handler
}

func (a Action) name() string { return a.Name }

// Handler is a function of the connector's together with its types. Make it with
// Func.
type Handler struct {
	in, out reflect.Type
	call    func(ctx *Context, input json.RawMessage) (any, error)
}

// Func makes a Handler of a function. Its input and output are any types that
// have a JSON form, usually structs; their schemas go into the manifest.
func Func[In, Out any](f func(ctx *Context, in In) (Out, error)) Handler {
	return Handler{
		in:  reflect.TypeFor[In](),
		out: reflect.TypeFor[Out](),
		call: func(ctx *Context, input json.RawMessage) (any, error) {
			var in In
			if err := schema.Unmarshal(input, &in); err != nil {
				return nil, Errorf(code.InvalidInput, "read the input: %w", err)
			}
			return f(ctx, in)
		},
	}
}

// Poll fetches what is new, every so often.
type Poll struct {
	// Name has the form of an action's name.
	Name        string
	Title       string
	Description string
	// Every is how often, unless the tenant says otherwise.
	Every time.Duration
	// Run fetches. Make it with PollFunc.
	Run Poller
}

func (p Poll) name() string { return p.Name }

// Poller is a poll's function. Make it with PollFunc.
type Poller struct {
	call func(ctx *Context, cursor json.RawMessage) (any, error)
}

// PollFunc makes a Poller of a function. The cursor is the one in the page that
// it returned last, and the zero value at first. Records and cursor are
// committed together, so that nothing is fetched twice or missed.
func PollFunc[C any](f func(ctx *Context, cursor C) (Page[C], error)) Poller {
	return Poller{call: func(ctx *Context, data json.RawMessage) (any, error) {
		var cursor C
		if len(data) > 0 {
			if err := json.Unmarshal(data, &cursor); err != nil {
				return nil, Errorf(code.PluginBug, "read the cursor: %w", err)
			}
		}
		page, err := f(ctx, cursor)
		if page.Records == nil {
			page.Records = []Record{}
		}
		return page, err
	}}
}

// Page is what a poll found.
type Page[C any] struct {
	Records []Record `json:"records"`
	// Cursor is where to go on the next time.
	Cursor C `json:"cursor"`
	// More asks to be called again at once.
	More bool `json:"more"`
}

// Record is one thing that a poll found.
type Record struct {
	// Key tells records apart: an installation keeps the first of each.
	Key string `json:"key"`
	// Data is anything that has a JSON form.
	Data any `json:"data"`
}

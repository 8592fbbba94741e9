package connector

import (
	"encoding/json"
	"time"
	"unicode/utf8"

	"github.com/cofferdam-run/cofferdam/sdk/go/connector/code"
)

// Webhook is a kind of delivery that the connector takes.
type Webhook struct {
	// Name has the form of an action's name.
	Name        string
	Title       string
	Description string
	// Scheme says how deliveries are signed: github or standard-webhooks. The
	// host verifies them; Run never sees one that is not authentic.
	Scheme string
	// Verify decides whether a delivery is authentic, in place of a Scheme, where none says
	// how the vendor signs. It is asked before anything is stored. It has ctx.Sign.HMAC with
	// the endpoint's secret (Secret, SecretBase64, SecretHex), and the configuration: no
	// HTTP, no state, no log, and 50 ms of a core. An error refuses.
	Verify func(ctx *Context, d Incoming) (Verdict, error)
	// Run takes a delivery. What it returns is kept as the execution's output;
	// nil is fine.
	Run func(ctx *Context, d Delivery) (any, error)
}

func (w Webhook) name() string { return w.Name }

func (w Webhook) run(ctx *Context, request json.RawMessage) (any, error) {
	var d Delivery
	if err := json.Unmarshal(request, &d); err != nil {
		return nil, Errorf(code.InvalidInput, "read the delivery: %w", err)
	}
	return w.Run(ctx, d)
}

// Delivery is a webhook's request.
type Delivery struct {
	// ID is the vendor's id of this delivery.
	ID         string
	ReceivedAt time.Time
	Method     string
	Path       string
	// Query is what follows the question mark, undecoded.
	Query string
	// Header leaves out what carries a signature or credential.
	Header Header
	Body   []byte
}

// Decode reads the body as JSON into the value that v points to. A body that
// does not fit is the error invalid_input.
func (d Delivery) Decode(v any) error {
	if err := json.Unmarshal(d.Body, v); err != nil {
		return Errorf(code.InvalidInput, "decode the body of delivery %q: %w", d.ID, err)
	}
	return nil
}

// wireDelivery is a delivery as sdk/ABI.md has it.
type wireDelivery struct {
	ID         string    `json:"id"`
	ReceivedAt time.Time `json:"received_at,omitzero"`
	Method     string    `json:"method"`
	Path       string    `json:"path"`
	Query      string    `json:"query"`
	Headers    Header    `json:"headers"`
	wireBody
}

// MarshalJSON gives the form of sdk/ABI.md.
func (d Delivery) MarshalJSON() ([]byte, error) {
	return json.Marshal(wireDelivery{d.ID, d.ReceivedAt, d.Method, d.Path, d.Query, d.Header.lower(), bodyOf(d.Body)})
}

// UnmarshalJSON reads the form of sdk/ABI.md.
func (d *Delivery) UnmarshalJSON(data []byte) error {
	var w wireDelivery
	if err := json.Unmarshal(data, &w); err != nil {
		return err
	}
	*d = Delivery{w.ID, w.ReceivedAt, w.Method, w.Path, w.Query, w.Headers.lower(), w.bytes()}
	return nil
}

// wireBody is a body on its way through JSON: text where it can be.
type wireBody struct {
	Body   *string `json:"body,omitempty"`
	Base64 []byte  `json:"body_base64,omitempty"`
}

func bodyOf(b []byte) wireBody {
	if len(b) == 0 {
		return wireBody{}
	}
	if utf8.Valid(b) {
		text := string(b)
		return wireBody{Body: &text}
	}
	return wireBody{Base64: b}
}

func (w wireBody) bytes() []byte {
	if w.Body != nil {
		return []byte(*w.Body)
	}
	return w.Base64
}

package connect

import (
	"encoding/json"
	"time"

	"github.com/cofferdam-run/cofferdam/host/connection"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/ident"
	"github.com/cofferdam-run/cofferdam/host/oauth"
	"github.com/cofferdam-run/cofferdam/host/oauth/provider"
)

// State of a session; see the package comment.
type State string

// The states of a session.
const (
	Open      State = "open"
	Choosing  State = "choosing"
	Fields    State = "fields"
	Consent   State = "consent"
	Selecting State = "selecting"
	Testing   State = "testing"
	Done      State = "done"
	Failed    State = "failed"
	Cancelled State = "cancelled"
	Expired   State = "expired"
)

// Ended says that nothing more happens in a session.
func (s State) Ended() bool { return s == Done || s == Cancelled || s == Expired }

// oauth2 is the type of connections whose credential is what users agree to.
const oauth2 = connection.OAuth2

// Session is a visit, as the host app and the pages see it.
type Session struct {
	ID     string `json:"id"`
	Tenant string `json:"tenant"`
	State  State  `json:"state"`
	// For is who asks for the account.
	For Asker `json:"for"`
	// Reconnect says that Connection was there before, and is to get a new credential.
	Reconnect bool `json:"reconnect,omitempty"`
	// Connection is the one that is connected again, or that was made.
	Connection string `json:"connection,omitempty"`
	// Chosen is what is connected, once that is known.
	Chosen *Choice `json:"chosen,omitempty"`
	// Next is what is to be done, or nil if the session has ended.
	Next *Next `json:"next,omitempty"`
	// Error is why it has failed.
	Error *fault.Error `json:"error,omitempty"`
	// Missing are scopes that were asked for and not given.
	Missing []string `json:"missing_scopes,omitempty"`
	// Untested says that the connection was not tested, though the plugin has a test.
	Untested bool `json:"untested,omitempty"`
	// Several says that there was something to choose, Asks that something is entered, and
	// Went that a browser is at the provider: pages tell how far it is.
	Several   bool      `json:"-"`
	Asks      bool      `json:"-"`
	Went      bool      `json:"-"`
	ReturnURL string    `json:"return_url,omitempty"`
	Origins   []string  `json:"origins,omitempty"`
	Brand     Brand     `json:"brand,omitzero"`
	Version   int64     `json:"version"`
	CreatedAt time.Time `json:"created_at"`
	ExpiresAt time.Time `json:"expires_at"`
}

// Next is what is to be done in a session.
type Next struct {
	// Step is what Do is asked for: choose, fields, consent, select, retry, or wait if
	// there is nothing to do but to look again.
	Step string `json:"step"`
	// Choices are what there is to choose from, for choose and select.
	Choices []Choice `json:"choices,omitempty"`
	// Schema is the JSON Schema of the values, for fields.
	Schema json.RawMessage `json:"schema,omitempty"`
	// Form is the same for pages.
	Form []Field `json:"-"`
	// AuthorizationURL is where the user's browser goes to agree. It is good once, and is
	// there only in the answer to the step consent.
	AuthorizationURL string `json:"authorization_url,omitempty"`
	// Device is what the user enters where, in a device flow that has begun.
	Device *Device `json:"device,omitempty"`
}

// Device is a code that a user enters at the provider.
type Device struct {
	UserCode                string    `json:"user_code"`
	VerificationURI         string    `json:"verification_uri"`
	VerificationURIComplete string    `json:"verification_uri_complete,omitempty"`
	ExpiresAt               time.Time `json:"expires_at"`
}

// Choice is an account that can be connected, or, for select, one of what was agreed to.
type Choice struct {
	ID          string `json:"id"`
	Title       string `json:"title"`
	Description string `json:"description,omitempty"`
	// Type is the connection's, and Provider and App who gives its tokens and to whom.
	Type     connection.Type `json:"type,omitempty"`
	Provider string          `json:"provider,omitempty"`
	App      string          `json:"app,omitempty"`
	// Scopes are what is asked for, and Hosts where the credential will go.
	Scopes []string `json:"scopes,omitempty"`
	Hosts  []string `json:"hosts,omitempty"`
	// Slot is the plugin's name for the account.
	Slot string `json:"slot,omitempty"`
}

// option is a Choice with what it takes to make the connection.
type option struct {
	Choice

	Grant string `json:"grant,omitempty"`
	// Required are the scopes without which the plugin does not work.
	Required []string `json:"required,omitempty"`
	Header   string   `json:"header,omitempty"`
	Query    string   `json:"query,omitempty"`
	// Fields is the schema of the account's fields, and Inputs are the variables that
	// the user enters.
	Fields json.RawMessage              `json:"fields,omitempty"`
	Inputs map[string]provider.Variable `json:"inputs,omitempty"`
}

// visit is a session as it is kept.
type visit struct {
	row Row

	State     State    `json:"-"`
	For       Asker    `json:"for"`
	Options   []option `json:"options"`
	Chosen    string   `json:"chosen,omitempty"`
	Name      string   `json:"name,omitempty"`
	ReturnURL string   `json:"return_url,omitempty"`
	Origins   []string `json:"origins,omitempty"`
	Brand     Brand    `json:"brand,omitzero"`
	// Reconnect says that Connection was there before, and Another that it may be for
	// another account from now on.
	Reconnect  bool   `json:"reconnect,omitempty"`
	Another    bool   `json:"another,omitempty"`
	Connection string `json:"connection,omitempty"`
	// Variables and Extra were entered: neither is secret.
	Variables map[string]string `json:"variables,omitempty"`
	Extra     json.RawMessage   `json:"extra,omitempty"`
	Entered   bool              `json:"entered,omitempty"`
	// Items are the labels of what is to be selected from.
	Items   []string     `json:"items,omitempty"`
	Device  *Device      `json:"device,omitempty"`
	PollAt  time.Time    `json:"poll_at,omitzero"`
	Missing []string     `json:"missing,omitempty"`
	Error   *fault.Error `json:"error,omitempty"`
	// Back is where a retry begins.
	Back     State     `json:"back,omitempty"`
	Test     string    `json:"test,omitempty"`
	TestedAt time.Time `json:"tested_at,omitzero"`
	Untested bool      `json:"untested,omitempty"`
	// Browser and Window are hashes of cookies: of the browser that has opened the link,
	// and of the window that it went to the provider in, if that has another. Form is the
	// hash of the token in forms, and Way of the secret of an AuthorizationURL.
	Browser string `json:"browser,omitempty"`
	Window  string `json:"window,omitempty"`
	Form    string `json:"form,omitempty"`
	Way     string `json:"way,omitempty"`
	Framed  bool   `json:"framed,omitempty"`
	// Went says that a browser was sent to the provider, and
	// Away that it has not come back since.
	Went bool `json:"went,omitempty"`
	Away bool `json:"away,omitempty"`
}

func (v *visit) tenant() string { return v.row.Tenant }

// chosen is the option that was chosen, or the only one.
func (v *visit) chosen() *option {
	for i := range v.Options {
		if v.Options[i].ID == v.Chosen || len(v.Options) == 1 {
			return &v.Options[i]
		}
	}
	return nil
}

// due is the step that a session is at, once it was opened.
func (v *visit) due() State {
	if v.State != Open {
		return v.State
	}
	o := v.chosen()
	switch {
	case o == nil:
		return Choosing
	case len(o.form()) > 0 && !v.Entered:
		return Fields
	default:
		return Consent
	}
}

// view is the session as others see it, now.
func (v *visit) view(now time.Time) Session {
	out := Session{
		ID: v.row.ID, Tenant: v.row.Tenant, State: v.State, For: v.For, Reconnect: v.Reconnect, Connection: v.Connection,
		Error: v.Error, Missing: v.Missing, Untested: v.Untested, ReturnURL: v.ReturnURL, Origins: v.Origins, Brand: v.Brand,
		Version: v.row.Version, CreatedAt: v.row.CreatedAt, ExpiresAt: v.row.ExpiresAt,
	}
	if v.expired(now) {
		out.State = Expired
	}
	out.Several, out.Went = len(v.Options) > 1, v.Away
	if o := v.chosen(); o != nil {
		c := o.Choice
		out.Chosen, out.Asks = &c, len(o.form()) > 0
	}
	if !out.State.Ended() {
		out.Next = v.next()
	}
	return out
}

func (v *visit) expired(now time.Time) bool { return !v.State.Ended() && !now.Before(v.row.ExpiresAt) }

// next is what is to be done.
func (v *visit) next() *Next {
	switch o := v.chosen(); v.due() {
	case Choosing:
		n := &Next{Step: stepChoose}
		for _, o := range v.Options {
			n.Choices = append(n.Choices, o.Choice)
		}
		return n
	case Fields:
		form := o.form()
		return &Next{Step: stepFields, Form: form, Schema: schemaOf(form)}
	case Consent:
		return &Next{Step: stepConsent, Device: v.Device}
	case Selecting:
		n := &Next{Step: stepSelect}
		for i, label := range v.Items {
			n.Choices = append(n.Choices, Choice{ID: itemID(i), Title: label})
		}
		return n
	case Failed:
		return &Next{Step: stepRetry}
	default:
		return &Next{Step: "wait"}
	}
}

// fail ends an attempt with its error; a retry begins at back.
func (v *visit) fail(err error, back State) {
	f := fault.From(err)
	shown := *f
	shown.Err = nil
	v.State, v.Error, v.Back, v.Device, v.Items, v.Away = Failed, &shown, back, nil, nil, false
}

// starter is who begins a flow in a browser: nobody else ends it.
func (v *visit) starter(browser string) oauth.Starter {
	return oauth.Starter{Tenant: v.row.Tenant, Session: hash(browser)}
}

// Prefix is that of sessions' ids.
const Prefix = ident.ConnectSession

package connect

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/oauth"
)

// The steps.
const (
	stepChoose  = "choose"
	stepFields  = "fields"
	stepConsent = "consent"
	stepSelect  = "select"
	stepRetry   = "retry"
)

// Step is what is done in a session.
type Step struct {
	// Step is choose, fields, consent, select or retry; or cancel.
	Step string
	// Choice is the id of what is chosen or selected.
	Choice string
	// Values are for fields.
	Values Values
}

// Get returns a session as it is now: a test that has ended has its outcome in it, and
// so has a device flow.
func (s *Sessions) Get(ctx context.Context, tenant, id string) (Session, error) {
	v, err := s.find(ctx, tenant, id)
	if err != nil {
		return Session{}, err
	}
	if err := s.look(ctx, v); err != nil {
		return Session{}, err
	}
	return v.view(s.c.Now()), nil
}

// List lists a tenant's sessions after an id, the oldest first. They are as they were
// when something last happened in them.
func (s *Sessions) List(ctx context.Context, tenant, after string, limit int) ([]Session, error) {
	rows, err := s.c.Store.Visits(ctx, tenant, after, limit)
	if err != nil {
		return nil, fmt.Errorf("list connect sessions: %w", err)
	}
	all := make([]Session, 0, len(rows))
	for _, r := range rows {
		v, err := load(r)
		if err != nil {
			return nil, err
		}
		all = append(all, v.view(s.c.Now()))
	}
	return all, nil
}

// Cancel ends a session. What was connected in it stays.
func (s *Sessions) Cancel(ctx context.Context, tenant, id string) (Session, error) {
	return s.Step(ctx, tenant, id, Step{Step: "cancel"})
}

// Step does a step for a host app that has pages of its own. After the step consent,
// Next.AuthorizationURL is where the user's browser goes.
func (s *Sessions) Step(ctx context.Context, tenant, id string, step Step) (Session, error) {
	v, err := s.find(ctx, tenant, id)
	if err != nil {
		return Session{}, err
	}
	if err := s.alive(v); err != nil {
		return Session{}, err
	}
	if step.Step != stepConsent || !v.sends() {
		if _, err = s.do(ctx, v, step, ""); err != nil {
			return Session{}, err
		}
		return v.view(s.c.Now()), nil
	}
	if err := v.at(stepConsent, Consent); err != nil {
		return Session{}, err
	}
	pass, err := s.secret()
	if err != nil {
		return Session{}, err
	}
	v.State, v.Error, v.Way = Consent, nil, hash(pass)
	if err := s.put(ctx, v, nil); err != nil {
		return Session{}, err
	}
	out := v.view(s.c.Now())
	out.Next.AuthorizationURL = s.public("/connect/go/" + v.row.ID + "." + pass)
	return out, nil
}

func (s *Sessions) find(ctx context.Context, tenant, id string) (*visit, error) {
	row, err := s.c.Store.Visit(ctx, tenant, id)
	if err != nil {
		return nil, fmt.Errorf("find connect session: %w", err)
	}
	return load(row)
}

// alive refuses a session that is over.
func (s *Sessions) alive(v *visit) error {
	if !v.State.Ended() && !v.expired(s.c.Now()) {
		return nil
	}
	return fault.New(fault.Conflict, codeOver, "the connect session is over: it is %s", v.view(s.c.Now()).State).
		WithHint("Begin again, where the link came from: the app makes another one.")
}

// at refuses a step that is not due. Steps that were before can be done again.
func (v *visit) at(step string, when ...State) error {
	now := v.due()
	if now == Failed {
		now = v.Back
	}
	if slices.Contains(when, now) {
		return nil
	}
	return fault.New(fault.Conflict, codeStep, "the step %.32q is not to be done now: the session is at %s", step, v.due()).
		At("/step").WithHint("Look at the session: next says what is to be done.")
}

// sends says that the consent is given in a browser that is sent to the provider.
func (v *visit) sends() bool {
	o := v.chosen()
	return o != nil && o.Type == oauth2 && (o.Grant == "" || o.Grant == "authorization_code")
}

// do does a step, and returns where the browser goes next, if that is elsewhere.
func (s *Sessions) do(ctx context.Context, v *visit, step Step, browser string) (string, error) {
	switch step.Step {
	case "cancel":
		return "", s.end(ctx, v, Cancelled)
	case stepChoose:
		return "", s.choose(ctx, v, step.Choice)
	case stepFields:
		return "", s.enter(ctx, v, step.Values)
	case stepConsent:
		return s.consent(ctx, v, browser)
	case stepSelect:
		return "", s.selected(ctx, v, step.Choice)
	case stepRetry:
		if v.State != Failed {
			return "", v.at(stepRetry)
		}
		v.State, v.Error, v.Missing = v.Back, nil, nil
		return "", s.put(ctx, v, nil)
	default:
		return "", fault.New(fault.InvalidInput, codeStep, "there is no step %.32q", step.Step).At("/step").
			WithHint("There are choose, fields, consent, select, retry and cancel.")
	}
}

func (s *Sessions) choose(ctx context.Context, v *visit, id string) error {
	if err := v.at(stepChoose, Choosing, Fields, Consent); err != nil {
		return err
	}
	if !slices.ContainsFunc(v.Options, func(o option) bool { return o.ID == id }) {
		return fault.New(fault.InvalidInput, codeStep, "there is nothing %.64q to choose", id).At("/choice").WithHint("Choose one of next.choices, by its id.")
	}
	if o := v.chosen(); o != nil && o.ID != id && v.Connection != "" && !v.Reconnect {
		// What this visit has made of another choice, of another type perhaps.
		if err := s.c.Connections.Delete(s.acting(ctx, v), v.tenant(), v.Connection); err != nil && fault.From(err).Code != fault.CodeNotFound {
			return err
		}
		v.Connection = ""
	}
	v.Chosen, v.Entered, v.Variables, v.Extra, v.Error, v.State = id, false, nil, nil, nil, Open
	v.State, v.Device, v.Away = v.due(), nil, false // What was begun with another choice is not waited for.
	return s.put(ctx, v, nil)
}

// enter takes what the user has entered. With a credential the connection is made.
func (s *Sessions) enter(ctx context.Context, v *visit, given Values) error {
	if err := v.at(stepFields, Fields, Consent); err != nil {
		return err
	}
	o := v.chosen()
	if o.Type != oauth2 {
		if err := o.checkFields(given.Fields, true); err != nil {
			return err
		}
		return s.static(ctx, v, o, given)
	}
	if err := o.checkFields(given.Fields, false); err != nil {
		return err
	}
	if _, err := s.c.Apps.Registration(ctx, v.tenant(), o.App, given.Variables); err != nil {
		return under("/values/variables", err)
	}
	v.Variables, v.Extra, v.Entered = maps.Clone(given.Variables), given.Fields, true
	v.State, v.Error, v.Device, v.Away = Consent, nil, nil, false
	return s.put(ctx, v, nil)
}

// under puts the places of a fault's problems below another one.
func under(where string, err error) error {
	f, ok := errors.AsType[*fault.Error](err)
	if !ok || f.Class != fault.InvalidInput || len(f.Problems) == 0 {
		return err
	}
	moved := *f
	moved.Where, moved.Problems = "", make([]fault.Problem, len(f.Problems))
	for i, p := range f.Problems {
		moved.Problems[i] = fault.Problem{Where: where + p.Where, Message: p.Message}
	}
	return &moved
}

// consent sends the browser to the provider, or begins what needs no browser.
func (s *Sessions) consent(ctx context.Context, v *visit, browser string) (string, error) {
	if err := v.at(stepConsent, Consent); err != nil {
		return "", err
	}
	o := v.chosen()
	r, err := s.c.Apps.Registration(ctx, v.tenant(), o.App, v.Variables)
	if err != nil {
		return "", err
	}
	v.State, v.Error, v.Device, v.Missing = Consent, nil, nil, nil
	switch o.Grant {
	case "device_code":
		d, err := s.c.Client.DeviceBegin(ctx, r.Registration)
		if err != nil {
			return "", s.failed(ctx, v, err, Consent)
		}
		v.PollAt = d.PollAt
		v.Device = &Device{
			UserCode: d.UserCode, VerificationURI: d.VerificationURI, VerificationURIComplete: d.VerificationURIComplete, ExpiresAt: d.ExpiresAt,
		}
		return "", s.put(ctx, v, &held{Device: &d})
	case "client_credentials", "jwt_bearer":
		return "", s.machine(ctx, v, o, r)
	default:
		begun, err := s.c.Client.Begin(ctx, r.Registration, v.starter(browser), v.row.ID)
		if err != nil {
			return "", s.failed(ctx, v, err, Consent)
		}
		v.Away = true
		return begun.URL, s.put(ctx, v, nil)
	}
}

// machine gets tokens for the app itself, which needs no user.
func (s *Sessions) machine(ctx context.Context, v *visit, o *option, r Registered) error {
	var token oauth.Token
	var err error
	if o.Grant == "jwt_bearer" {
		token, err = s.c.Client.JWTBearer(ctx, r.Registration, oauth.Assertion{})
	} else {
		token, err = s.c.Client.ClientCredentials(ctx, r.Registration)
	}
	if err != nil {
		return s.failed(ctx, v, err, v.restart())
	}
	return s.learn(ctx, v, Look{Token: token, Variables: v.Variables})
}

// failed keeps why an attempt has failed. It is the session's error, not the step's.
func (s *Sessions) failed(ctx context.Context, v *visit, err error, back State) error {
	if f := fault.From(err); f.Class == fault.Platform {
		return err // Ours: who asks again gets further.
	}
	v.fail(err, back)
	return s.put(ctx, v, nil)
}

// restart is where a retry begins: where something was entered that may be wrong.
func (v *visit) restart() State {
	if o := v.chosen(); o != nil && len(o.form()) > 0 && (o.Type != oauth2 || !v.sends()) {
		return Fields
	}
	return Consent
}

// look finds out what has come of what was begun.
func (s *Sessions) look(ctx context.Context, v *visit) error {
	now := s.c.Now()
	if v.State.Ended() || v.expired(now) {
		return nil
	}
	switch {
	case v.State == Testing:
		return s.tested(ctx, v)
	case v.State == Consent && v.Device != nil && !now.Before(v.PollAt):
		return s.polled(ctx, v)
	default:
		return nil
	}
}

// polled asks once whether the code was entered.
func (s *Sessions) polled(ctx context.Context, v *visit) error {
	h, err := s.open(ctx, v.row)
	if err != nil || h.Device == nil {
		return err
	}
	o := v.chosen()
	r, err := s.c.Apps.Registration(ctx, v.tenant(), o.App, v.Variables)
	if err != nil {
		return err
	}
	// Whoever looks at the same time is not to ask, too.
	v.PollAt = s.c.Now().Add(h.Device.Interval)
	if err := s.put(ctx, v, &h); err != nil {
		if f := fault.From(err); f.Class == fault.Conflict {
			return nil
		}
		return err
	}
	token, err := s.c.Client.DevicePoll(ctx, r.Registration, h.Device)
	if e, ok := errors.AsType[*oauth.Error](err); ok && e.Code == oauth.CodePending {
		v.PollAt = h.Device.PollAt
		return s.put(ctx, v, &h)
	}
	if err != nil {
		return s.failed(ctx, v, err, Consent)
	}
	v.Device = nil
	return s.learn(ctx, v, Look{Token: token, Variables: v.Variables})
}

func itemID(i int) string { return strconv.Itoa(i + 1) }

// selected takes one of what was agreed to.
func (s *Sessions) selected(ctx context.Context, v *visit, id string) error {
	if err := v.at(stepSelect, Selecting); err != nil {
		return err
	}
	h, err := s.open(ctx, v.row)
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(id)
	if err != nil || h.Look == nil || n < 1 || n > len(h.Look.Choices) || strings.HasPrefix(id, "+") {
		return fault.New(fault.InvalidInput, codeStep, "there is nothing %.64q to select", id).At("/choice").WithHint("Select one of next.choices, by its id.")
	}
	l := Look{Token: h.Look.Token, Variables: map[string]string{}, Looked: h.Look.Looked + 1}
	maps.Copy(l.Variables, h.Look.Variables)
	maps.Copy(l.Variables, h.Look.Choices[n-1].Variables)
	v.Items = nil
	kept, err := s.learned(ctx, v, l)
	if kept || v.row.Sealed != nil { // The session has them still, or had them when it was somebody else's turn.
		return err
	}
	return errors.Join(err, s.discard(ctx, v, l))
}

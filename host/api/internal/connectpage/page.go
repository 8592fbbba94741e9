package connectpage

import (
	"cmp"
	"encoding/json"
	"fmt"
	"html/template"
	"maps"
	"net/url"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/cofferdam-run/cofferdam/host/connect"
	"github.com/cofferdam-run/cofferdam/host/fault"
)

// page is what the templates show.
type page struct {
	// Kind is the template's block: choose, fields, consent, device, select, wait, done,
	// failed, ended, refused, leaving or again.
	Kind  string
	Title string
	Lead  string
	connect.Shown

	// Brand and Provider are names, and Who is the plugin that asks.
	BrandName, Provider, Who string
	Style                    template.CSS
	Framed                   bool
	// Progress is "Step 2 of 3", or empty.
	Progress string
	Fields   []field
	Problems []problem
	Error    *fault.Error
	// Said is what the vendor has said.
	Said, SaidCode string
	Hidden         []pair
	// Back leads to the host app.
	Back string
	// Poll says that the page looks by itself whether something has come.
	Poll bool
	// Events are the origins that are told, as JSON.
	Events string
	// Event is what they are told: ready, step, success, error or cancel.
	Event string
}

type field struct {
	connect.Field

	// ID and Entry are the element's and the form's names.
	ID, Entry string
	Value     string
	Problem   string
}

type problem struct{ ID, Text string }

type pair struct{ Name, Value string }

// pageOf is the page of a session.
func pageOf(shown connect.Shown, framed bool) *page {
	p := &page{
		Shown: shown, BrandName: shown.Brand.Name, Who: cmp.Or(shown.For.Title, shown.Brand.Name, "This app"), Framed: framed,
		Style: styleOf(shown.Brand), Back: backOf(shown.Session), Event: "step", Events: eventsOf(shown.Origins),
	}
	if shown.Chosen != nil {
		p.Provider = shown.Chosen.Title
	}
	if shown.Version <= 2 {
		p.Event = "ready"
	}
	switch shown.State {
	case connect.Done:
		p.done()
	case connect.Cancelled, connect.Expired:
		p.ended()
	case connect.Failed:
		p.failed()
	default:
		p.step()
	}
	p.Progress = progressOf(shown.Session, p.Kind)
	return p
}

func eventsOf(origins []string) string {
	b, err := json.Marshal(slices.Concat([]string{}, origins))
	if err != nil {
		panic(err) // Of texts.
	}
	return string(b)
}

// styleOf has the brand's colours: what is checked to be #rrggbb, and nothing else.
func styleOf(b connect.Brand) template.CSS {
	light, dark := b.Light, b.Dark
	if light == "" || dark == "" {
		checked := connect.DefaultBrand()
		light, dark = checked.Light, checked.Dark
	}
	return template.CSS(fmt.Sprintf(":root{--accent-light:%s;--on-light:%s;--accent-dark:%s;--on-dark:%s}", //nolint:gosec // Colours that were checked.
		light, connect.On(light), dark, connect.On(dark)))
}

// backOf is where the user goes on, with what has become of the session.
func backOf(s connect.Session) string {
	if s.ReturnURL == "" {
		return ""
	}
	u, err := url.Parse(s.ReturnURL)
	if err != nil {
		return ""
	}
	query := u.Query()
	query.Set("connect_session", s.ID)
	query.Set("status", string(s.State))
	u.RawQuery = query.Encode()
	return u.String()
}

// OAuth says that what is chosen is agreed to at the provider.
func (p *page) OAuth() bool { return p.Chosen != nil && p.Chosen.Type == "oauth2" }

// Site is the host that the user goes to with a code.
func (p *page) Site() string {
	if p.Next == nil || p.Next.Device == nil {
		return ""
	}
	u, err := url.Parse(p.Next.Device.VerificationURI)
	if err != nil {
		return ""
	}
	return u.Host + strings.TrimSuffix(u.Path, "/")
}

// DeviceURL is the address with the code in it, if the provider has one.
func (p *page) DeviceURL() string {
	return cmp.Or(p.Next.Device.VerificationURIComplete, p.Next.Device.VerificationURI)
}

// Initials are the letters of a tile that has no picture.
func (p *page) Initials(name string) string {
	for _, r := range name {
		return strings.ToUpper(string(r))
	}
	return "?"
}

// step is the page of what is to be done.
func (p *page) step() {
	n := p.Next
	switch n.Step {
	case "choose":
		p.Kind, p.Title = "choose", "What do you want to connect?"
		p.Lead = p.Who + " works with each of these."
	case "fields":
		p.Kind, p.Title = "fields", p.verb()+" "+p.Provider
		for _, f := range n.Form {
			p.Fields = append(p.Fields, field{Field: f, ID: "f-" + f.Group + "-" + f.Name, Entry: f.Group + "." + f.Name, Value: f.Default})
		}
	case "consent":
		p.Kind, p.Title = "consent", p.verb()+" "+p.Provider
		if n.Device != nil {
			p.Kind, p.Title, p.Poll = "device", "Enter this code", true
			p.Lead = "Open the page of " + p.Provider + ", enter the code there, and agree. This page notices when you have."
		}
		p.Poll = p.Poll || p.Framed
	case "select":
		p.Kind, p.Title = "select", "Which one?"
		p.Lead = "Your login at " + p.Provider + " is for several. Choose the one that " + p.Who + " is to work with."
	default:
		p.Kind, p.Title, p.Poll = "wait", "Checking the connection", true
		p.Lead = p.Who + " makes a first request, to see that everything works. This takes a few seconds."
	}
}

func (p *page) verb() string {
	if p.Reconnect {
		return "Reconnect"
	}
	return "Connect"
}

func (p *page) done() {
	p.Kind, p.Event = "done", "success"
	p.Title = p.Provider + " is connected"
	p.Lead = p.Who + " can work with your account from now on."
	if p.Reconnect {
		p.Lead = "Everything that waited for it goes on by itself."
	}
}

func (p *page) ended() {
	p.Kind, p.Event = "ended", "cancel"
	p.Title, p.Lead = "Nothing was connected", "You have ended it here. To begin again, go back to where you came from."
	if p.State == connect.Expired {
		p.Event = "error"
		p.Title, p.Lead = "This took too long", "For your safety a link works for half an hour. Go back to where you came from, and begin again."
	}
}

func (p *page) failed() {
	p.Kind, p.Event, p.Error = "failed", "error", p.Shown.Error
	p.Title, p.Lead = "That did not work", ""
	var details struct {
		Error string `json:"oauth_error"`
	}
	if p.Error == nil {
		return
	}
	_ = json.Unmarshal(p.Error.Details, &details) // Without them, there is no code to show.
	p.SaidCode = details.Error
	p.Said = p.Error.Message
	if _, said, ok := strings.Cut(p.Error.Message, fmt.Sprintf("%q: ", details.Error)); ok {
		p.Said = said
	}
	switch {
	case details.Error == "access_denied":
		p.Title = "You did not agree"
		p.Lead = "Nothing was connected. If that was not what you meant, try again."
	case p.Error.Code == "scopes_missing":
		p.Title = "Something was left out"
	case p.Error.Code == "another_account":
		p.Title = "This is another account"
	case p.Connection != "" && p.Error.Class == fault.Auth && !p.OAuth():
		p.Title = p.Provider + " refuses this"
	}
}

// progressOf counts the steps of a session that its user sees.
func progressOf(s connect.Session, kind string) string {
	at := map[string]int{"choose": 0, "fields": 1, "consent": 2, "device": 2, "select": 3, "wait": 4}
	now, is := at[kind]
	if !is {
		return ""
	}
	has := [5]bool{0: s.Several, 1: s.Asks, 2: s.Chosen == nil || s.Chosen.Type == "oauth2", 3: kind == "select", 4: s.For.Test && s.For.Installation != ""}
	step, of := 0, 0
	for i, there := range has {
		if !there && i != now {
			continue
		}
		of++
		if i <= now {
			step++
		}
	}
	if of < 2 {
		return ""
	}
	return fmt.Sprintf("Step %d of %d", step, of)
}

// mark shows what is wrong with what was entered, which stays, but for what is secret.
func (p *page) mark(f *fault.Error, form url.Values) {
	byPlace := map[string]string{}
	for _, problem := range f.Problems {
		byPlace[problem.Where] = problem.Message
	}
	for i := range p.Fields {
		one := &p.Fields[i]
		if one.Kind != connect.KindSecret && one.Kind != connect.KindLines {
			one.Value = form.Get(one.Entry)
		}
		place := "/values/" + one.Group + "/" + one.Name
		if text, wrong := byPlace[place]; wrong {
			one.Problem = sentence(text)
			if one.Example != "" && strings.HasPrefix(text, "must match the pattern") {
				one.Problem = "Write it like " + one.Example // A person reads no pattern.
			}
			p.Problems = append(p.Problems, problem{one.ID, one.Title + ": " + one.Problem})
			delete(byPlace, place)
		}
	}
	for _, place := range slices.Sorted(maps.Keys(byPlace)) {
		p.Problems = append(p.Problems, problem{"", sentence(byPlace[place])})
	}
}

func sentence(text string) string {
	if text == "" {
		return ""
	}
	first, size := utf8.DecodeRuneInString(text)
	return string(unicode.ToUpper(first)) + text[size:]
}

// entered are a form's values, as its session asks for them.
func entered(shown connect.Shown, form url.Values) (connect.Values, error) {
	if shown.Next == nil {
		return connect.Values{}, nil
	}
	groups := map[string]map[string]json.RawMessage{}
	for _, f := range shown.Next.Form {
		value, is := f.Value(form.Get(f.Group + "." + f.Name))
		if !is {
			continue
		}
		if groups[f.Group] == nil {
			groups[f.Group] = map[string]json.RawMessage{}
		}
		groups[f.Group][f.Name] = value
	}
	b, err := json.Marshal(groups)
	if err != nil {
		return connect.Values{}, fmt.Errorf("encode a form: %w", err)
	}
	var values connect.Values
	if json.Unmarshal(b, &values) != nil { // The error may quote what was entered.
		return connect.Values{}, fault.New(fault.InvalidInput, fault.CodeMalformed, "the form cannot be read")
	}
	return values, nil
}

// leaving is the page that a browser leaves for the provider by.
func leaving(shown connect.Shown) *page {
	p := pageOf(shown, false)
	p.Kind, p.Event, p.Progress = "leaving", "leaving", ""
	p.Title = "Taking you to " + p.Provider
	return p
}

// sentAgain is the page that sends a callback once more, from here.
func sentAgain(provider string, values url.Values) *page {
	p := &page{Kind: "again", Title: "One moment", Who: "This app", Style: styleOf(connect.Brand{}), Provider: provider, Events: "[]"}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		for _, v := range values[name] {
			p.Hidden = append(p.Hidden, pair{name, v})
		}
	}
	return p
}

// refusalOf is the page of whoever has no session.
func refusalOf(f *fault.Error) *page {
	p := &page{Kind: "refused", Title: "This link does not work", Style: styleOf(connect.Brand{}), Events: "[]"}
	switch f.Code {
	case fault.CodeNotFound:
		p.Lead = "It is too old, was opened in another browser, or is not complete. Go back to where you came from, and begin again."
	case connect.CodeBrowser:
		p.Title = "This link is in use"
		p.Lead = "It was opened in another browser, and something was begun there. Go on there; or go back to where you came from, and begin again."
	case "internal":
		p.Title, p.Lead = "Something failed here", "It is not your fault, and nothing was lost. Try again in a minute."
	default:
		p.Lead = sentence(f.Message) + "."
		p.Error = f
		if f.Class == fault.Platform || f.Class == fault.Network || f.Class == fault.Upstream {
			p.Title = "This cannot be done now"
		}
	}
	return p
}

// placeOf is a host as people read it: of one that is not known yet, what is.
func placeOf(host string) string {
	if _, rest, ok := strings.Cut(host, "}."); ok {
		return "your account at " + rest
	}
	if strings.HasPrefix(host, "{") {
		return "your own server"
	}
	return strings.TrimPrefix(host, "*.")
}

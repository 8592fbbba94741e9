package providertest

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"net/url"
	"path"
	"slices"
	"strings"
	"testing"
)

//go:embed documented/*.json
var files embed.FS

// documented is what a vendor's pages say of its server, seen from the server. It is
// written from those pages, and shares no field with the vendor's descriptor.
type documented struct {
	Source []string `json:"source"`
	// Input is what a person of the sample enters, Scopes what the sample app asks for.
	Input  map[string]string `json:"input"`
	Scopes []string          `json:"scopes"`
	// Grant is authorization_code or client_credentials.
	Grant     string        `json:"grant"`
	Metadata  *metadata     `json:"metadata"`
	Authorize authorization `json:"authorize"`
	Token     exchange      `json:"token"`
	// Refresh has what differs from Token; nil is a server that refreshes nothing.
	Refresh *exchange `json:"refresh"`
	// Refusal is how the token endpoint says no.
	Refusal refusal `json:"refusal"`
	// Ended is how it says that a code or refresh token is not good: Refusal, if the pages
	// have nothing of its own.
	Ended *refusal `json:"ended"`
	// Errors are further answers of the token endpoint that the pages name.
	Errors []meaning `json:"errors"`
	// Others are the same provider to other apps, such as one whose tokens do not expire,
	// by name: what is different, as a merge patch (RFC 7396) of all else here.
	Others map[string]map[string]any `json:"others"`
	// Rotates: each refresh ends the token that it was made with. Reuse of one revokes
	// all that came of it (revokes) or is only refused (refused).
	Rotates bool   `json:"rotates"`
	Reuse   string `json:"reuse"`
	// Revoke and Introspect are requests by RFC 7009 and RFC 7662, such as
	// "POST https://acme.example/revoke".
	Revoke     string `json:"revoke"`
	Introspect string `json:"introspect"`
	// Lookups are requests that an app has to make after the token's.
	Lookups []lookup `json:"lookups"`
	API     api      `json:"api"`
	// Lifetime is how many seconds an app that reads the pages counts on, 0 if they do
	// not say, -1 if the token has no end.
	Lifetime int `json:"lifetime"`
	// Learns are the variables that the app knows at last.
	Learns map[string]string `json:"learns"`
	// Granted is the scope list that the app reads in the answer, if that has one.
	Granted []string `json:"granted"`
}

type metadata struct {
	URL    string         `json:"url"`
	Answer map[string]any `json:"answer"`
}

type authorization struct {
	URL string `json:"url"`
	// Client is the name of the parameter of the client's id. Defaults to client_id.
	Client string `json:"client"`
	// Want are parameters and their values besides those of RFC 6749 section 4.1.1.
	Want map[string]string `json:"want"`
	// Scoped: a request without a scope is refused.
	Scoped bool `json:"scoped"`
	// PKCE is required, refused, or (empty) taken if it comes.
	PKCE string `json:"pkce"`
	// Code is the name of the callback's code. Defaults to code.
	Code     string            `json:"code"`
	Callback map[string]string `json:"callback"`
	// Signed: the callback has an hmac over all else.
	Signed bool `json:"signed"`
}

type exchange struct {
	// Request is a method and a URL, such as "POST https://acme.example/token".
	Request string `json:"request"`
	// Body is form, json, query, or a list of them with spaces. Defaults to form.
	Body string `json:"body"`
	// Auth is how the client proves itself: basic, raw (basic without form encoding),
	// post, none. Several with spaces.
	Auth        string `json:"auth"`
	Certificate bool   `json:"certificate"`
	// Client is the name of the parameter of the client's id. Defaults to client_id.
	Client string `json:"client"`
	// Grant is the grant_type; a hyphen is a server that asks for none.
	Grant string `json:"grant"`
	// Sends is the parameter that has what is refreshed. Defaults to refresh_token.
	Sends   string            `json:"sends"`
	Want    map[string]string `json:"want"`
	Headers map[string]string `json:"headers"`
	// Answer has $access_token, $refresh_token, $in_an_hour (seconds since 1970) and
	// $in_an_hour_rfc3339 where those go.
	Answer map[string]any `json:"answer"`
	// FormUnlessAsked answers with a form if the request does not accept JSON.
	FormUnlessAsked bool `json:"form_unless_asked"`
}

type refusal struct {
	Status int            `json:"status"`
	Answer map[string]any `json:"answer"`
}

// meaning is an error, and what it is by the name of RFC 6749 or of package oauth.
type meaning struct {
	refusal

	Means string `json:"means"`
}

type lookup struct {
	Request string            `json:"request"`
	Want    map[string]string `json:"want"`
	// Token is the query parameter that has the token, if no header does.
	Token  string `json:"token"`
	Answer any    `json:"answer"`
	// Issues: $access_token in the answer is another token, which takes the place of
	// the first.
	Issues bool `json:"issues"`
	// Each: it is made after each refresh too.
	Each bool `json:"each"`
}

type api struct {
	URL string `json:"url"`
	// Header carries the token, as Authorization: Bearer $access_token does, which is
	// the default; Query is a parameter instead.
	Header string `json:"header"`
	Query  string `json:"query"`
	// Want are further headers.
	Want map[string]string `json:"want"`
	// Answer is what it says to a good request, if it matters.
	Answer map[string]any `json:"answer"`
}

// Names are the providers that Serve emulates, sorted.
func Names(tb testing.TB) []string {
	tb.Helper()
	entries, err := fs.ReadDir(files, "documented")
	if err != nil {
		tb.Fatalf("list the documented providers: %v", err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, strings.TrimSuffix(e.Name(), ".json"))
	}
	slices.Sort(names)
	return names
}

// Lives are the names that Serve takes for a provider: its own, and that with each other
// kind of app that its pages tell of, such as slack/no-rotation.
func Lives(tb testing.TB, name string) []string {
	tb.Helper()
	d, err := read(name)
	if err != nil {
		tb.Fatal(err)
	}
	lives := []string{name}
	for _, other := range slices.Sorted(maps.Keys(d.Others)) {
		lives = append(lives, name+"/"+other)
	}
	return lives
}

// read finds NAME or NAME/OTHER.
func read(name string) (documented, error) {
	provider, other, patched := strings.Cut(name, "/")
	data, err := files.ReadFile(path.Join("documented", provider+".json"))
	if err != nil {
		return documented{}, fmt.Errorf("there is no emulation of %q: %w", name, err)
	}
	d, err := decode(data)
	if err == nil && patched {
		d, err = d.other(data, other)
	}
	if err != nil {
		return documented{}, fmt.Errorf("read %s.json: %w", provider, err)
	}
	d.complete()
	return d, nil
}

func decode(data []byte) (documented, error) {
	var d documented
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	return d, dec.Decode(&d)
}

func (d *documented) other(data []byte, name string) (documented, error) {
	patch, ok := d.Others[name]
	if !ok {
		return documented{}, fmt.Errorf("there is no %q among its others", name)
	}
	var whole map[string]any
	if err := json.Unmarshal(data, &whole); err != nil {
		return documented{}, err
	}
	merge(whole, patch)
	data, err := json.Marshal(whole)
	if err != nil {
		return documented{}, err
	}
	return decode(data)
}

// merge is https://www.rfc-editor.org/rfc/rfc7396#section-2 for two objects.
func merge(whole, patch map[string]any) {
	for name, value := range patch {
		part, nested := value.(map[string]any)
		switch old, has := whole[name].(map[string]any); {
		case value == nil:
			delete(whole, name)
		case nested && has:
			merge(old, part)
		default:
			whole[name] = value
		}
	}
}

func (d *documented) complete() {
	d.Grant = either(d.Grant, "authorization_code")
	d.Authorize.Client = either(d.Authorize.Client, "client_id")
	d.Authorize.Code = either(d.Authorize.Code, "code")
	d.Token.complete(exchange{Body: "form", Client: "client_id", Grant: d.Grant})
	if d.Refresh != nil {
		d.Refresh.complete(d.Token)
		d.Refresh.Sends = either(d.Refresh.Sends, "refresh_token")
		if d.Refresh.Grant == d.Grant {
			d.Refresh.Grant = "refresh_token"
		}
		if d.Refresh.Answer == nil {
			d.Refresh.Answer = d.Token.Answer
		}
	}
	if d.Refusal.Status == 0 {
		d.Refusal = refusal{Status: 400, Answer: map[string]any{"error": "invalid_grant", "error_description": "$reason"}}
	}
	if d.Ended == nil {
		d.Ended = &d.Refusal
	}
	if d.API.Header == "" && d.API.Query == "" {
		d.API.Header = "Authorization: Bearer $access_token"
	}
}

func (e *exchange) complete(from exchange) {
	e.Request = either(e.Request, from.Request)
	e.Body = either(e.Body, from.Body)
	e.Auth = either(e.Auth, from.Auth)
	e.Client = either(e.Client, from.Client)
	e.Grant = either(e.Grant, from.Grant)
	e.Certificate = e.Certificate || from.Certificate
	e.FormUnlessAsked = e.FormUnlessAsked || from.FormUnlessAsked
	if e.Headers == nil {
		e.Headers = from.Headers
	}
}

func either(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// hosts are all that the pages name.
func (d *documented) hosts() []string {
	seen := map[string]bool{}
	add := func(raw string) {
		_, rest, found := strings.Cut(raw, " ")
		if !found {
			rest = raw
		}
		if u, err := url.Parse(rest); err == nil && u.Host != "" {
			seen[u.Host] = true
		}
	}
	add(d.Authorize.URL)
	add(d.Token.Request)
	add(d.API.URL)
	add(d.Revoke)
	add(d.Introspect)
	if d.Refresh != nil {
		add(d.Refresh.Request)
	}
	if d.Metadata != nil {
		add(d.Metadata.URL)
	}
	for _, l := range d.Lookups {
		add(l.Request)
	}
	var all []string
	for h := range seen {
		all = append(all, h)
	}
	return all
}

package app

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/ident"
	"github.com/cofferdam-run/cofferdam/host/oauth"
	"github.com/cofferdam-run/cofferdam/host/oauth/provider"
)

const (
	codeInvalid = "invalid_app"
	// maxClientID is above any that is known: Google's have 72 characters.
	maxClientID = 512
	// maxScopes and maxScope bound what goes into a URL: servers take 8 KiB.
	maxScopes, maxScope = 128, 256
	maxTitle            = 120
)

var validName = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9_.-]{0,62}$`)

// LogValue implements slog.LogValuer: a handler that encodes a Spec as JSON would not ask
// its Secret.
func (s Spec) LogValue() slog.Value {
	return slog.GroupValue(slog.String("name", s.Name), slog.String("provider", s.Provider), slog.String("client_id", s.ClientID), slog.String("secret", "[redacted]"))
}

// source is what an app keeps of where its provider is described. All of it is empty for
// one that comes with the program.
type source struct {
	descriptor json.RawMessage
	plugin     *Origin
	callback   string
}

// described finds the provider of a spec.
func (s *Apps) described(ctx context.Context, tenant string, spec Spec) (provider.Provider, source, error) {
	var from source
	given, where := spec.Descriptor, "/descriptor"
	switch {
	case spec.Plugin != "" && given != nil:
		return provider.Provider{}, from, fault.New(fault.InvalidInput, codeInvalid, "there are a descriptor and a plugin that has one: give one of them").At("/descriptor")
	case spec.Plugin != "":
		d, err := s.c.Described(ctx, tenant, spec.Plugin, spec.Provider)
		if err != nil {
			return provider.Provider{}, from, err
		}
		given, where, from.plugin = d.Descriptor, "/plugin", &d.Origin
	case given == nil:
		return s.known(spec.Provider)
	}
	p, err := provider.Parse("descriptor", given)
	if err != nil {
		return provider.Provider{}, from, under(where, err)
	}
	if spec.Provider != "" && spec.Provider != p.Name {
		return provider.Provider{}, from, fault.New(fault.InvalidInput, codeInvalid, "the provider is %.64q, and the descriptor is of %.64q", spec.Provider, p.Name).At("/provider")
	}
	if _, err := s.c.Providers.Provider(p.Name); err == nil {
		taken := fault.New(fault.Conflict, "provider_name_taken", "the descriptor is named %q, and so is one that the host has", p.Name)
		if spec.Plugin != "" {
			return provider.Provider{}, from, taken.At("/plugin").WithHint("Leave the plugin out: the app is of the host's provider then.")
		}
		return provider.Provider{}, from, taken.At("/descriptor/name").WithHint("Give yours a name of its own, such as %q.", p.Name+"-custom")
	}
	from.callback = callbackOf(p)
	from.descriptor, err = keep(p)
	return p, from, err
}

func (s *Apps) known(name string) (provider.Provider, source, error) {
	var from source
	p, err := s.c.Providers.Provider(name)
	if f, ok := errors.AsType[*fault.Error](err); ok {
		return provider.Provider{}, from, f.At("/provider")
	}
	if err != nil || s.c.Providers.BuiltIn(name) {
		return p, from, err
	}
	from.descriptor, err = keep(p)
	return p, from, err
}

// keep writes a provider down, defaults filled in.
func keep(p provider.Provider) (json.RawMessage, error) {
	raw, err := json.Marshal(p)
	if err != nil {
		return nil, fmt.Errorf("encode the provider %s: %w", p.Name, err)
	}
	return raw, nil
}

// callbackOf tells the authorization servers apart that strangers describe: each may be
// named as somebody else's. With a redirect URI of both, one could send a user on to the
// other with the other's client id, and be brought the code
// (https://www.rfc-editor.org/rfc/rfc9700#section-4.4). 80 bits cannot be chosen to be
// another's.
func callbackOf(p provider.Provider) string {
	server := strings.Join([]string{p.Issuer, p.AuthorizationEndpoint, p.TokenEndpoint}, "\n")
	sum := sha256.Sum256([]byte(server))
	return p.Name + "." + hex.EncodeToString(sum[:10])
}

// under puts what is wrong with a part of a request where the part is.
func under(where string, err error) error {
	f, ok := errors.AsType[*fault.Error](err)
	if !ok {
		return err
	}
	moved := *f
	moved.Where = where + f.Where
	moved.Problems = slices.Clone(f.Problems)
	for i := range moved.Problems {
		moved.Problems[i].Where = where + moved.Problems[i].Where
	}
	return &moved
}

// problemsOf are all that a fault names.
func problemsOf(err error) []fault.Problem {
	f, ok := errors.AsType[*fault.Error](err)
	switch {
	case !ok:
		return nil
	case len(f.Problems) > 0:
		return f.Problems
	default:
		return []fault.Problem{{Where: f.Where, Message: f.Message}}
	}
}

// invalid turns problems into one fault, into cause if that is one of several, or into nil
// if there are none.
func invalid(found []fault.Problem, cause error) error {
	if f, ok := errors.AsType[*fault.Error](cause); ok {
		whole := *f
		if len(found) > 1 {
			whole.Problems = found
		}
		return &whole
	}
	if cause != nil || len(found) == 0 {
		return cause
	}
	e := fault.New(fault.InvalidInput, codeInvalid, "%s %s", found[0].Where, found[0].Message).At(found[0].Where)
	if more := len(found) - 1; more > 0 {
		e.Message += fmt.Sprintf(" (and %d more: see problems)", more)
	}
	e.Problems = found
	return e
}

func problem(where, format string, args ...any) fault.Problem {
	return fault.Problem{Where: where, Message: fmt.Sprintf(format, args...)}
}

func nameProblems(s Spec) []fault.Problem {
	var found []fault.Problem
	switch {
	case strings.HasPrefix(s.Name, ident.App):
		// Both are looked up in one place: such a name could stand for another's id.
		found = append(found, problem("/name", "is %.128q: a name must not begin with %s, for that is how ids begin", s.Name, ident.App))
	case !validName.MatchString(s.Name):
		found = append(found, problem("/name", "is %.128q: it must begin with a letter, have at most 63 letters, digits, _, . and -, and nothing else", s.Name))
	}
	if len(s.Title) > maxTitle || strings.ContainsFunc(s.Title, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		found = append(found, problem("/title", "has %d bytes: it is one line of at most %d", len(s.Title), maxTitle))
	}
	switch visible := func(r rune) bool { return r < ' ' || r > '~' }; {
	case s.ClientID == "":
		found = append(found, problem("/client_id", "is missing: the provider shows it where the app is registered"))
	case len(s.ClientID) > maxClientID:
		found = append(found, problem("/client_id", "has %d bytes, and %d is the limit", len(s.ClientID), maxClientID))
	case s.ClientID != strings.TrimSpace(s.ClientID):
		found = append(found, problem("/client_id", "is %.128q, which begins or ends with a space: was it copied with one?", s.ClientID))
	case strings.ContainsFunc(s.ClientID, visible):
		found = append(found, problem("/client_id", "is %.128q: it has a character that is not visible ASCII", s.ClientID))
	}
	return found
}

// check returns an InvalidInput fault with everything that is wrong with a. Variables are
// written as they are used.
func check(a *App, secret oauth.Secret, p provider.Provider) error {
	found := nameProblems(Spec{Name: a.Name, Title: a.Title, ClientID: a.ClientID})
	if !slices.Contains(p.Grant, a.Grant) {
		found = append(found, problem("/grant", "is %.64q: %s has %s", a.Grant, p.Name, strings.Join(p.Grant, ", ")))
	}
	found = append(found, scopeProblems(a, p)...)
	found = append(found, variableProblems(a, p)...)
	for _, wrong := range secret.Problems(proofOf(p, a.Grant)) {
		found = append(found, problem("/secret"+wrong.Where, "%s", wrong.Message))
	}
	return invalid(found, nil)
}

// proofOf is what the provider wants of a client.
func proofOf(p provider.Provider, grant string) oauth.Proof {
	return oauth.Proof{
		TokenAuth: p.TokenAuth, Certificate: p.ClientCertificate, Signs: grant == "jwt_bearer", Callbacks: p.Callback.HMACParameter != "",
	}
}

func scopeProblems(a *App, p provider.Provider) []fault.Problem {
	var found []fault.Problem
	if len(a.Scopes) == 0 && p.Scopes.Required {
		found = append(found, problem("/scopes", "is empty, and %s refuses a request without one: name those that the app is for; see %s", p.Title, p.Docs[0]))
	}
	if len(a.Scopes) > maxScopes {
		return append(found, problem("/scopes", "has %d scopes, and %d is the limit", len(a.Scopes), maxScopes))
	}
	for i, scope := range a.Scopes {
		at := fmt.Sprintf("/scopes/%d", i)
		// https://www.rfc-editor.org/rfc/rfc6749#section-3.3
		odd := func(r rune) bool { return r <= ' ' || r > '~' || r == '"' || r == '\\' }
		switch {
		case scope == "" || len(scope) > maxScope || strings.ContainsFunc(scope, odd):
			found = append(found, problem(at, "is %.64q: a scope is visible ASCII without a space, of at most %d bytes: write each by itself", scope, maxScope))
		case strings.TrimSpace(p.Scopes.Separator) != "" && strings.Contains(scope, p.Scopes.Separator):
			found = append(found, problem(at, "is %.64q, which has the %q that stands between scopes: write each by itself", scope, p.Scopes.Separator))
		case slices.Contains(a.Scopes[:i], scope):
			found = append(found, problem(at, "is %.64q, which is there already", scope))
		}
	}
	return found
}

// variableProblems checks the values that an app has, and that it has those that are its to
// say.
func variableProblems(a *App, p provider.Provider) []fault.Problem {
	var found []fault.Problem
	for _, name := range slices.Sorted(maps.Keys(a.Variables)) {
		v, known := p.Variables[name]
		at := "/variables/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
		if !known || v.From != "input" {
			found = append(found, problem(at, "is not a variable that somebody enters for %s: those are %s", p.Name, orNone(p.Inputs(""))))
			continue
		}
		clean, err := v.Check(a.Variables[name])
		if err != nil {
			found = append(found, problem(at, "%v", err))
			continue
		}
		a.Variables[name] = clean
	}
	for _, name := range p.Inputs("app") {
		v := p.Variables[name]
		if _, given := a.Variables[name]; !given && v.Default == "" {
			found = append(found, problem("/variables/"+name, "is missing: %s is the same for all who connect with the app, such as %q", v.Title, v.Example))
		}
	}
	return found
}

func orNone(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

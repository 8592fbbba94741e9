package app

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/cofferdam-run/cofferdam/host/authorization"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/oauth"
	"github.com/cofferdam-run/cofferdam/host/oauth/provider"
)

// Visit is how far an account is known, from its first token to all that its provider's
// lookups bring. As JSON it is whole, to be sealed: it has the token.
type Visit struct {
	Token     oauth.Token       `json:"token"`
	Variables map[string]string `json:"variables,omitempty"`
	// Looked counts the lookups that were made.
	Looked int `json:"looked,omitempty"`
	// Choices are of the next one: the user chooses, see Choose. There are none if there is
	// nothing to choose, and then the visit is over.
	Choices []oauth.Choice `json:"choices,omitempty"`
}

// Look goes on with a visit: it makes the lookups of the app's provider, until all are made
// or there is something to choose. Of one thing to choose from, that is chosen.
func (s *Apps) Look(ctx context.Context, tenant, app string, v Visit) (Visit, error) {
	return Look(ctx, s.c.Client, func(ctx context.Context, variables map[string]string) (authorization.Registered, error) {
		return s.Registration(ctx, tenant, app, variables)
	}, v)
}

// Resolver joins an app with its provider, as far as variables are known.
type Resolver func(ctx context.Context, variables map[string]string) (authorization.Registered, error)

// Look is Apps.Look of an app that is joined by resolve.
func Look(ctx context.Context, c *oauth.Client, resolve Resolver, v Visit) (Visit, error) {
	v.Variables = maps.Clone(v.Variables)
	if v.Variables == nil {
		v.Variables = map[string]string{}
	}
	for {
		r, err := resolve(ctx, v.Variables)
		if err != nil {
			return Visit{}, err
		}
		if v.Looked == 0 {
			// A token's own come first: lookups may need them.
			if more := Learned(r.Provider.Provider, nil, v.Token); !maps.Equal(more, subset(v.Variables, more)) {
				maps.Copy(v.Variables, more)
				continue
			}
		}
		if len(v.Choices) > 0 {
			return v, nil
		}
		if v.Looked >= len(r.Provider.Lookups) {
			v.Token.Who = whose(ctx, c, r, v.Token)
			return v, nil
		}
		found, err := c.Lookup(ctx, r.Registration, lookupOf(r.Provider, v.Looked), v.Token)
		if err != nil {
			return Visit{}, fmt.Errorf("look up what the account is: %w", err)
		}
		v.Token = found.Token
		switch len(found.Choices) {
		case 0:
			return Visit{}, fault.New(fault.Auth, "account_empty", "the account that was connected has nothing that %s could be used for", r.Provider.Title).
				WithHint("Connect again, with an account that has access to what is to be connected.")
		case 1:
			maps.Copy(v.Variables, found.Choices[0].Learned)
			v.Looked++
		default:
			v.Choices = found.Choices
		}
	}
}

// whose is who an OpenID provider says that a token is of, where nothing else says which
// account it is: no variable, and no ID token. A server that does not answer keeps nobody
// from connecting.
func whose(ctx context.Context, c *oauth.Client, r authorization.Registered, t oauth.Token) oauth.Identity {
	at := r.Provider.UserInfoEndpoint
	for _, v := range r.Provider.Variables {
		if v.From != "input" {
			return t.Who
		}
	}
	if at == "" || t.Identity().Subject != "" || !slices.Contains(t.Scopes, "openid") {
		return t.Who
	}
	who, err := c.UserInfo(ctx, r.Registration, at, t)
	if err != nil {
		return t.Who
	}
	return who
}

// subset is what of all is in part.
func subset(all, part map[string]string) map[string]string {
	same := map[string]string{}
	for name := range part {
		if value, ok := all[name]; ok {
			same[name] = value
		}
	}
	return same
}

// Choose takes one of the choices; Look goes on from there.
func (v Visit) Choose(i int) (Visit, error) {
	if i < 0 || i >= len(v.Choices) {
		return Visit{}, fault.New(fault.InvalidInput, "choice_invalid", "there are %d choices, counted from 0, and %d is none of them", len(v.Choices), i).At("/choice")
	}
	v.Variables = maps.Clone(v.Variables)
	maps.Copy(v.Variables, v.Choices[i].Learned)
	v.Choices = nil
	v.Looked++
	return v, nil
}

// Again brings what a refresh has brought up to date: the variables that the token response
// has, and those lookups that are made after each refresh. What it returns is to be kept. It
// is an authorization.Lookup.
func (s *Apps) Again(ctx context.Context, r authorization.Registered, t oauth.Token, variables map[string]string) (oauth.Token, map[string]string, error) {
	variables = maps.Clone(variables)
	if variables == nil {
		variables = map[string]string{}
	}
	maps.Copy(variables, Learned(r.Provider.Provider, nil, t))
	for i, l := range r.Provider.Lookups {
		if !l.Each {
			continue
		}
		found, err := s.c.Client.Lookup(ctx, r.Registration, lookupOf(r.Provider, i), t)
		if err != nil {
			return oauth.Token{}, nil, fmt.Errorf("look up what the account is: %w", err)
		}
		t = found.Token
		learned, ok := chosenAgain(l, found.Choices, variables)
		if !ok {
			return oauth.Token{}, nil, fault.New(fault.Auth, fault.CodeUpstreamAuth, "what was chosen of the account is not there any more").
				WithHint("Reconnect: the user has to choose once more.")
		}
		maps.Copy(variables, learned)
	}
	return t, variables, nil
}

// chosenAgain finds what the user has chosen.
func chosenAgain(l provider.Lookup, choices []oauth.Choice, variables map[string]string) (map[string]string, bool) {
	if l.Items == nil {
		return choices[0].Learned, true
	}
	for _, c := range choices {
		if maps.Equal(c.Learned, subset(variables, c.Learned)) {
			return c.Learned, true
		}
	}
	return nil, false
}

func lookupOf(at provider.Resolved, i int) oauth.Lookup {
	l := at.Lookups[i]
	look := oauth.Lookup{
		URL: l.URL, Method: l.Method, Parameters: l.Parameters,
		Header: at.Token.Header, Prefix: at.Token.Prefix, Query: at.Token.Query, Headers: at.Token.Headers,
		List: l.Items != nil, Label: l.Label, Learn: l.Variables,
	}
	if l.Items != nil {
		look.Items = *l.Items
	}
	if l.Token != nil {
		answer := answerOf(*l.Token, at.Scopes.ResponseSeparator)
		look.Token = &answer
	}
	return look
}

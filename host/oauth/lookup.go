package oauth

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// Lookup is a request that is made with a token: to learn of its account, or because the
// token is only good for getting the one that the API takes.
type Lookup struct {
	URL string
	// Method is GET, with Parameters in the query, or POST, with a form. Defaults to GET.
	Method string
	// Parameters may have {access_token}, {client_id} and {client_secret} in them.
	Parameters map[string]string
	// Header carries the token, after Prefix, or Query does, unless one of Parameters has
	// it. Headers go with it.
	Header, Prefix, Query string
	Headers               map[string]string
	// List says that the answer has a list at Items, a JSON pointer, of which the user
	// chooses one, by what Label points to in each.
	List         bool
	Items, Label string
	// Learn has the places of what is learned, by name: in the answer, or in an item.
	Learn map[string]string
	// Token is where the answer has a token that replaces the one before.
	Token *Answer
}

// Found is what a Lookup brings. It prints as "[redacted]".
type Found struct {
	// Token is the one that the lookup was made with, or what replaces it.
	Token Token
	// Choices are those of a list, which may be empty; without a list there is one.
	Choices []Choice
}

// Choice is what a user may choose.
type Choice struct {
	Label   string            `json:"label,omitempty"`
	Learned map[string]string `json:"learned,omitempty"`
}

// labelMost is what fits a line of a page.
const labelMost = 200

// Lookup makes a request with a token. What the answer leaves out of a new token stays as
// it was.
func (c *Client) Lookup(ctx context.Context, r Registration, look Lookup, token Token) (Found, error) {
	if err := c.check(r); err != nil {
		return Found{}, err
	}
	endpoint, err := c.endpoint(r, "lookup", look.URL)
	if err != nil {
		return Found{}, err
	}
	got, err := c.look(ctx, r, look, token, endpoint)
	if err != nil {
		return Found{}, err
	}
	if err := got.judgedAny(r.Wire.Answer); err != nil {
		return Found{}, err
	}
	found := Found{Token: token}
	if look.Token != nil {
		if found.Token, err = c.replaced(r, *look.Token, token, got); err != nil {
			return Found{}, err
		}
	}
	found.Choices, err = got.choices(look)
	return found, err
}

// look sends the request.
func (c *Client) look(ctx context.Context, r Registration, look Lookup, token Token, endpoint *url.URL) (*answer, error) {
	params, header, carried := url.Values{}, http.Header{"Accept": {"application/json"}}, false
	fill := strings.NewReplacer("{access_token}", token.Access, "{client_id}", r.ClientID, "{client_secret}", r.Secret.ClientSecret)
	for name, value := range look.Parameters {
		carried = carried || strings.Contains(value, "{access_token}")
		params.Set(name, fill.Replace(value))
	}
	switch {
	case carried:
	case look.Query != "":
		params.Set(look.Query, token.Access)
	default:
		header.Set(or(look.Header, "Authorization"), look.Prefix+token.Access)
	}
	for name, value := range look.Headers {
		header.Set(name, value)
	}
	method := or(look.Method, http.MethodGet)
	ctx, cancel := context.WithTimeout(ctx, c.config.Timeout)
	defer cancel()
	built, err := build(ctx, method, "form", endpoint, params)
	if err != nil {
		return nil, err
	}
	maps.Copy(built.Header, header)
	through, err := c.transport(r)
	if err != nil {
		return nil, err
	}
	return c.do(built, through, []string{token.Access, r.Secret.ClientSecret})
}

// replaced is the token of an answer, with what that leaves out from the one before.
func (c *Client) replaced(r Registration, m Answer, was Token, got *answer) (Token, error) {
	r.Wire.Answer = m
	now, err := got.token(r, ask{refresh: was.Refresh}, c.config.Now())
	if err != nil {
		return Token{}, err
	}
	now.Rotated = now.Rotated || was.Rotated
	if now.Scopes == nil {
		now.Scopes = was.Scopes
	}
	now.Missing = was.Missing
	if now.ExpiresAt.IsZero() {
		now.ExpiresAt = was.ExpiresAt
	}
	if now.RefreshExpiresAt.IsZero() {
		now.RefreshExpiresAt = was.RefreshExpiresAt
	}
	now.IDToken, now.Who = or(now.IDToken, was.IDToken), was.Who
	extra := maps.Clone(was.Extra)
	if extra == nil {
		extra = now.Extra
	} else {
		maps.Copy(extra, now.Extra)
	}
	now.Extra = extra
	return now, nil
}

// judgedAny reads an answer that may be any JSON, such as a list.
func (a *answer) judgedAny(m Answer) error {
	body := bytes.TrimSpace(a.body)
	if len(body) == 0 || body[0] != '[' {
		return a.judged(m, a.sent)
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var all []any
	if err := d.Decode(&all); err != nil {
		return a.invalid("answered %d with JSON that does not parse", a.status)
	}
	a.doc = all
	if e := a.refusal(m); e != nil {
		return e
	}
	return nil
}

// choices reads what an answer has to be learned.
func (a *answer) choices(look Lookup) ([]Choice, error) {
	if !look.List {
		learned, missing := learn(a.doc, look.Learn)
		if missing != "" {
			return nil, a.invalid("answered without %s", missing)
		}
		return []Choice{{Learned: learned}}, nil
	}
	items, ok := at(a.doc, look.Items).([]any)
	if !ok {
		return nil, a.invalid("answered without a list at %q", look.Items)
	}
	all := []Choice{}
	for i, item := range items {
		learned, missing := learn(item, look.Learn)
		if missing != "" {
			return nil, a.invalid("answered without %s, in item %d of its list", missing, i)
		}
		label := clean(text(at(item, look.Label)), a.secrets)
		if runes := []rune(label); len(runes) > labelMost {
			label = string(runes[:labelMost])
		}
		if label == "" {
			label = fmt.Sprintf("%d", i+1)
		}
		all = append(all, Choice{Label: label, Learned: learned})
	}
	return all, nil
}

// learn finds all, or says what is missing.
func learn(doc any, places map[string]string) (learned map[string]string, missing string) {
	learned = map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(places)) {
		found := text(at(doc, places[name]))
		if found == "" || len(found) > extraText {
			return nil, fmt.Sprintf("%s, at %q", name, places[name])
		}
		learned[name] = found
	}
	return learned, ""
}

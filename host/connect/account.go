package connect

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"unicode"
	"unicode/utf8"

	"github.com/cofferdam-run/cofferdam/host/connection"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/oauth/provider"
)

// sameAccount refuses a consent that is surely of another account than the one before.
//
// Where a provider tells by its variables which account it is (a site, a company), those
// decide: another login of the same company is the same account. Where it tells none, the
// login is the account, and OpenID Connect's subject decides. To another app a user may be
// known under another one, which says nothing.
func sameAccount(c connection.Connection, before, now Account, p provider.Provider) error {
	told, stored := false, textsOf(c.Fields)
	for _, name := range slices.Sorted(maps.Keys(p.Variables)) {
		if p.Variables[name].From == "input" {
			continue
		}
		told = true
		was, is := cmp.Or(before.Variables[name], stored[name]), now.Variables[name]
		if was != "" && is != "" && was != is {
			return another("this is another account: its %s is %.64q, and the connection %q is of %.64q", titleOf(p, name), is, c.Name, was)
		}
	}
	if told || before.App != now.App || !before.Identity.Differs(now.Identity) {
		return nil
	}
	if was, is := before.Identity.Name, now.Identity.Name; was != "" && is != "" && was != is {
		return another("this is another account: you have logged in as %.64q, and the connection %q is of %.64q", is, c.Name, was)
	}
	return another("this is another account: you have logged in as somebody else than whose account the connection %q is of", c.Name)
}

func another(format string, args ...any) error {
	return fault.New(fault.Denied, codeAccount, format, args...).
		WithHint("Log in at the provider with the account that was connected before: log out there first if it does not ask. Or connect this one as a connection of its own.")
}

func titleOf(p provider.Provider, variable string) string {
	if t := p.Variables[variable].Title; t != "" {
		first, size := utf8.DecodeRuneInString(t)
		return string(unicode.ToLower(first)) + t[size:]
	}
	return variable
}

// textsOf are the fields of a connection that are texts.
func textsOf(fields json.RawMessage) map[string]string {
	var all map[string]any
	texts := map[string]string{}
	if len(fields) == 0 || json.Unmarshal(fields, &all) != nil {
		return texts
	}
	for name, v := range all {
		if text, is := v.(string); is {
			texts[name] = text
		}
	}
	return texts
}

package manifest

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Slots are the places in a request where a plugin may write a placeholder such as
// {{connection.token}}, which the host fills.
type Slots struct {
	// Headers and Query are names of headers, and of parameters of the URL.
	Headers []string `json:"headers,omitempty"`
	Query   []string `json:"query,omitempty"`
	// JSON are pointers (RFC 6901) to strings in a body of JSON.
	JSON []string `json:"json,omitempty"`
	// Form are names of a form's fields.
	Form []string `json:"form,omitempty"`
}

var (
	fieldName   = regexp.MustCompile(`^[A-Za-z0-9_.~\[\]-]{1,64}$`)
	jsonPointer = regexp.MustCompile(`^(/([^/~]|~[01])*)+$`)
)

// Caps of slots: an API has one or two.
const (
	maxSlots   = 32
	maxPointer = 256
)

// IsZero says that there are none.
func (s Slots) IsZero() bool { return len(s.Names()) == 0 }

// Names describes each slot, such as `the header "X-Token"`.
func (s Slots) Names() []string {
	var names []string
	for _, kind := range s.kinds() {
		for _, name := range kind.names {
			names = append(names, fmt.Sprintf("the %s %q", kind.what, name))
		}
	}
	return names
}

// slotKind is one list of Slots.
type slotKind struct {
	field, what string
	names       []string
	valid       func(string) bool
}

func (s Slots) kinds() []slotKind {
	return []slotKind{
		{"headers", "header", s.Headers, func(n string) bool { return headerName.MatchString(n) && maySlot(n) }},
		{"query", "query parameter", s.Query, fieldName.MatchString},
		{"json", "JSON field", s.JSON, func(n string) bool { return len(n) <= maxPointer && jsonPointer.MatchString(n) }},
		{"form", "form field", s.Form, fieldName.MatchString},
	}
}

// maySlot leaves out the headers that are the host's to set, and those that say what a
// message is: a credential in one of them would be something else.
func maySlot(header string) bool {
	return strings.EqualFold(header, "Authorization") || strings.EqualFold(header, "Cookie") || !isHostsHeader(header)
}

// check checks the slots of a connection of a type.
func (s Slots) check(where, kind string, problems *list) {
	if s.IsZero() {
		return
	}
	if !slices.Contains([]string{"bearer", "basic", "api_key", "oauth2"}, kind) {
		problems.add(where, "are for the types bearer, basic, api_key and oauth2: what a %s has is not sent", clip(kind))
	}
	for _, k := range s.kinds() {
		at := where + "/" + k.field
		if len(k.names) > maxSlots {
			problems.add(at, "there are %d: at most %d are allowed", len(k.names), maxSlots)
			continue
		}
		for i, name := range k.names {
			if !k.valid(name) {
				problems.add(pointer(at, i), "%q is not %s", clip(name), map[string]string{
					"headers": "the name of a header that a plugin may set", "query": "the name of a query parameter",
					"json": "a JSON pointer such as /auth/token", "form": "the name of a form's field",
				}[k.field])
			}
			if slices.Contains(k.names[:i], name) {
				problems.add(pointer(at, i), "%q is there twice", clip(name))
			}
		}
	}
}

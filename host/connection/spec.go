package connection

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/ident"
	"github.com/cofferdam-run/cofferdam/hostfns/egress"
)

// maxHosts is far more than a vendor has, and few enough to show in an error.
const maxHosts = 32

var (
	validName   = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9_.-]{0,62}$`)
	validHeader = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}$") // A token of RFC 9110.
	validQuery  = regexp.MustCompile(`^[A-Za-z0-9_.\[\]-]{1,128}$`)
)

// Spec asks for a connection. Logged, it leaves its credential out.
type Spec struct {
	// Name is what tenants call it: [a-zA-Z][a-zA-Z0-9_.-]{0,62}, not beginning as
	// ids do.
	Name string `json:"name"`
	Type Type   `json:"type"`
	// Hosts are the only ones that the credential is sent to: a host name or "*."
	// and a host name, each with an optional port, as in egress.Rule.
	Hosts []string `json:"hosts"`
	// Header or Query is where an APIKey goes: one of them. An HMAC may have a Header.
	Header string `json:"header,omitempty"`
	Query  string `json:"query,omitempty"`
	// Fields are what plugins may know of the account: a JSON object, nothing secret.
	Fields     json.RawMessage `json:"fields,omitempty"`
	Credential Credential      `json:"credential"`
}

// check returns an InvalidInput fault with everything that is wrong with s.
func (s Spec) check() error {
	found := s.nameProblems()
	found = append(found, s.hostProblems()...)
	found = append(found, fieldProblems(s.Fields)...)
	if !slices.Contains(Types(), s.Type) {
		found = append(found, fault.Problem{
			Where:   "/type",
			Message: fmt.Sprintf("the type is %.64q: it must be one of %s", s.Type, strings.Trim(strings.ReplaceAll(fmt.Sprint(Types()), " ", ", "), "[]")),
		})
		return invalid(found)
	}
	found = append(found, s.placeProblems()...)
	return invalid(append(found, s.Credential.problems(s.Type)...))
}

// invalid turns problems into one fault, or into nil if there are none.
func invalid(found []fault.Problem) error {
	if len(found) == 0 {
		return nil
	}
	e := fault.New(fault.InvalidInput, "invalid_connection", "%s", found[0].Message).At(found[0].Where)
	if more := len(found) - 1; more > 0 {
		e.Message += fmt.Sprintf(" (and %d more: see problems)", more)
	}
	e.Problems = found
	return e
}

func (s Spec) nameProblems() []fault.Problem {
	if strings.HasPrefix(s.Name, ident.Connection) {
		// Both are looked up in one place: such a name could stand for another's id.
		return []fault.Problem{{
			Where:   "/name",
			Message: fmt.Sprintf("the name is %.128q: a name must not begin with %s, for that is how ids begin", s.Name, ident.Connection),
		}}
	}
	if validName.MatchString(s.Name) {
		return nil
	}
	return []fault.Problem{{
		Where:   "/name",
		Message: fmt.Sprintf("the name is %.128q: it must begin with a letter, have at most 63 letters, digits, _, . and -, and nothing else", s.Name),
	}}
}

func (s Spec) hostProblems() []fault.Problem {
	if n := len(s.Hosts); n == 0 || n > maxHosts {
		return []fault.Problem{{
			Where:   "/hosts",
			Message: fmt.Sprintf("there are %d hosts: name from 1 to %d that the credential may be sent to, such as api.example.com", n, maxHosts),
		}}
	}
	var found []fault.Problem
	for i, host := range s.Hosts {
		if err := ruleFor(host).Validate(); err != nil {
			found = append(found, fault.Problem{Where: fmt.Sprintf("/hosts/%d", i), Message: err.Error()})
		}
	}
	return found
}

// maxFields of a connection, which go into each call.
const maxFields = 16 << 10

// fieldProblems checks what can be checked without knowing what is granted the
// connection. It never quotes what it met: people do put secrets there.
func fieldProblems(fields json.RawMessage) []fault.Problem {
	if fields == nil {
		return nil
	}
	var object map[string]json.RawMessage
	switch {
	case len(fields) > maxFields:
		return []fault.Problem{{Where: "/fields", Message: fmt.Sprintf("the fields have %d bytes, and %d is the limit", len(fields), maxFields)}}
	case !utf8.Valid(fields) || json.Unmarshal(fields, &object) != nil || object == nil:
		return []fault.Problem{{Where: "/fields", Message: "the fields must be a JSON object, such as {\"account_id\":\"a-1\"}"}}
	default:
		return nil
	}
}

// ruleFor lets egress judge hosts, so that the hosts of connections and those of
// grants mean the same. Methods are the grants' affair: one stands for all.
func ruleFor(host string) egress.Rule {
	return egress.Rule{Host: host, Methods: []string{http.MethodGet}}
}

// placeProblems checks where the credential goes.
func (s Spec) placeProblems() []fault.Problem {
	switch {
	case s.Type != APIKey && s.Header == "" && s.Query == "":
		return nil
	case s.Type == HMAC && s.Query == "":
		return s.headerProblems()
	case s.Type != APIKey:
		return []fault.Problem{{
			Where:   "/" + placeOf(s),
			Message: fmt.Sprintf("a connection of type %s has a place of its own, such as the authorization header: only one of type %s names a header or query", s.Type, APIKey),
		}}
	case (s.Header == "") == (s.Query == ""):
		return []fault.Problem{{Where: "/header", Message: "a connection of type api_key needs a header or a query parameter to put the key into, and not both"}}
	case s.Query != "" && !validQuery.MatchString(s.Query):
		return []fault.Problem{{
			Where:   "/query",
			Message: fmt.Sprintf("the query parameter is %.128q: it must have 1 to 128 letters, digits, _, ., -, [ and ], and nothing else", s.Query),
		}}
	default:
		return s.headerProblems()
	}
}

func (s Spec) headerProblems() []fault.Problem {
	switch {
	case s.Header == "":
		return nil
	case !validHeader.MatchString(s.Header):
		return []fault.Problem{{Where: "/header", Message: fmt.Sprintf("%.128q cannot be the name of a header", s.Header)}}
	case isReserved(s.Header):
		return []fault.Problem{{
			Where:   "/header",
			Message: fmt.Sprintf("the header %s says how a request travels, and cannot carry a key: use the one that the vendor's documentation names", s.Header),
		}}
	default:
		return nil
	}
}

func placeOf(s Spec) string {
	if s.Header != "" {
		return "header"
	}
	return "query"
}

// isReserved tells headers that frame, route or describe a request, with which a
// key would do harm. Authorization is none of them: some vendors take a bare key
// in it.
func isReserved(header string) bool {
	name := strings.ToLower(header)
	return strings.HasPrefix(name, "proxy-") || strings.HasPrefix(name, "x-forwarded-") || strings.HasPrefix(name, "sec-") ||
		slices.Contains([]string{
			"host", "cookie", "connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "http2-settings",
			"content-length", "content-type", "content-encoding", "accept-encoding", "expect", "forwarded", "via", "x-real-ip", "range",
		}, name)
}

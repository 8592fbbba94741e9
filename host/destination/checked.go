package destination

import (
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/ident"
)

var (
	// name is what names of destinations look like.
	name = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}$`)
	// kind is what is sent: a message's type, all of a noun, or everything.
	kind = regexp.MustCompile(`^(\*|[a-z]{1,32}\.(\*|[a-zA-Z][a-zA-Z0-9_.-]{0,62}))$`)
)

const (
	maxURL   = 2048
	maxKinds = 100
)

// checked is a destination that can be stored, or a fault that says what is wrong.
func checked(d Destination) (Destination, error) {
	u, err := url.Parse(d.URL)
	if err != nil || u.Hostname() == "" || u.User != nil || u.Fragment != "" || len(d.URL) > maxURL || u.Scheme != "https" && u.Scheme != "http" {
		return d, fault.New(fault.InvalidInput, "url_invalid", "the URL is none that messages can be sent to").At("/url").
			WithHint("Write it like https://app.example.com/hooks, without a user name, in %d characters at most.", maxURL)
	}
	if d.Name == "" {
		d.Name = strings.Trim(strings.Map(plain, u.Hostname()), "-.")
	}
	if !name.MatchString(d.Name) || strings.HasPrefix(d.Name, ident.Destination) {
		return d, fault.New(fault.InvalidInput, "name_invalid", "the name %.80q cannot be", d.Name).At("/name").
			WithHint("A name is a letter or digit, and up to 62 letters, digits, _, . and -. It does not begin as ids do.")
	}
	return d, checkKinds(d.Kinds)
}

// plain makes of a host what a name may have.
func plain(r rune) rune {
	if r == ':' || r > 'z' {
		return '-'
	}
	return r
}

func checkKinds(kinds []string) error {
	if len(kinds) == 0 || len(kinds) > maxKinds {
		return fault.New(fault.InvalidInput, "kinds_invalid", "%d kinds are asked for, and it has to be 1 to %d", len(kinds), maxKinds).At("/kinds").
			WithHint("Say what is to be sent, such as record.* or execution.dead; * is everything.")
	}
	if i := slices.IndexFunc(kinds, func(k string) bool { return !kind.MatchString(k) }); i >= 0 {
		return fault.New(fault.InvalidInput, "kinds_invalid", "%.80q is no kind of message", kinds[i]).At("/kinds").
			WithHint("A kind is a noun and what became of it, such as record.order or execution.dead; record.* is all of a noun, * is everything.")
	}
	return nil
}

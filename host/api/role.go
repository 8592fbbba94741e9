package api

import (
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/token"
)

// roles are those that open the route, which follow from its line in the table. All of
// them are in roles.txt, for people to read.
func (rt route) roles() []token.Role {
	if rt.Reach == open {
		return nil
	}
	return slices.DeleteFunc(token.Roles(), func(r token.Role) bool {
		scope, tenants := r.Scope()
		switch {
		case tenants && rt.Reach == operated:
			return true
		case r == token.Publisher && rt.Reach != viewed:
			// It reaches no tenant, and nothing else of the operator's.
			return true
		case rt.Scope == token.Read:
			return false
		default:
			return scope != token.Admin && scope != rt.Scope
		}
	})
}

// permits says whether a token opens the route, and if not, whose would.
func (rt route) permits(t token.Token) error {
	if rt.Kept && t.Kind == token.Signed {
		return fault.New(fault.Denied, "token_signed", "a signed token makes no tokens: they would outlive it").
			WithHint("use a token that is kept: cofferdam token create NAME --tenant TENANT")
	}
	if rt.Reach == open || t.May(rt.roles()) {
		return nil
	}
	has := "no role"
	if roles := t.Roles(); len(roles) > 0 {
		has = "the role " + names(roles)
	}
	return fault.New(fault.Denied, "role_missing", "this needs the role %s; the token has %s", names(rt.roles()), has).
		WithHint("%s", rt.howToGet(t))
}

// howToGet says how somebody gets a token that opens the route.
func (rt route) howToGet(t token.Token) string {
	if t.Kind == token.Login {
		return "the OpenID provider's claims give this login its roles: see --oidc-role of 'cofferdam serve'; or an operator makes a token: cofferdam token create NAME"
	}
	if t.Tenant != "" && rt.Reach != operated {
		return "an operator or the tenant's administrator makes one: cofferdam token create NAME --tenant TENANT --scope " + string(rt.Scope)
	}
	scope := rt.Scope
	if rt.Reach == operated && scope == token.Publish {
		scope = token.Admin
	}
	return "an operator makes one: cofferdam token create NAME --scope " + string(scope)
}

func names(roles []token.Role) string {
	var all []string
	for _, r := range roles {
		all = append(all, string(r))
	}
	return strings.Join(all, " or ")
}

// address returns where a request comes from: what a proxy that is trusted says, and
// otherwise whoever is connected.
func (s *server) address(r *http.Request) string {
	from := r.RemoteAddr
	if host, _, err := net.SplitHostPort(from); err == nil {
		from = host
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	// The last is what the nearest proxy wrote down; the first is anybody's.
	for i := len(hops) - 1; i >= 0 && s.isProxy(from); i-- {
		hop, err := netip.ParseAddr(strings.TrimSpace(hops[i]))
		if err != nil {
			break
		}
		from = hop.String()
	}
	return from
}

func (s *server) isProxy(from string) bool {
	addr, err := netip.ParseAddr(from)
	return err == nil && slices.ContainsFunc(s.o.TrustedProxies, func(p netip.Prefix) bool { return p.Contains(addr.Unmap()) })
}

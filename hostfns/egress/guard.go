package egress

import (
	"bytes"
	"net/netip"
	"slices"

	"code.dny.dev/ssrf"
)

// Verdict is what a Guard says of an address.
type Verdict int

// The verdicts. Only the first two let a guest reach an address.
const (
	// VerdictPublic addresses belong to the internet.
	VerdictPublic Verdict = iota
	// VerdictException addresses are allowed by the operator, and are the only
	// ones for plain http.
	VerdictException
	// VerdictDenied addresses are denied by the operator.
	VerdictDenied
	// VerdictSpecial addresses are in IANA's special-purpose registries, or in
	// IPv6 outside of 2000::/3: private, loopback, link-local, documentation,
	// translation and tunnels.
	VerdictSpecial
	// VerdictPlatform addresses look public and are a cloud's own.
	VerdictPlatform
	// VerdictTunnel addresses hold an IPv4 address that a router may unpack.
	VerdictTunnel
	// VerdictInvalid addresses are none, or name a zone of this machine.
	VerdictInvalid
)

// String names the verdict.
func (v Verdict) String() string {
	names := [...]string{"public", "exception", "denied", "special", "platform", "tunnel", "invalid"}
	if v < 0 || int(v) >= len(names) {
		return "unknown"
	}
	return names[v]
}

// OK says whether guests may reach the address.
func (v Verdict) OK() bool { return v == VerdictPublic || v == VerdictException }

// Guard tells which addresses guests may reach. It is safe for concurrent use.
type Guard struct {
	allow, deny, platform []netip.Prefix
	registries            *ssrf.Guardian
}

// NewGuard returns a Guard with the operator's exceptions and denials.
func NewGuard(allow, deny []netip.Prefix) *Guard {
	return &Guard{
		allow: slices.Clone(allow),
		deny:  slices.Clone(deny),
		platform: []netip.Prefix{
			// Azure's wire server, which serves credentials to the machine:
			// https://learn.microsoft.com/azure/virtual-network/what-is-ip-address-168-63-129-16
			netip.MustParsePrefix("168.63.129.16/32"),
		},
		registries: ssrf.New(ssrf.WithAnyPort()),
	}
}

// Judge gives the verdict on an address. An IPv4 address inside an IPv6 one
// (::ffff:10.0.0.1) is judged as the IPv4 address that it reaches.
func (g *Guard) Judge(addr netip.Addr) Verdict {
	if !addr.IsValid() || addr.Zone() != "" {
		return VerdictInvalid
	}
	addr = addr.Unmap()
	switch {
	case within(g.allow, addr):
		return VerdictException
	case within(g.deny, addr):
		return VerdictDenied
	case within(g.platform, addr):
		return VerdictPlatform
	case g.registries.SafeAddr(addr) != nil:
		return VerdictSpecial
	case isISATAP(addr):
		return VerdictTunnel
	}
	return VerdictPublic
}

func within(prefixes []netip.Prefix, addr netip.Addr) bool {
	return slices.ContainsFunc(prefixes, func(p netip.Prefix) bool { return p.Contains(addr) })
}

// isISATAP tells the interface identifiers ::0:5efe:a.b.c.d and
// ::200:5efe:a.b.c.d, of a tunnel to an IPv4 address (RFC 5214, section 6.1),
// in any network.
func isISATAP(addr netip.Addr) bool {
	if !addr.Is6() {
		return false
	}
	b := addr.As16()
	return bytes.Equal(b[10:12], []byte{0x5e, 0xfe}) && b[8]&^0x03 == 0 && b[9] == 0
}

package egress_test

import (
	_ "embed"
	"net/netip"
	"strings"
	"testing"

	"github.com/cofferdam-run/cofferdam/hostfns/egress"
)

// addresses holds one address a line; those with a plus are to be allowed.
//
//go:embed testdata/ssrf_ips.txt
var addresses string

func TestGuardJudgesTheKnownAttacks(t *testing.T) {
	t.Parallel()
	g := egress.NewGuard(nil, nil)
	judged := 0
	for line := range strings.Lines(addresses) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		text, want := strings.CutPrefix(line, "+")
		judged++
		if v := g.Judge(netip.MustParseAddr(text)); v.OK() != want {
			t.Errorf("%s: got %s, want OK %v", text, v, want)
		}
		// An IPv4 address means the same inside an IPv6 one.
		if addr := netip.MustParseAddr(text); addr.Is4() {
			if v := g.Judge(netip.AddrFrom16(addr.As16())); v.OK() != want {
				t.Errorf("::ffff:%s: got %s, want OK %v", text, v, want)
			}
		}
	}
	if judged < 75 {
		t.Errorf("judged %d addresses: the list is cut", judged)
	}
}

func TestGuardGivesItsVerdict(t *testing.T) {
	t.Parallel()
	g := egress.NewGuard(
		[]netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("fd00:1::/32")},
		[]netip.Prefix{netip.MustParsePrefix("8.8.0.0/16"), netip.MustParsePrefix("10.1.2.0/24")},
	)
	tests := map[string]struct {
		addr netip.Addr
		want egress.Verdict
		text string
	}{
		"a public address":               {netip.MustParseAddr("1.1.1.1"), egress.VerdictPublic, "public"},
		"an exception":                   {netip.MustParseAddr("10.1.0.9"), egress.VerdictException, "exception"},
		"an exception in IPv6":           {netip.MustParseAddr("fd00:1::9"), egress.VerdictException, "exception"},
		"an exception, mapped":           {netip.MustParseAddr("::ffff:10.1.0.9"), egress.VerdictException, "exception"},
		"an exception before a denial":   {netip.MustParseAddr("10.1.2.3"), egress.VerdictException, "exception"},
		"a denial":                       {netip.MustParseAddr("8.8.8.8"), egress.VerdictDenied, "denied"},
		"a private address":              {netip.MustParseAddr("10.2.0.1"), egress.VerdictSpecial, "special"},
		"a cloud's own":                  {netip.MustParseAddr("168.63.129.16"), egress.VerdictPlatform, "platform"},
		"a tunnel":                       {netip.MustParseAddr("2606:4700::5efe:7f00:1"), egress.VerdictTunnel, "tunnel"},
		"a tunnel to a public address":   {netip.MustParseAddr("2606:4700::200:5efe:8.8.4.4"), egress.VerdictTunnel, "tunnel"},
		"a zone":                         {netip.MustParseAddr("2606:4700::1%eth0"), egress.VerdictInvalid, "invalid"},
		"no address":                     {netip.Addr{}, egress.VerdictInvalid, "invalid"},
		"an interface that looks like 1": {netip.MustParseAddr("2606:4700::1:5efe:7f00:1"), egress.VerdictPublic, "public"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := g.Judge(tt.addr)
			if got != tt.want || got.String() != tt.text {
				t.Errorf("%v: got %s, want %s", tt.addr, got, tt.text)
			}
			if ok := got == egress.VerdictPublic || got == egress.VerdictException; got.OK() != ok {
				t.Errorf("%s: OK is %v", got, got.OK())
			}
		})
	}
	if got := egress.Verdict(99); got.OK() || got.String() != "unknown" {
		t.Errorf("Verdict(99): got %s, %v", got, got.OK())
	}
}

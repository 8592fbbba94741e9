package egress_test

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// spellings gives the URLs by which an address may be meant: those that some parser
// somewhere takes for it, whether or not one of ours does. Each goes to port.
func spellings(addr netip.Addr, port string) []string {
	var hosts []string
	if addr.Is4() {
		hosts = append(spelt4(addr), spelt6Of4(addr)...)
	} else {
		hosts = spelt6(addr)
	}
	var urls []string
	for _, host := range hosts {
		urls = append(urls, "https://"+host+":"+port+"/")
	}
	return append(urls, tricks(bracketed(addr), port)...)
}

func bracketed(addr netip.Addr) string {
	if addr.Is6() {
		return "[" + addr.String() + "]"
	}
	return addr.String()
}

// spelt4 has what inet_aton, browsers and people make of four bytes.
func spelt4(addr netip.Addr) []string {
	b := addr.As4()
	bases := []string{"%d", "0%o", "0x%x"}
	var hosts []string
	for i := range 81 { // Each byte in each base.
		parts, rest := make([]string, 4), i
		for j := range parts {
			parts[j] = fmt.Sprintf(bases[rest%3], b[j])
			rest /= 3
		}
		hosts = append(hosts, strings.Join(parts, "."))
	}
	whole := uint64(b[0])<<24 | uint64(b[1])<<16 | uint64(b[2])<<8 | uint64(b[3])
	for _, base := range append(bases, "0X%X", "0x%08x", "0x0000000000%x", "000%o") {
		hosts = append(
			hosts,
			fmt.Sprintf(base, whole),
			fmt.Sprintf(base, whole+1<<32),
			fmt.Sprintf(base+"."+base, b[0], whole&0xffffff),
			fmt.Sprintf(base+"."+base+"."+base, b[0], b[1], whole&0xffff),
		)
	}
	dotted := addr.String()
	hosts = append(
		hosts,
		fmt.Sprintf("%03d.%03d.%03d.%03d", b[0], b[1], b[2], b[3]),
		fmt.Sprintf("%d.%d.%d.%d", int(b[0])+256, int(b[1])+256, int(b[2])+256, int(b[3])+256),
		fmt.Sprintf("0x%02X%02X%02X%02X", b[0], b[1], b[2], b[3]),
		dotted+".", dotted+"..", "."+dotted, strings.Replace(dotted, ".", "..", 1), dotted+".0", dotted+"%00", dotted+"%20", dotted+" ",
		"["+dotted+"]", dotted+"%2f", dotted+"\\", dotted+";", dotted+"%25eth0", "+"+dotted, "-"+dotted,
	)
	for _, dot := range []string{"。", "．", "｡", "%2e", "%E3%80%82", "\u00ad.", "\u200b.", ",", "%c0%ae"} {
		hosts = append(hosts, strings.ReplaceAll(dotted, ".", dot))
	}
	for _, zero := range []rune{'０', '𝟎', '𝟘', '𝟬', '𝟶', '٠', '०'} {
		hosts = append(hosts, digits(dotted, func(d rune) string { return string(zero + d - '0') }))
	}
	return append(
		hosts,
		digits(dotted, func(d rune) string { return "%" + strconv.FormatInt(int64(d), 16) }),
		digits(dotted, func(d rune) string { return "%25" + strconv.FormatInt(int64(d), 16) }),
		digits(dotted, func(d rune) string {
			if d == '0' {
				return "⓪"
			}
			return string('①' + d - '1')
		}),
		digits(dotted, func(d rune) string { return string(d) + "\u200d" }),
	)
}

func digits(s string, write func(rune) string) string {
	var b strings.Builder
	for _, c := range s {
		if c >= '0' && c <= '9' {
			b.WriteString(write(c))
		} else {
			b.WriteRune(c)
		}
	}
	return b.String()
}

// spelt6Of4 has the IPv6 addresses that hold an IPv4 one, for routers to unpack.
func spelt6Of4(addr netip.Addr) []string {
	b := addr.As4()
	high, low := uint16(b[0])<<8|uint16(b[1]), uint16(b[2])<<8|uint16(b[3])
	var hosts []string
	for _, prefix := range []string{
		"::ffff:", "::", "::ffff:0:", "64:ff9b::", "64:ff9b:1::", "64:ff9b:1:fffe::", "fe80::5efe:",
		"2001:db8::5efe:", "fe80::200:5efe:", "2001:0:0:0:0:0:", "0:0:0:0:0:ffff:", "0000:0000:0000:0000:0000:FFFF:",
	} {
		hosts = append(hosts, "["+prefix+addr.String()+"]", fmt.Sprintf("[%s%x:%x]", prefix, high, low), fmt.Sprintf("[%s%04X:%04X]", prefix, high, low))
	}
	return append(
		hosts,
		fmt.Sprintf("[2002:%x:%x::]", high, low), fmt.Sprintf("[2002:%x:%x::1]", high, low),
		fmt.Sprintf("[2001:0:%x:%x::]", high, low), fmt.Sprintf("[2001:0:4136:e378:8000:63bf:%x:%x]", ^high, ^low),
		fmt.Sprintf("[::ffff:%s%%25lo]", addr), fmt.Sprintf("[::ffff:%s%%lo]", addr), fmt.Sprintf("::ffff:%s", addr),
		fmt.Sprintf("[::FfFf:0x%x:0x%x]", high, low), fmt.Sprintf("[::ffff:%d.%d.%d]", b[0], b[1], low),
	)
}

func spelt6(addr netip.Addr) []string {
	long, short := addr.StringExpanded(), addr.String()
	hosts := []string{short} // Without brackets.
	for _, s := range []string{short, strings.ToUpper(short), long, strings.ToUpper(long), "0" + short} {
		hosts = append(hosts, "["+s+"]", "["+s+"]."+"", "["+s+"%25lo]", "["+s+"%251]", "["+s+"%lo]", "["+s+"%]", "["+s, s+"]", "[["+s+"]]")
	}
	groups := strings.Split(long, ":")
	for i := range groups { // Leading zeros, a group at a time.
		g := append([]string(nil), groups...)
		g[i] = strings.TrimLeft(g[i], "0")
		if g[i] == "" {
			g[i] = "0"
		}
		hosts = append(hosts, "["+strings.Join(g, ":")+"]")
	}
	b := addr.As16()
	dotted := fmt.Sprintf("%d.%d.%d.%d", b[12], b[13], b[14], b[15])
	return append(
		hosts,
		"["+strings.Join(groups[:6], ":")+":"+dotted+"]",
		strings.ReplaceAll(short, ":", "-")+".ipv6-literal.net",
		"["+digits(short, func(d rune) string { return string('０' + d - '0') })+"]",
		"["+strings.ReplaceAll(short, ":", "：")+"]",
		"%5b"+short+"%5d", "[v1."+short+"]",
	)
}

// tricks make one parser see another host than the next.
func tricks(host, port string) []string {
	at := host + ":" + port
	var urls []string
	for _, u := range []string{
		"https://example.com@%s/", "https://%s@example.com/", "https://example.com:443@%s/", "https://a:b@%s/", "https://@%s/", "https://:@%s/",
		"https://example.com\\@%s/", "https://example.com%%40%s/", "https://example.com#@%s/", "https://example.com?@%s/", "https://example.com%%23@%s/",
		"https:%s/", "https:/%s/", "https:///%s/", "https:\\\\%s/", "https:/\\%s/", "//%s/", "\\\\%s/", "///%s/", "%s/", " https://%s/", "https://%s\t/",
		"https://\t%s/", "https://\n%s/", "https://%s\r\n/", "https://%s\x00/", "https://example.com\r\nHost: %s/", "HTTPS://%s/", "hTtPs://%s/x/../", "https://%s/%%2e%%2e/",
		"http://%s/", "ftp://%s/", "file://%s/etc/passwd", "gopher://%s/_GET", "dict://%s/", "ldap://%s/", "jar:https://%s/!/", "ws://%s/", "wss://%s/", "unix://%s/",
		"javascript:%s", "data:%s", "url:https://%s/", "view-source:https://%s/", "feed:https://%s/", "blob:https://%s/",
		"https://%s?", "https://%s#", "https://%s;/", "https://%s,example.com/", "https://%s|example.com/", "https://%s\u2028/", "https://\ufeff%s/", "https://\u202e%s/",
		"https://example.com@%s@example.com/", "https://example.com:pw@%s:pw@example.com/", "https://[%s]/", "https://<%s>/", "https://`%s`/", "https://${%s}/",
	} {
		urls = append(urls, fmt.Sprintf(u, at))
	}
	overflown, _ := strconv.Atoi(port)
	for _, p := range []string{":", ":0", ":0" + port, ":+" + port, ":" + strconv.Itoa(overflown+1<<16), ":" + port + ":" + port, ": " + port, ":%34%34%33", ":0x1bb", ":-1", ":https"} {
		urls = append(urls, "https://"+host+p+"/")
	}
	return urls
}

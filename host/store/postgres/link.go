package postgres

import (
	"net"
	"strings"

	"github.com/jackc/pgx/v5"
)

// Exposed says what is wrong with the way to a database, or nothing: that what is sent
// to it over a network can be read or answered by somebody else, because the connection
// is not encrypted, or does not check who answers. What does not leave the machine is
// all right.
func Exposed(dsn string) (why string) {
	cfg, err := pgx.ParseConfig(dsn)
	if err != nil {
		return "" // Open says what is wrong with it.
	}
	ways := []way{{cfg.Host, cfg.TLSConfig != nil, cfg.TLSConfig != nil && !cfg.TLSConfig.InsecureSkipVerify}}
	for _, f := range cfg.Fallbacks {
		ways = append(ways, way{f.Host, f.TLSConfig != nil, f.TLSConfig != nil && !f.TLSConfig.InsecureSkipVerify})
	}
	for _, w := range ways {
		switch {
		case isLocal(w.host) || w.verified:
		case !w.encrypted:
			return "the connection to " + w.host + " may be without TLS: whoever is on the way can read and change all that is stored"
		default:
			why = "the connection to " + w.host + " does not check whose certificate it is: whoever is on the way can pretend to be the database"
		}
	}
	return why
}

// way is one of the ways that are tried. sslmode=require and verify-ca take any
// name, and are not verified here.
type way struct {
	host                string
	encrypted, verified bool
}

// isLocal says that a host is this machine, or a socket of it.
func isLocal(host string) bool {
	if strings.HasPrefix(host, "/") || strings.HasPrefix(host, "@") || strings.EqualFold(host, "localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

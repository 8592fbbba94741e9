package trial

import (
	"encoding/json"
	"net/http"

	"github.com/cofferdam-run/cofferdam/host/connection"
	"github.com/cofferdam-run/cofferdam/host/installation"
	"github.com/cofferdam-run/cofferdam/hostfns/egress"
	"github.com/cofferdam-run/cofferdam/registry/manifest"
)

// Permit is all that a manifest asks for, under a configuration.
func Permit(m manifest.Manifest, config json.RawMessage) egress.Permissions {
	i := installation.Installation{Config: config, Grants: installation.Grants{Egress: m.Egress}}
	return egress.Permissions{
		Rules:       installation.Rules(i, m),
		Idempotency: installation.Idempotency(i, m),
		NotDone:     installation.NotDone(i, m),
		Slots:       installation.Slots(m),
	}
}

// Account is a connection of a manifest as it is where nobody has agreed to anything: an
// oauth2 has a token that is not renewed, and goes to all hosts of the plugin's if it
// names none, for its provider is not asked.
func Account(m manifest.Manifest, c manifest.Connection, config json.RawMessage) connection.Spec {
	wished := c.Hosts
	if len(wished) == 0 {
		for _, e := range m.Egress {
			wished = append(wished, e.Host)
		}
	}
	return connection.Spec{Name: c.Name, Type: connection.Type(c.Type), Header: c.Header, Query: c.Query, Hosts: Hosts(wished, config)}
}

// Hosts are those of a connection, of which each {config.name} has become the host in
// that property. What has none is left out.
func Hosts(declared []string, config json.RawMessage) []string {
	var m manifest.Manifest
	for _, host := range declared {
		m.Egress = append(m.Egress, manifest.Egress{Host: host, Methods: []string{http.MethodGet}})
	}
	var hosts []string
	for _, rule := range Permit(m, config).Rules {
		hosts = append(hosts, rule.Host)
	}
	return hosts
}

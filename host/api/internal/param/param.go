// Package param is the parameters that several operations of the API share. They
// are embedded in operations' inputs, and exported because huma fills in and
// documents exported fields only.
package param

import "github.com/cofferdam-run/cofferdam/host/fault"

// InTenant is the path of everything that a tenant owns. The guard has resolved
// it by the time that a handler sees it.
type InTenant struct {
	Tenant string `path:"tenant" doc:"The tenant's id or name; me for the tenant of the token." example:"acme"`
}

// OneInstallation is an installation of a tenant.
type OneInstallation struct {
	InTenant
	Installation string `path:"installation" doc:"The installation's id or name." example:"hello-go"`
}

// OneConnection is a connection of a tenant.
type OneConnection struct {
	InTenant
	Connection string `path:"connection" doc:"The connection's id or name." example:"github"`
}

// OneEndpoint is an endpoint of a tenant.
type OneEndpoint struct {
	InTenant
	Endpoint string `path:"endpoint" doc:"The endpoint's id."`
}

// OnePlugin is a plugin.
type OnePlugin struct {
	Plugin    string `path:"plugin" doc:"The plugin's id or name, or publisher/name with the slash encoded as %2F." example:"hello-go"`
	Publisher string `query:"publisher" doc:"The publisher's name, if several publishers use the plugin's."`
}

// Ref is the plugin as the registry finds it.
func (p OnePlugin) Ref() string {
	if p.Publisher == "" {
		return p.Plugin
	}
	return p.Publisher + "/" + p.Plugin
}

// OneVersion is a version of a plugin.
type OneVersion struct {
	OnePlugin
	Version string `path:"version" doc:"The version, or its id." example:"0.1.0"`
}

// Days are which days are wanted. Package usage checks them, and says what is
// wrong with them.
type Days struct {
	From string `query:"from" doc:"The first day, in UTC. Defaults to 29 days before the last." example:"2026-11-01"`
	To   string `query:"to" doc:"The last day, in UTC. Defaults to today." example:"2026-11-30"`
}

// Page is which piece of a list is wanted.
type Page struct {
	Cursor string `query:"cursor" maxLength:"64" doc:"The next_cursor of the page before."`
	Limit  int    `query:"limit" minimum:"1" maximum:"100" default:"50" doc:"How many to return at most."`
}

// cursorLength is that of an id: a prefix of 4 and a ULID of 26.
const cursorLength = 30

// After returns the id that the page begins after, or an empty one to begin with
// the first. Ids of the list begin with prefix.
func (p Page) After(prefix string) (string, error) {
	if p.Cursor == "" || len(p.Cursor) == cursorLength && p.Cursor[:len(prefix)] == prefix {
		return p.Cursor, nil
	}
	return "", fault.New(fault.InvalidInput, "cursor_invalid", "this is not a cursor of this list").
		At("cursor").WithHint("pass the next_cursor of the page before, or nothing to begin")
}

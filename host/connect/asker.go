package connect

import (
	"context"
	"encoding/json"

	"github.com/cofferdam-run/cofferdam/host/connection"
)

// Plugins are who the accounts are for.
type Plugins interface {
	// Asker is an installation, or, without one, a plugin that the tenant may see.
	Asker(ctx context.Context, tenant, installation, plugin string) (Asker, error)
	// Grant lets an installation use a connection under one of its plugin's names.
	Grant(ctx context.Context, tenant, installation, name, connection string) error
}

// Asker is a plugin, or an installation of it, that asks for accounts.
type Asker struct {
	// Installation is the id, or empty.
	Installation string `json:"installation,omitempty"`
	Plugin       string `json:"plugin"`
	PluginID     string `json:"-"`
	Title        string `json:"title"`
	// Test says that the plugin can say whether its connections work.
	Test  bool   `json:"test,omitempty"`
	Slots []Slot `json:"-"`
}

// Slot is an account that a plugin asks for.
type Slot struct {
	Name, Title, Description string
	Type                     connection.Type
	// Provider and Scopes are those of an oauth2.
	Provider string
	Scopes   []string
	// Header or Query, and Hosts, are where a credential goes.
	Header, Query string
	Hosts         []string
	// Fields is the JSON Schema of what the plugin wants to know of the account.
	Fields json.RawMessage
}

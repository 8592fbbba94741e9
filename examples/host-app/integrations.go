package main

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/cofferdam-run/cofferdam/host/connect"
	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/installation"
	"github.com/cofferdam-run/cofferdam/registry"
)

// integrations shows what the signed-in customer has connected, and what ran. Each
// question to Cofferdam names the customer's tenant: there is none without.
func (d *desk) integrations(w http.ResponseWriter, r *http.Request, who *customer) {
	plugins, err := d.plugins(r.Context(), who)
	if err != nil {
		d.refuse(w, r, err)
		return
	}
	executions, err := d.h.Executions.List(r.Context(), who.Tenant, execution.Filter{Limit: 10})
	if err != nil {
		d.refuse(w, r, err)
		return
	}
	connections := map[string]bool{}
	for _, p := range plugins {
		for _, a := range p.Accounts {
			connections[a.Connection] = true
		}
	}
	notices, err := d.notices(r.Context(), who, connections)
	if err != nil {
		d.refuse(w, r, err)
		return
	}
	var runs []ran
	live := false
	for _, x := range executions {
		runs = append(runs, ranOf(x))
		live = live || !x.State.Done()
	}
	d.show(w, r, http.StatusOK, "integrations.html", map[string]any{
		"Plugins": plugins, "Runs": runs, "Live": live, "Notices": notices, "Outcome": d.outcome(r, who),
	})
}

// plugin is one that the customer has, with the accounts that it asks for.
type plugin struct {
	Installation, Title, Description string
	Accounts                         []account
}

// account is one that a plugin asks for, and how it is.
type account struct {
	Slot, Title string
	// Connection is empty while there is none.
	Connection string
	Health     condition
}

func (d *desk) plugins(ctx context.Context, who *customer) ([]plugin, error) {
	installed, err := d.h.Installations.List(ctx, who.Tenant)
	if err != nil {
		return nil, err
	}
	var all []plugin
	for _, i := range installed {
		v, err := d.h.Plugins.Resolve(ctx, registry.Viewer{Tenant: who.Tenant}, i.VersionID)
		if err != nil {
			return nil, err
		}
		p := plugin{Installation: i.ID, Title: v.Manifest.Title, Description: v.Manifest.Description}
		for _, slot := range v.Manifest.Connections {
			a, err := d.account(ctx, who, i, slot.Name)
			if err != nil {
				return nil, err
			}
			a.Title = slot.Title
			p.Accounts = append(p.Accounts, a)
		}
		all = append(all, p)
	}
	return all, nil
}

// account is the connection that an installation was granted under one of its plugin's
// names.
func (d *desk) account(ctx context.Context, who *customer, i installation.Installation, slot string) (account, error) {
	a := account{Slot: slot}
	c, err := d.h.Connections.Get(ctx, who.Tenant, i.Grants.Connections[slot])
	if f := fault.From(err); err != nil && f.Code == fault.CodeNotFound {
		return a, nil // There was none yet, or it was deleted.
	}
	if err != nil {
		return a, err
	}
	a.Connection = c.ID
	a.Health, err = d.condition(ctx, who, c)
	return a, err
}

// run starts the plugin's action with a ticket of the customer's. It is queued, and the
// page shows what comes of it.
func (d *desk) run(w http.ResponseWriter, r *http.Request, who *customer) {
	t, known := who.ticket(r.FormValue("ticket"))
	if !known {
		d.refuse(w, r, fault.NotFound("ticket", r.FormValue("ticket")))
		return
	}
	input, err := json.Marshal(map[string]string{"name": t.Name, "email": t.Email, "ticket": t.Number})
	if err != nil {
		d.refuse(w, r, err)
		return
	}
	_, err = d.h.Executions.Start(r.Context(), who.Tenant, execution.Start{
		Installation: r.FormValue("installation"), Kind: event.Action, Name: "add_contact", Input: input, Lane: event.Interactive,
	})
	if err != nil {
		d.refuse(w, r, err)
		return
	}
	http.Redirect(w, r, "/integrations", http.StatusSeeOther)
}

// outcome is what became of a connect session that the browser comes back from, in words.
// What the address says is not believed: Cofferdam is asked.
func (d *desk) outcome(r *http.Request, who *customer) string {
	id := r.URL.Query().Get("connect_session")
	if id == "" {
		return ""
	}
	session, err := d.h.Connects.Get(r.Context(), who.Tenant, id)
	switch {
	case err != nil:
		return ""
	case session.State == connect.Done && session.Reconnect:
		return "The account is connected again. What waited for it goes on."
	case session.State == connect.Done:
		return "The account is connected."
	default:
		return "Nothing was connected."
	}
}

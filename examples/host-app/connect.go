package main

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"

	"github.com/cofferdam-run/cofferdam/host/connect"
)

// connect makes a connect session for the customer that is signed in, and sends the
// browser there. The tenant is the signed-in customer's: what a form names (a connection
// to connect again) is looked for among that tenant's only.
func (d *desk) connect(w http.ResponseWriter, r *http.Request, who *customer) {
	session, link, err := d.h.Connects.Create(r.Context(), who.Tenant, connect.Spec{
		Installation: r.FormValue("installation"),
		Slot:         r.FormValue("slot"),
		Connection:   r.FormValue("connection"), // Empty for a new one.
		// Where the browser goes in the end, and who may open the pages in a window or a
		// frame, and is told what happens there.
		ReturnURL: d.url + "/integrations",
		Origins:   []string{d.url},
		Brand:     brand(),
	})
	if err != nil {
		d.refuse(w, r, err)
		return
	}
	// The script opens a window and goes there by itself; without it the browser follows.
	if strings.Contains(r.Header.Get("Accept"), "application/json") {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]string{"session": session.ID, "url": link})
		return
	}
	http.Redirect(w, r, link, http.StatusSeeOther)
}

// brand is how the connect pages look: ours.
func brand() connect.Brand {
	logo, _ := files.ReadFile("static/logo.png") // It is embedded.
	return connect.Brand{Name: "Harbor Desk", Color: "#1c4f8f", Logo: "data:image/png;base64," + base64.StdEncoding.EncodeToString(logo)}
}

// disconnect deletes a connection: its tokens are revoked at the vendor, too.
func (d *desk) disconnect(w http.ResponseWriter, r *http.Request, who *customer) {
	if err := d.h.Connections.Delete(r.Context(), who.Tenant, r.FormValue("connection")); err != nil {
		d.refuse(w, r, err)
		return
	}
	http.Redirect(w, r, "/integrations", http.StatusSeeOther)
}

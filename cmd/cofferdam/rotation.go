package main

import (
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/cofferdam-run/cofferdam/host/vault/rotation"
)

func (a *app) keyRotateCommand() *cobra.Command {
	return a.tenantFlag(&cobra.Command{
		Use:   "rotate",
		Short: "Begin to replace a tenant's own key, while everything goes on",
		Long: "Begin to replace a tenant's own key: it gets another one, all that is sealed is sealed anew with it, and\n" +
			"then the ones before are destroyed. 'cofferdam key rotation show' says how far it has come.",
		Example: "  cofferdam key rotate --tenant acme",
		Args:    exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			return a.rotation(c, http.MethodPost, a.inTenant("/key-rotations"))
		},
	})
}

func (a *app) keyRotationCommand() *cobra.Command {
	return group("rotation", "See and steer the rotations of a tenant's key; 'cofferdam key rotate' begins one",
		listVerb(a, "key rotation", "List the rotations of a tenant's key, the newest first", "/key-rotations", printRotations),
		a.rotationVerb("show", "Show how far a rotation has come"),
		a.rotationVerb("pause", "Have a rotation stop for now"),
		a.rotationVerb("resume", "Have a rotation go on that was paused, or has failed"),
		a.rotationVerb("cancel", "End a rotation; all keys stay until another comes to its end"))
}

func (a *app) rotationVerb(verb, short string) *cobra.Command {
	return a.jobVerb(jobKind{group: "key rotation", path: "/key-rotations", show: a.rotation}, verb, short)
}

// rotation makes a request whose answer is a rotation, and shows it.
func (a *app) rotation(c *cobra.Command, method, path string) error {
	var r rotation.Rotation
	if err := a.client().call(c.Context(), method, path, nil, &r); err != nil {
		return err
	}
	return a.show(r, func(w io.Writer) {
		printRotations(w, r)
		if r.Error != nil {
			fmt.Fprintf(w, "  %s: %s\n", r.Error.Code, r.Error.Message)
		}
	})
}

func printRotations(w io.Writer, all ...rotation.Rotation) {
	var rows [][]string
	for _, r := range all {
		progress := fmt.Sprintf("%s: %d of %d sealed anew", r.Progress.Phase, r.Progress.Done, r.Progress.Total)
		if r.Progress.Unreadable > 0 {
			progress += fmt.Sprintf(", %d do not open", r.Progress.Unreadable)
		}
		rows = append(rows, []string{r.ID, string(r.State), r.CreatedAt.Local().Format(time.DateTime), progress})
	}
	table(w, []string{"ID", "STATE", "CREATED", "PROGRESS"}, rows)
	if len(rows) == 0 {
		fmt.Fprintln(w, "no rotations yet: cofferdam key rotate begins one")
	}
}

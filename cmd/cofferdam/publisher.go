package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/cofferdam-run/cofferdam/registry"
	"github.com/cofferdam-run/cofferdam/registry/signature"
)

func (a *app) publisherCommand() *cobra.Command {
	return group("publisher", "Say who publishes plugins, and with which keys they sign",
		a.publisherList(), a.publisherAdd(),
		group("key", "Keep the public keys that a publisher signs with", a.keyAdd(), a.keyList(), a.keyRevoke()))
}

func (a *app) publisherList() *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List publishers",
		Example: "  cofferdam publisher list",
		Args:    exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			var p page[registry.Publisher]
			if err := a.client().call(c.Context(), http.MethodGet, "/v1/publishers", nil, &p); err != nil {
				return err
			}
			return a.show(p, func(w io.Writer) { printPublishers(w, p.Items...) })
		},
	}
}

func (a *app) publisherAdd() *cobra.Command {
	return &cobra.Command{
		Use:     "add NAME",
		Short:   "Add a vendor; the operator and tenants are publishers by their first upload",
		Example: "  cofferdam publisher add octo",
		Args:    exactly("NAME"),
		RunE: func(c *cobra.Command, args []string) error {
			var p registry.Publisher
			if err := a.client().call(c.Context(), http.MethodPost, "/v1/publishers", map[string]string{"name": args[0]}, &p); err != nil {
				return err
			}
			return a.show(p, func(w io.Writer) { printPublishers(w, p) })
		},
	}
}

func printPublishers(w io.Writer, all ...registry.Publisher) {
	var rows [][]string
	for _, p := range all {
		rows = append(rows, []string{p.Name, p.ID, string(p.Kind), p.Tenant})
	}
	table(w, []string{"NAME", "ID", "KIND", "TENANT"}, rows)
}

func keysPath(publisher string) string { return "/v1/publishers/" + escape(publisher) + "/keys" }

func (a *app) keyAdd() *cobra.Command {
	var title string
	c := &cobra.Command{
		Use:     "add PUBLISHER FILE.pub",
		Short:   "Accept what a key signs; me is the token's own publisher",
		Example: "  cofferdam publisher key add me author.key.pub --title CI",
		Args:    exactly("PUBLISHER", "FILE.pub"),
		RunE: func(c *cobra.Command, args []string) error {
			text, err := os.ReadFile(args[1])
			if err != nil {
				return usagef("read the key: %v", err)
			}
			if _, err := signature.ParsePublic(string(text)); err != nil {
				// Here and not at the server, to which a private key must not be sent.
				return usagef("%s is no public key: %v", args[1], err)
			}
			body := map[string]string{"public_key": string(text)}
			if title != "" {
				body["title"] = title
			}
			var k signature.Key
			if err := a.client().call(c.Context(), http.MethodPost, keysPath(args[0]), body, &k); err != nil {
				return err
			}
			return a.show(k, func(w io.Writer) { printKeys(w, k) })
		},
	}
	c.Flags().StringVar(&title, "title", "", "whose or where it is")
	return c
}

func (a *app) keyList() *cobra.Command {
	return &cobra.Command{
		Use:     "list PUBLISHER",
		Short:   "List a publisher's keys",
		Example: "  cofferdam publisher key list me",
		Args:    exactly("PUBLISHER"),
		RunE: func(c *cobra.Command, args []string) error {
			var p page[signature.Key]
			if err := a.client().call(c.Context(), http.MethodGet, keysPath(args[0]), nil, &p); err != nil {
				return err
			}
			return a.show(p, func(w io.Writer) { printKeys(w, p.Items...) })
		},
	}
}

func (a *app) keyRevoke() *cobra.Command {
	return &cobra.Command{
		Use:     "revoke PUBLISHER KEY",
		Short:   "Accept nothing any more that a key signs; what it has signed stays",
		Example: "  cofferdam publisher key revoke me key_21fe31dfa154a261626bf854046fd227",
		Args:    exactly("PUBLISHER", "KEY"),
		RunE: func(c *cobra.Command, args []string) error {
			if err := a.client().call(c.Context(), http.MethodDelete, keysPath(args[0])+"/"+escape(args[1]), nil, nil); err != nil {
				return err
			}
			return a.show(map[string]string{"revoked": args[1]}, func(w io.Writer) { fmt.Fprintln(w, "revoked", args[1]) })
		},
	}
}

func printKeys(w io.Writer, all ...signature.Key) {
	var rows [][]string
	for _, k := range all {
		state := "active"
		if !k.RevokedAt.IsZero() {
			state = "revoked " + k.RevokedAt.UTC().Format(time.RFC3339)
		}
		rows = append(rows, []string{k.ID, k.Title, state})
	}
	table(w, []string{"KEY", "TITLE", "STATE"}, rows)
}

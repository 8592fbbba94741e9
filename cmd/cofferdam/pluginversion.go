package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cofferdam-run/cofferdam/registry"
	"github.com/cofferdam-run/cofferdam/registry/diff"
)

// versionDetail is what the API shows of one version.
type versionDetail struct {
	registry.Version
	Warnings []string `json:"warnings,omitempty"`
}

// signedBy is a version's signature in a few words.
func signedBy(v registry.Version) string {
	switch {
	case v.Signature == nil:
		return "  unsigned"
	case !v.SignerRevokedAt.IsZero():
		return "  signed by " + v.Signature.Key + ", which was revoked"
	default:
		return "  signed by " + v.Signature.Key
	}
}

// versionPath is where the API has a version that is written NAME@VERSION.
func versionPath(ref string) (string, error) {
	name, version, ok := strings.Cut(ref, "@")
	if !ok || name == "" || version == "" {
		return "", usagef("%q names no version: write NAME@VERSION", ref)
	}
	return "/v1/plugins/" + escape(name) + "/versions/" + escape(version), nil
}

// versionVerb asks for something of a version, and prints what it then is.
func (a *app) versionVerb(ctx context.Context, ref, verb string, body any, text func(w io.Writer, v versionDetail)) error {
	path, err := versionPath(ref)
	if err != nil {
		return err
	}
	var v versionDetail
	if err := a.client().call(ctx, http.MethodPost, path+verb, body, &v); err != nil {
		return err
	}
	return a.show(v, func(w io.Writer) { text(w, v) })
}

func (a *app) pluginDiff() *cobra.Command {
	var against string
	c := &cobra.Command{
		Use:   "diff NAME@VERSION",
		Short: "Show what a version asks for beyond another",
		Long: "Show what a version asks for beyond another: what a tenant must consent to, what breaks those who use\n" +
			"it, and what else differs. Without --against it is compared as when it was published: with the newest\n" +
			"version below it.",
		Example: "  cofferdam plugin diff hello-go@0.2.0\n  cofferdam plugin diff hello-go@0.3.0 --against 0.1.0",
		Args:    exactly("NAME@VERSION"),
		RunE: func(c *cobra.Command, args []string) error {
			path, err := versionPath(args[0])
			if err != nil {
				return err
			}
			path += "/diff"
			if against != "" {
				path += "?against=" + url.QueryEscape(against)
			}
			var d diff.Diff
			if err := a.client().call(c.Context(), http.MethodGet, path, nil, &d); err != nil {
				return err
			}
			return a.show(d, func(w io.Writer) {
				if d.From == "" {
					fmt.Fprintf(w, "%s is the first of its plugin: there is nothing to compare it with\n", d.To)
					return
				}
				fmt.Fprint(w, d)
			})
		},
	}
	c.Flags().StringVar(&against, "against", "", "the other version")
	return c
}

func (a *app) pluginPromote() *cobra.Command {
	var to string
	c := &cobra.Command{
		Use:     "promote NAME@VERSION",
		Short:   "Offer a version in a channel; what is in beta becomes stable",
		Example: "  cofferdam plugin promote hello-go@0.2.0 --channel stable",
		Args:    exactly("NAME@VERSION"),
		RunE: func(c *cobra.Command, args []string) error {
			return a.versionVerb(c.Context(), args[0], "/promote", map[string]string{"channel": to}, func(w io.Writer, v versionDetail) {
				fmt.Fprintf(w, "%s@%s is in the channel %s\n", v.Name, v.Version.Version, v.Channel)
			})
		},
	}
	c.Flags().StringVar(&to, "channel", "stable", "the channel: stable or beta")
	return c
}

func (a *app) pluginDeprecate() *cobra.Command {
	var why string
	var undo bool
	c := &cobra.Command{
		Use:   "deprecate NAME[@VERSION]",
		Short: "Say why a plugin or a version should not be used any more; it is offered and runs all the same",
		Example: "  cofferdam plugin deprecate hello-go@0.1.0 --message 'slow: use 0.2.0'\n" +
			"  cofferdam plugin deprecate hello-go --message 'use hello-rust'\n  cofferdam plugin deprecate hello-go --undo",
		Args: exactly("NAME[@VERSION]"),
		RunE: func(c *cobra.Command, args []string) error {
			if (why == "") != undo {
				return usagef("say why with --message, or take it back with --undo")
			}
			done := "deprecated: " + why
			if undo {
				done = "not deprecated any more"
			}
			body := map[string]string{"why": why}
			if strings.Contains(args[0], "@") {
				return a.versionVerb(c.Context(), args[0], "/deprecate", body, func(w io.Writer, v versionDetail) {
					fmt.Fprintf(w, "%s@%s is %s\n", v.Name, v.Version.Version, done)
				})
			}
			var p registry.Plugin
			if err := a.client().call(c.Context(), http.MethodPost, "/v1/plugins/"+escape(args[0])+"/deprecate", body, &p); err != nil {
				return err
			}
			return a.show(p, func(w io.Writer) { fmt.Fprintf(w, "%s is %s\n", p.Name, done) })
		},
	}
	c.Flags().StringVar(&why, "message", "", "what people who use it should know")
	c.Flags().BoolVar(&undo, "undo", false, "take it back")
	return c
}

// versionUser is an installation that runs a version.
type versionUser struct {
	Tenant  string `json:"tenant"`
	ID      string `json:"id"`
	Name    string `json:"name"`
	State   string `json:"state"`
	Channel string `json:"channel,omitempty"`
}

func (a *app) pluginYank() *cobra.Command {
	var why string
	c := &cobra.Command{
		Use:   "yank NAME@VERSION",
		Short: "Hide a version from new installations, for good; what runs it goes on",
		Long: "Hide a version from new installations, for good. Its channel offers the newest version that was not\n" +
			"yanked. What runs it goes on, and is listed: to move it is for its tenant.",
		Example: "  cofferdam plugin yank hello-go@0.1.0 --reason 'labels the wrong issue'",
		Args:    exactly("NAME@VERSION"),
		RunE: func(c *cobra.Command, args []string) error {
			if why == "" {
				return usagef("say why with --reason: those who run it are shown it")
			}
			path, err := versionPath(args[0])
			if err != nil {
				return err
			}
			var v versionDetail
			if err := a.client().call(c.Context(), http.MethodPost, path+"/yank", map[string]string{"why": why}, &v); err != nil {
				return err
			}
			users, err := everything[versionUser](c.Context(), a.client(), path+"/installations")
			if err != nil {
				return err
			}
			shown := struct {
				versionDetail
				Installations []versionUser `json:"installations"`
			}{v, users}
			return a.show(shown, func(w io.Writer) {
				fmt.Fprintf(w, "yanked %s@%s: %s\n", v.Name, v.Version.Version, v.YankedWhy)
				printUsers(w, users)
			})
		},
	}
	c.Flags().StringVar(&why, "reason", "", "why, for those who run it and those who look at it later")
	return c
}

func printUsers(w io.Writer, users []versionUser) {
	if len(users) == 0 {
		fmt.Fprintln(w, "nobody runs it")
		return
	}
	fmt.Fprintf(w, "%d run it still:\n", len(users))
	var rows [][]string
	for _, u := range users {
		rows = append(rows, []string{u.Tenant, u.Name, u.ID, u.State, u.Channel})
	}
	table(w, []string{"TENANT", "NAME", "ID", "STATE", "FOLLOWS"}, rows)
}

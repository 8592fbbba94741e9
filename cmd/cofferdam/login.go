package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/spf13/cobra"
	"golang.org/x/oauth2"

	"github.com/cofferdam-run/cofferdam/host/token"
)

// session is a login as it is kept in a file of the user's.
type session struct {
	// URL is the server that it is for: it is shown to no other.
	URL       string    `json:"url"`
	Token     string    `json:"token"`
	ExpiresAt time.Time `json:"expires_at"`
}

func (a *app) loginCommand() *cobra.Command {
	var scopes []string
	var useAccess bool
	c := &cobra.Command{
		Use:   "login",
		Short: "Log in as an operator, at the OpenID provider that the server takes tokens of",
		Long: "Log in as an operator, at the OpenID provider that the server takes tokens of. It shows an address and a code for\n" +
			"a browser, on this machine or another, and waits (RFC 8628). What comes back is kept in the user's configuration folder,\n" +
			"for this --url only, and is what other verbs use unless there is a token.",
		Example: "  cofferdam login --issuer https://id.example.com --client-id cofferdam",
		Args:    exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			return a.login(c.Context(), scopes, useAccess)
		},
	}
	c.Flags().StringVar(&a.Issuer, "issuer", a.Issuer, "the provider (COFFERDAM_OIDC_ISSUER)")
	c.Flags().StringVar(&a.Client, "client-id", a.Client, "what the provider calls this program (COFFERDAM_OIDC_CLIENT_ID)")
	c.Flags().StringSliceVar(&scopes, "scope", []string{oidc.ScopeOpenID, "profile", "email"}, "what the provider is asked for")
	c.Flags().BoolVar(&useAccess, "access-token", false, "use the access token instead of the ID token: where the server's audience is an API, not a client")
	return c
}

func (a *app) login(ctx context.Context, scopes []string, useAccess bool) error {
	if a.Issuer == "" || a.Client == "" {
		return usagef("say whom to ask: --issuer and --client-id, or COFFERDAM_OIDC_ISSUER and COFFERDAM_OIDC_CLIENT_ID")
	}
	ctx = oidc.ClientContext(ctx, &http.Client{Timeout: 30 * time.Second})
	provider, err := oidc.NewProvider(ctx, a.Issuer)
	if err != nil {
		return fmt.Errorf("ask the provider: %w", err)
	}
	client := &oauth2.Config{ClientID: a.Client, Endpoint: provider.Endpoint(), Scopes: scopes}
	if client.Endpoint.DeviceAuthURL == "" {
		return fmt.Errorf("the provider %s has no device flow (RFC 8628)\n  hint: use a token: an operator makes one with 'cofferdam token create'", a.Issuer)
	}
	asked, err := client.DeviceAuth(ctx)
	if err != nil {
		return fmt.Errorf("ask to log in: %w", err)
	}
	fmt.Fprintf(a.err, "open %s and enter the code %s\n", asked.VerificationURI, asked.UserCode)
	given, err := client.DeviceAccessToken(ctx, asked)
	if err != nil {
		return fmt.Errorf("wait for the login: %w", err)
	}
	raw, _ := given.Extra("id_token").(string)
	if useAccess {
		raw = given.AccessToken
	}
	if raw == "" {
		return errors.New("the provider gave no ID token: is openid among --scope?")
	}
	a.Token = raw
	var who token.Token
	if err := a.client().call(ctx, http.MethodGet, "/v1/token", nil, &who); err != nil {
		return err
	}
	if err := keepSession(session{URL: a.client().base, Token: raw, ExpiresAt: who.ExpiresAt}); err != nil {
		return err
	}
	return a.show(who, func(w io.Writer) {
		fmt.Fprintf(w, "logged in to %s as %s, %s, until %s\n", a.URL, who.Name, roleNames(who.Roles()), who.ExpiresAt.Local().Format(time.DateTime))
	})
}

func (a *app) logoutCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "logout",
		Short:   "Forget the login that 'cofferdam login' has kept",
		Example: "  cofferdam logout",
		Args:    exactly(),
		RunE: func(*cobra.Command, []string) error {
			path, err := sessionPath()
			if err != nil {
				return err
			}
			if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
				return fmt.Errorf("forget the login: %w", err)
			}
			return a.show(map[string]bool{"logged_in": false}, func(w io.Writer) { fmt.Fprintln(w, "logged out") })
		},
	}
}

func sessionPath() (string, error) {
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", fmt.Errorf("find the user's configuration folder: %w", err)
	}
	return filepath.Join(dir, "cofferdam", "login.json"), nil
}

// keepSession writes it where only the user reads it.
func keepSession(s session) error {
	path, err := sessionPath()
	if err != nil {
		return err
	}
	data, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("encode the login: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("keep the login: %w", err)
	}
	// A file that is there already keeps its mode: another takes its place.
	if err := os.WriteFile(path+".new", data, 0o600); err != nil {
		return fmt.Errorf("keep the login: %w", err)
	}
	return os.Rename(path+".new", path)
}

// sessionToken returns the token of a login that is kept for a server and has not
// expired, or nothing.
func sessionToken(url string, now time.Time) string {
	path, err := sessionPath()
	if err != nil {
		return ""
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	var s session
	if json.Unmarshal(data, &s) != nil || s.URL != url || !now.Before(s.ExpiresAt) {
		return ""
	}
	return s.Token
}

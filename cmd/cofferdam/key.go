package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/store"
	"github.com/cofferdam-run/cofferdam/host/vault"
	"github.com/cofferdam-run/cofferdam/host/vault/keyfile"
)

func (a *app) keyCommand() *cobra.Command {
	return group("key", "Make, show and replace the key that all credentials are sealed with",
		a.keyNewCommand(), a.keyStatusCommand(), a.keyRewrapCommand(), a.keyRotateCommand(), a.keyRotationCommand())
}

func (a *app) keyNewCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "new FILE",
		Short: "Make a key file; it never replaces one",
		Example: "  cofferdam key new data/key-2.json\n" +
			"  cofferdam key rewrap --keeper file:data/key-2.json --keepers file:data/key.json",
		Args: exactly("FILE"),
		RunE: func(_ *cobra.Command, args []string) error {
			k, err := keyfile.Create(args[0])
			if err != nil {
				return err
			}
			return a.show(map[string]string{"key_id": k.KeyID(), "path": args[0]}, func(w io.Writer) {
				fmt.Fprintf(w, "made the key file %s, %s: keep a copy of it, and not beside the database's backups\n", args[0], k.KeyID())
			})
		},
	}
}

// keyUse is a key that wraps tenants' keys, as it is shown.
type keyUse struct {
	vault.KeyCount
	// Role is "first", "other", or "missing".
	Role string `json:"role"`
	// Opens says whether it opens one of them.
	Opens bool `json:"opens"`
}

func (a *app) keyStatusCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "status",
		Short: "Show which keys wrap the tenants' keys, and whether the keepers that are named open them",
		Example: "  cofferdam key status\n" +
			"  cofferdam key status --keeper arn:aws:kms:eu-central-1:111122223333:key/... --keepers file:data/key.json",
		Args: exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			return a.withKeys(c.Context(), func(s store.Store, k keepers) error {
				uses, err := keyUses(c.Context(), s, k)
				if err != nil {
					return err
				}
				return a.show(uses, func(w io.Writer) { printKeyUses(w, uses) })
			})
		},
	}
	a.databaseFlags(c)
	return c
}

func keyUses(ctx context.Context, s store.Store, k keepers) ([]keyUse, error) {
	counts, err := s.KeyCounts(ctx)
	if err != nil {
		return nil, err
	}
	uses := []keyUse{}
	for _, n := range counts {
		use := keyUse{KeyCount: n, Role: "missing"}
		if n.KeyID == k.first.KeyID() {
			use.Role = "first"
		}
		for _, other := range k.others {
			if n.KeyID == other.KeyID() {
				use.Role = "other"
			}
		}
		if use.Role != "missing" {
			one, err := s.Key(ctx, n.Sample)
			if err != nil {
				return nil, err
			}
			use.Opens = vault.Configured(vault.Config{Store: oneKey{one}, Keeper: k.first, Others: k.others}).Check(ctx) == nil
		}
		uses = append(uses, use)
	}
	return uses, nil
}

// oneKey is a vault.Store that has one.
type oneKey struct{ key vault.Key }

// Key implements vault.Store.
func (o oneKey) Key(context.Context, string) (vault.Key, error) { return o.key, nil }

// InsertKey implements vault.Store.
func (o oneKey) InsertKey(context.Context, vault.Key) (vault.Key, error) { return o.key, nil }

// AnyKey implements vault.Store.
func (o oneKey) AnyKey(context.Context) (vault.Key, error) { return o.key, nil }

func printKeyUses(w io.Writer, uses []keyUse) {
	var rows [][]string
	for _, u := range uses {
		opens := "yes"
		if !u.Opens {
			opens = "NO"
		}
		rows = append(rows, []string{u.KeyID, strconv.Itoa(u.Tenants), u.Role, opens})
	}
	table(w, []string{"KEY", "TENANTS", "KEEPER", "OPENS"}, rows)
	if len(rows) == 0 {
		fmt.Fprintln(w, "no tenant has sealed anything yet")
	}
}

func (a *app) keyRewrapCommand() *cobra.Command {
	var again bool
	c := &cobra.Command{
		Use:   "rewrap",
		Short: "Wrap all tenants' keys with another key, while everything goes on",
		Long: "Wrap all tenants' keys with the key of --keeper, those that the key of one of --keepers wraps.\n" +
			"Servers go on meanwhile, if they were started with both: first all with the new one among --keepers,\n" +
			"then all with it as --keeper. Where it ends early, run it again: it does the rest.\n\n" +
			"A keeper is " + keepersHelp + ".",
		Example: "  cofferdam key rewrap --keeper file:data/key-2.json --keepers file:data/key.json",
		Args:    exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			return a.withKeys(c.Context(), func(s store.Store, k keepers) error { return a.rewrap(c.Context(), s, k, again) })
		},
	}
	a.databaseFlags(c)
	c.Flags().BoolVar(&again, "again", false, "also what an older version of the same transit key wraps")
	return c
}

func (a *app) rewrap(ctx context.Context, s store.Store, k keepers, again bool) error {
	v := vault.Configured(vault.Config{Store: s, Keeper: k.first, Others: k.others, Logger: slog.New(slog.DiscardHandler)})
	done, err := v.Rewrap(ctx, again, func(w vault.Rewrapped) {
		if a.Output != "json" {
			fmt.Fprintf(a.err, "%d of %d wrapped anew\n", w.Done, w.Total)
		}
	})
	if err != nil {
		return fmt.Errorf("%w\n  %d of %d are wrapped anew: run it again for the rest", err, done.Done, done.Total)
	}
	err = a.show(done, func(w io.Writer) {
		fmt.Fprintf(w, "%d of %d tenants' keys are wrapped by %s now", done.Done, done.Total, k.first.KeyID())
		if done.Skipped > 0 {
			fmt.Fprintf(w, "; %d were changed by somebody else meanwhile", done.Skipped)
		}
		fmt.Fprintln(w)
	})
	if err != nil || len(done.Unopened) == 0 {
		return err
	}
	return fault.New(fault.Platform, "keys_unopened", "the keys of some tenants do not open, and stay as they are: %v", done.Unopened).
		WithHint("They were changed in the database: restore the rows of tenant_keys from a backup.")
}

// withKeys does something with the database and the keepers.
func (a *app) withKeys(ctx context.Context, do func(store.Store, keepers) error) (err error) {
	s, err := a.openShared(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if err := s.Ready(ctx); err != nil {
		return err
	}
	k, err := a.openKeepers(ctx, s)
	if err != nil {
		return err
	}
	return do(s, k)
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/cofferdam-run/cofferdam/host/audit/transcript"
)

// shownLeaf is a leaf, and what was found out about it here.
type shownLeaf struct {
	auditLeaf

	Says map[string]any `json:"says,omitempty"`
	// Size is of the checkpoint that it is proved to be in.
	Size int64  `json:"size"`
	Note string `json:"note"`
	// Key is the one that has signed that, and Trusted whether it was given.
	Key     string `json:"key"`
	Trusted bool   `json:"trusted"`
}

func (a *app) auditShow() *cobra.Command {
	var keys []string
	c := a.tenantFlag(&cobra.Command{
		Use:   "show LEAF",
		Short: "Show one leaf, by its number, and prove here that it is in the signed log",
		Long: "Show one leaf, by its number. Its hash is made here from its text, and by the server's proof it is in a\n" +
			"signed checkpoint, which is checked here, too. Give the key that you know: without it, the server's word is taken for it.",
		Example: "  cofferdam audit show 1742 --key audit.pub",
		Args:    exactly("LEAF"),
		RunE: func(c *cobra.Command, args []string) error {
			n, err := strconv.ParseInt(args[0], 10, 64)
			if err != nil || n < 0 {
				return usagef("%q is no number of a leaf: 'audit list' shows them", args[0])
			}
			l, err := a.provenLeaf(c.Context(), n, keys)
			if err != nil {
				return err
			}
			return a.show(l, func(w io.Writer) { printLeaf(w, l) })
		},
	})
	c.Flags().StringSliceVar(&keys, "key", nil, "the log's public key, or a file of such")
	return c
}

// provenLeaf fetches a leaf and what proves it, and returns it only if that does.
func (a *app) provenLeaf(ctx context.Context, n int64, keys []string) (shownLeaf, error) {
	l := shownLeaf{}
	known, err := publicKeys(keys)
	if err != nil {
		return l, err
	}
	q := url.Values{"limit": {"1"}}
	if n > 0 {
		q.Set("cursor", strconv.FormatInt(n-1, 10))
	}
	var p page[auditLeaf]
	if err := a.client().call(ctx, http.MethodGet, a.auditPath("?"+q.Encode()), nil, &p); err != nil {
		return l, err
	}
	if len(p.Items) == 0 || p.Items[0].N != n {
		return l, fmt.Errorf("there is no leaf %d\n  hint: 'cofferdam audit list' shows those that there are", n)
	}
	l.auditLeaf = p.Items[0]
	whole, err := a.checkpointOver(ctx, n)
	if err != nil {
		return l, err
	}
	if l.Trusted = len(known) > 0; !l.Trusted {
		if known, err = publicKeys([]string{whole.Key}); err != nil {
			return l, err
		}
	}
	c, err := transcript.Open([]byte(whole.Note), known...)
	if err != nil {
		return l, err
	}
	l.Size, l.Note, l.Key = c.Size, whole.Note, whole.Key
	return l, a.prove(ctx, &l, c)
}

// signedLog is a checkpoint as the API shows it.
type signedLog struct {
	Size int64     `json:"size"`
	At   time.Time `json:"at"`
	Note string    `json:"note"`
	Key  string    `json:"key"`
}

// checkpointOver is a checkpoint that has a leaf in it: one is made if there is none,
// which only an operator may.
func (a *app) checkpointOver(ctx context.Context, n int64) (signedLog, error) {
	var signed signedLog
	err := a.client().call(ctx, http.MethodGet, "/v1/audit/checkpoint", nil, &signed)
	if err != nil || signed.Size > n {
		return signed, err
	}
	if a.Tenant != "" {
		return signed, fmt.Errorf("leaf %d is not signed yet\n  hint: the log is signed every minute", n)
	}
	return signed, a.client().call(ctx, http.MethodPost, "/v1/audit/checkpoint", map[string]any{}, &signed)
}

// prove checks what a leaf says of itself, and that it is in a checkpoint.
func (a *app) prove(ctx context.Context, l *shownLeaf, c transcript.Checkpoint) error {
	hash, err := tlog.ParseHash(l.Hash)
	if err != nil {
		return fmt.Errorf("the hash of leaf %d is none: %w", l.N, err)
	}
	if l.Leaf != "" {
		if l.Says, err = transcript.Parse([]byte(l.Leaf)); err != nil {
			return fmt.Errorf("the text of leaf %d is none: %w", l.N, err)
		}
		if tlog.RecordHash([]byte(l.Leaf)) != hash || l.Says["n"] != l.N {
			return fmt.Errorf("the text of leaf %d is not the one that was hashed: somebody has changed it", l.N)
		}
	}
	var proof struct {
		Hashes []string `json:"hashes"`
	}
	path := fmt.Sprintf("/v1/audit/inclusion?leaf=%d&size=%d", l.N, c.Size)
	if err := a.client().call(ctx, http.MethodGet, path, nil, &proof); err != nil {
		return err
	}
	var way tlog.RecordProof
	for _, text := range proof.Hashes {
		h, err := tlog.ParseHash(text)
		if err != nil {
			return fmt.Errorf("the proof of leaf %d has what is no hash: %w", l.N, err)
		}
		way = append(way, h)
	}
	if err := tlog.CheckRecord(way, c.Size, c.Root, l.N, hash); err != nil {
		return errors.Join(fmt.Errorf("leaf %d is not in the log that was signed", l.N), err)
	}
	return nil
}

func printLeaf(w io.Writer, l shownLeaf) {
	if l.Says == nil {
		fmt.Fprintf(w, "leaf %d was %s, at %s; its text was not kept, and its hash is %s\n", l.N, l.Action, l.At.Local().Format(time.DateTime), l.Hash)
	}
	for _, name := range slices.Sorted(maps.Keys(l.Says)) {
		fmt.Fprintf(w, "%-10s %v\n", name, l.Says[name])
	}
	fmt.Fprintf(w, "proved: it is in the %d leaves that were signed with %s\n", l.Size, l.Key)
	if !l.Trusted {
		fmt.Fprintln(w, "that this is the log's key is the server's word: --key says which one you know")
	}
}

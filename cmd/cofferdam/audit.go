package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/mod/sumdb/note"

	"github.com/cofferdam-run/cofferdam/host/audit"
	"github.com/cofferdam-run/cofferdam/host/audit/transcript"
)

func (a *app) auditCommand() *cobra.Command {
	return group("audit", "Show who did what, and whether anybody has changed the log of it",
		a.auditList(), a.auditShow(), a.auditExport(), a.auditCheckpoint(), a.auditVerify(), a.auditRotateKey())
}

// auditPath is where the log is, or a tenant's part of it.
func (a *app) auditPath(rest string) string {
	if a.Tenant == "" {
		return "/v1/audit" + rest
	}
	return a.inTenant("/audit%s", rest)
}

// auditLeaf is a leaf as the API shows it.
type auditLeaf struct {
	N      int64     `json:"n"`
	At     time.Time `json:"at"`
	Hash   string    `json:"hash"`
	Leaf   string    `json:"leaf,omitempty"`
	Action string    `json:"action"`
	Who    string    `json:"who,omitempty"`
	Tenant string    `json:"tenant,omitempty"`
	Object string    `json:"object,omitempty"`
	Result string    `json:"result,omitempty"`
	Count  int64     `json:"count,omitempty"`
}

func (a *app) auditList() *cobra.Command {
	var action string
	var from int64
	c := a.tenantFlag(&cobra.Command{
		Use:     "list",
		Short:   "List what was done, of all tenants or of one",
		Example: "  cofferdam audit list\n  cofferdam audit list --tenant acme --action connection.create",
		Args:    exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			q := url.Values{"limit": {"100"}}
			if action != "" {
				q.Set("action", action)
			}
			if from > 0 {
				q.Set("cursor", strconv.FormatInt(from-1, 10))
			}
			var p page[auditLeaf]
			if err := a.client().call(c.Context(), http.MethodGet, a.auditPath("?"+q.Encode()), nil, &p); err != nil {
				return err
			}
			return a.show(p, func(w io.Writer) {
				var rows [][]string
				for _, l := range p.Items {
					rows = append(rows, []string{
						strconv.FormatInt(l.N, 10), l.At.Local().Format(time.DateTime), l.Action, l.Who, l.Object, l.Tenant, l.Result,
					})
				}
				table(w, []string{"N", "AT", "ACTION", "WHO", "OBJECT", "TENANT", "RESULT"}, rows)
				if p.Next != "" {
					fmt.Fprintf(w, "more follows: --from %d\n", p.Items[len(p.Items)-1].N+1)
				}
			})
		},
	})
	c.Flags().StringVar(&action, "action", "", "only what is called so")
	c.Flags().Int64Var(&from, "from", 0, "the number of the first to show")
	return c
}

func (a *app) auditExport() *cobra.Command {
	return a.tenantFlag(&cobra.Command{
		Use:     "export FILE",
		Short:   "Write the log, or a tenant's part of it, to a file that 'audit verify' reads",
		Example: "  cofferdam audit export audit.jsonl\n  cofferdam audit export acme.jsonl --tenant acme",
		Args:    exactly("FILE"),
		RunE: func(c *cobra.Command, args []string) (err error) {
			resp, err := a.client().open(c.Context(), http.MethodGet, a.auditPath("/export"), "", nil)
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			f, err := os.OpenFile(args[0], os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
			if err != nil {
				return fmt.Errorf("write the export: %w", err)
			}
			n, err := io.Copy(f, resp.Body)
			if err = errors.Join(err, f.Close()); err != nil {
				return fmt.Errorf("write the export: %w", err)
			}
			return a.show(map[string]any{"file": args[0], "bytes": n}, func(w io.Writer) { fmt.Fprintf(w, "wrote %s, %s\n", args[0], byteCount(n)) })
		},
	})
}

func (a *app) auditCheckpoint() *cobra.Command {
	return &cobra.Command{
		Use:     "checkpoint",
		Short:   "Sign the log as it is now, and print that: keep it where nobody can change it",
		Example: "  cofferdam audit checkpoint >> checkpoints.txt",
		Args:    exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			var signed signedLog
			if err := a.client().call(c.Context(), http.MethodPost, "/v1/audit/checkpoint", map[string]any{}, &signed); err != nil {
				return err
			}
			return a.show(signed, func(w io.Writer) { fmt.Fprintln(w, signed.Note) })
		},
	}
}

func (a *app) auditVerify() *cobra.Command {
	var keys, earlier []string
	c := &cobra.Command{
		Use:   "verify FILE",
		Short: "Say whether an export is what was signed; needs no server",
		Long: "Say whether an export has been changed: leaves edited, deleted, moved or added, or the whole log written\n" +
			"anew. Give the checkpoints that were kept elsewhere: what was changed before one of them shows even if\n" +
			"whoever did it has the key. The exit code is 1 if anything is wrong.\n\n" +
			"A log whose key was replaced says so itself, in a leaf that the key before has signed: who knows that\n" +
			"one is told the next. A tenant's part does not have that leaf; name all keys for it.",
		Example: "  cofferdam audit verify audit.jsonl --key cofferdam-audit-0a1b2c3d4e5f+12345678+AbC... --checkpoints checkpoints.txt",
		Args:    exactly("FILE"),
		RunE: func(_ *cobra.Command, args []string) error {
			report, err := verifyTranscript(args[0], keys, earlier)
			if err != nil {
				return err
			}
			err = a.show(report, func(w io.Writer) { printReport(w, report) })
			if err == nil && !report.Sound() {
				err = errors.New("the log is not what was signed")
			}
			return err
		},
	}
	c.Flags().StringSliceVar(&keys, "key", nil, "the log's public key, as 'audit checkpoint -o json' shows it, or a file of such; the earliest that you know")
	c.Flags().StringSliceVar(&earlier, "checkpoints", nil, "files of checkpoints that were kept elsewhere")
	return c
}

// verified is a report, and the keys that were followed.
type verified struct {
	transcript.Report

	Followed []transcript.Followed `json:"followed,omitempty"`
}

func verifyTranscript(path string, keys, earlier []string) (verified, error) {
	known, err := publicKeys(keys)
	if err != nil {
		return verified{}, err
	}
	if len(known) == 0 {
		return verified{}, usagef("say which key has signed the log: --key")
	}
	var o transcript.Options
	for _, name := range earlier {
		data, err := os.ReadFile(name)
		if err != nil {
			return verified{}, fmt.Errorf("read checkpoints: %w", err)
		}
		o.Earlier = append(o.Earlier, transcript.Split(data)...)
	}
	f, err := os.Open(path)
	if err != nil {
		return verified{}, fmt.Errorf("read the export: %w", err)
	}
	defer f.Close()
	followed, err := transcript.Follow(f, known...)
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		return verified{}, fmt.Errorf("read the export: %w", err)
	}
	for _, k := range followed {
		known = append(known, k.Key)
	}
	o.Keys = known
	report, err := transcript.Verify(f, o)
	return verified{Report: report, Followed: followed}, err
}

// publicKeys reads keys, or files of them; one that is named twice is one.
func publicKeys(named []string) ([]note.Verifier, error) {
	var keys []note.Verifier
	for _, text := range named {
		if data, err := os.ReadFile(text); err == nil {
			text = string(data)
		}
		for one := range strings.FieldsSeq(text) {
			k, err := audit.ParsePublic(one)
			if err != nil {
				return nil, err
			}
			if !slices.ContainsFunc(keys, func(o note.Verifier) bool { return o.Name() == k.Name() && o.KeyHash() == k.KeyHash() }) {
				keys = append(keys, k)
			}
		}
	}
	return keys, nil
}

func printReport(w io.Writer, r verified) {
	for _, k := range r.Followed {
		fmt.Fprintf(w, "leaf %d names the key %s\n", k.Leaf, k.Text)
	}
	for _, p := range r.Problems {
		fmt.Fprintf(w, "%s: leaves %d to %d: %s\n", p.Kind, p.From, p.To, p.Text)
	}
	if r.Sound() {
		fmt.Fprintf(w, "sound: %d of %d leaves, held to %d checkpoints of %s\n", r.Leaves, r.Size, r.Checkpoints, r.Origin)
	}
}

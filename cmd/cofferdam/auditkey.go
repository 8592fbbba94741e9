package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/cofferdam-run/cofferdam/host"
	"github.com/cofferdam-run/cofferdam/host/audit"
	"github.com/cofferdam-run/cofferdam/host/audit/transcript"
)

// auditKeyPath is the file of the key that signs the audit log, which lies beside the
// one that seals credentials; empty if nobody says where that is.
func (a *app) auditKeyPath() string {
	path := a.keyPath()
	if path == "" {
		return ""
	}
	return filepath.Join(filepath.Dir(path), "audit-key")
}

// openAudit opens the key that signs the audit log, and makes it for a log that nobody
// has signed. Without a place for it the log is not signed.
func (a *app) openAudit(ctx context.Context, log audit.Leaves) (host.Audit, error) {
	c := host.Audit{Keep: time.Duration(a.AuditDays) * 24 * time.Hour}
	if a.AuditDays < 0 {
		return c, usagef("--audit-retention-days is %d: it is a number of days, or 0 for 400", a.AuditDays)
	}
	var err error
	if c.Sinks, err = auditSinks(a.Checkpoints); err != nil {
		return c, err
	}
	path := a.auditKeyPath()
	if path == "" {
		if len(c.Sinks) > 0 {
			return c, usagef("--audit-checkpoints needs a log that is signed, and there is no place for its key: name the key file with --key-file")
		}
		return c, nil
	}
	k, err := audit.OpenKey(path)
	if errors.Is(err, fs.ErrNotExist) {
		signed, stored := log.ActCheckpoints(ctx, -1, 0, 1)
		if stored != nil {
			return c, stored
		}
		if len(signed) > 0 {
			return c, fmt.Errorf("%w\n  hint: the audit log was signed with that key; restore it from a backup", err)
		}
		k, err = audit.CreateKey(path)
	}
	if err != nil {
		return c, err
	}
	c.Signer, c.Public, c.Before = k, k.Public(), k.Before()
	return c, nil
}

// sinkTimeout bounds a connection to where checkpoints are sent, and each answer.
const sinkTimeout = 10 * time.Second

// auditSinks are where checkpoints are sent: files, which are made, or https addresses,
// which are reached in the operator's own way and not in that of plugins.
func auditSinks(places []string) ([]audit.Sink, error) {
	var sinks []audit.Sink
	for _, place := range places {
		u, err := url.Parse(place)
		if err != nil || !strings.Contains(place, "://") {
			f, err := os.OpenFile(place, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
			if err != nil {
				return nil, fmt.Errorf("open the file of checkpoints: %w\n  hint: see --audit-checkpoints", err)
			}
			if err := f.Close(); err != nil {
				return nil, fmt.Errorf("open the file of checkpoints: %w", err)
			}
			sinks = append(sinks, audit.FileSink{Path: place})
			continue
		}
		host := net.ParseIP(u.Hostname())
		if u.Host == "" || u.Scheme != "https" && (u.Scheme != "http" || !host.IsLoopback()) {
			return nil, usagef("--audit-checkpoints is %q: it is a file, or an https:// address; http:// only of this machine", u.Redacted())
		}
		sinks = append(sinks, audit.HTTPSink{URL: place, Client: &http.Client{
			Timeout:       sinkTimeout,
			Transport:     &http.Transport{Proxy: http.ProxyFromEnvironment, TLSHandshakeTimeout: sinkTimeout, IdleConnTimeout: 2 * time.Minute},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}})
	}
	return sinks, nil
}

func (a *app) auditRotateKey() *cobra.Command {
	var finish bool
	c := &cobra.Command{
		Use:   "rotate-key",
		Short: "Replace the key that signs the log",
		Long: "Replace the key that signs the log. The new one is put into the key file before the old one; once the\n" +
			"servers are started again with that file they sign with both, and a leaf of the log names the new key,\n" +
			"so that 'audit verify' with the old one follows. Give the new key to those who verify, and then take\n" +
			"the old one out with --finish, and start the servers again. All servers of one database have the same file.",
		Example: "  cofferdam audit rotate-key\n  cofferdam audit rotate-key --finish",
		Args:    exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			path := a.auditKeyPath()
			if path == "" {
				return usagef("the audit key lies beside the key file: name that with --key-file or COFFERDAM_KEY_FILE")
			}
			if finish {
				return a.finishAuditKey(c.Context(), path)
			}
			k, err := audit.ReplaceKey(path)
			if err != nil {
				return err
			}
			shown := map[string]any{"path": path, "key": fmt.Sprint(k.Public()), "before": fmt.Sprint(k.Before()[0].Public())}
			return a.show(shown, func(w io.Writer) {
				fmt.Fprintf(w, "the log's new public key is %s\nstart the servers again: they sign with both; 'audit rotate-key --finish' takes the old one away\n", k.Public())
			})
		},
	}
	a.databaseFlags(c)
	c.Flags().BoolVar(&finish, "finish", false, "take the old key out of the file, once the log is signed with the new one")
	return c
}

// finishAuditKey takes the old key out, unless the log has not been signed with the new
// one yet: then nobody could follow.
func (a *app) finishAuditKey(ctx context.Context, path string) (err error) {
	k, err := audit.OpenKey(path)
	if err != nil {
		return err
	}
	if len(k.Before()) == 0 {
		return usagef("no key is being replaced: %s has one", path)
	}
	s, err := a.openShared(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	last, err := s.ActCheckpoints(ctx, -1, 0, -1)
	if err != nil {
		return err
	}
	if len(last) == 1 {
		if _, err := transcript.Open(last[0].Note, k.Public()); err != nil {
			return fmt.Errorf("the log's latest checkpoint is not signed with the new key: %w\n  hint: start the servers again, all with the same file, and wait for a minute", err)
		}
	}
	if k, err = audit.RetireKeys(path); err != nil {
		return err
	}
	return a.show(map[string]any{"path": path, "key": fmt.Sprint(k.Public())}, func(w io.Writer) {
		fmt.Fprintf(w, "the log is signed with %s alone, once the servers are started again\n", k.Public())
	})
}

// examineAudit asks the server whether checkpoints arrive where they are sent.
func (a *app) examineAudit(ctx context.Context) (c check, ok bool) {
	resp, err := a.client().open(ctx, http.MethodGet, "/metrics", "", nil)
	if err != nil {
		return c, false // What is wrong with the server is said elsewhere.
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 16<<20))
	if err != nil {
		return c, false
	}
	sinks, behind := 0, 0
	for line := range bytes.Lines(text) {
		if rest, found := bytes.CutPrefix(line, []byte("cofferdam_audit_sink_behind{")); found {
			sinks++
			if bytes.HasSuffix(bytes.TrimSpace(rest), []byte(" 1")) {
				behind++
			}
		}
	}
	if behind > 0 {
		return check{Name: "audit", Said: fmt.Sprintf("%d of the %d places that checkpoints are sent to have not taken the newest: the server's log says why", behind, sinks)}, true
	}
	return check{Name: "audit", OK: true, Said: fmt.Sprintf("checkpoints arrive at the %d places that they are sent to", sinks)}, sinks > 0
}

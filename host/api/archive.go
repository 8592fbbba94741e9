package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/cofferdam-run/cofferdam/host/archive"
	"github.com/cofferdam-run/cofferdam/host/audit"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/token"
)

func archiveRoutes() []route {
	return []route{{
		Method: http.MethodGet, Path: "/v1/tenants/{tenant}/export", Reach: owned, Scope: token.Admin, ID: "exportTenant", Tag: "tenants",
		Summary: "Export everything of a tenant", Description: "As a tar.gz of lines of JSON with a README.md, without credentials and other secrets. " +
			"`manifest.json` is its last file, with counts and a digest: an archive without one is not whole. " +
			"Each file is a gzip member of its own; the subfield `CF` in the extra field of the last one that is whole (RFC 1952) is the `cursor` that the rest is had with, byte for byte. " +
			"Nothing is in it that was made after `at`.",
		Refuses: []int{http.StatusConflict}, shape: shapeArchive, bind: plain((*server).exportTenant),
	}}
}

// exportTenant writes the archive of a tenant. What goes wrong once it has begun ends it
// before its end, which whoever reads it sees.
func (s *server) exportTenant(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	plan, err := s.exported(r)
	if err == nil {
		err = s.noteExport(ctx)
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	out := &begun{ResponseWriter: w, contentType: "application/gzip"}
	if err := s.h.Archive.Write(ctx, out, plan); err != nil {
		if !out.wrote {
			s.fail(w, r, err)
			return
		}
		_ = s.refuse(ctx, err) // It is logged, and the client told in the only way left.
		panic(http.ErrAbortHandler)
	}
}

// exported reads what is asked for.
func (s *server) exported(r *http.Request) (archive.Plan, error) {
	q := r.URL.Query()
	for name := range q {
		if name != "at" && name != "cursor" {
			return archive.Plan{}, fault.New(fault.InvalidInput, "invalid_request", "there is no parameter %q", name).At(name)
		}
	}
	request := archive.Request{Tenant: tenantOf(r.Context()), Cursor: q.Get("cursor")}
	if text := q.Get("at"); text != "" {
		at, err := time.Parse(time.RFC3339Nano, text)
		if err != nil {
			return archive.Plan{}, fault.New(fault.InvalidInput, "at_invalid", "%.40q is no time", text).At("at").
				WithHint("write it like 2026-11-20T12:00:00Z")
		}
		request.At = at
	}
	return s.h.Archive.Check(r.Context(), request)
}

// noteExport writes the export down before anything of it is given out: who breaks it off
// has read it all the same.
func (s *server) noteExport(ctx context.Context) error {
	e, committed, ok := audit.EntryOf(ctx, s.o.Now())
	if !ok {
		return errors.New("export a tenant: it is no act")
	}
	// The write itself is no part of the act, which would be written down twice.
	if err := s.h.Audit.Use(audit.Begin(ctx, nil), e); err != nil {
		return fmt.Errorf("write the export to the audit log: %w", err)
	}
	committed()
	// What is pending becomes part of the log, so that an archive that is gone on with
	// later has no more of it.
	_, err := s.h.Audit.Tree(audit.Begin(ctx, nil))
	return err
}

func shapeArchive(op *huma.Operation) {
	op.Parameters = append(op.Parameters, &huma.Param{
		Name: "tenant", In: "path", Required: true, Description: "The tenant's id or name; me for the tenant of the token.",
		Schema: &huma.Schema{Type: huma.TypeString}, Example: "acme",
	})
	for _, p := range []struct{ name, doc string }{
		{"at", "The time that the archive is of, as 2026-11-20T12:00:00Z. For the same data and time it has the same bytes. Defaults to now."},
		{"cursor", "From the last gzip member that is whole: the archive goes on after it."},
	} {
		op.Parameters = append(op.Parameters, &huma.Param{Name: p.name, In: "query", Description: p.doc, Schema: &huma.Schema{Type: huma.TypeString}})
	}
	op.Responses["200"] = &huma.Response{Description: "An archive.", Content: map[string]*huma.MediaType{
		"application/gzip": {Schema: &huma.Schema{Type: huma.TypeString, Format: "binary"}},
	}}
}

package api

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/cofferdam-run/cofferdam/host/api/internal/param"
	"github.com/cofferdam-run/cofferdam/host/audit"
	"github.com/cofferdam-run/cofferdam/host/audit/transcript"
	"github.com/cofferdam-run/cofferdam/host/token"
)

func auditRoutes() []route {
	const all, own = "/v1/audit", "/v1/tenants/{tenant}/audit"
	const hashes = "It is made of hashes alone, and shows nothing of what anybody has done."
	return []route{
		{
			Method: http.MethodGet, Path: all, Reach: operated, Scope: token.Admin, ID: "listAudit", Tag: "audit",
			Summary: "List the audit log", Description: "In order of the leaves' numbers.", bind: handle((*server).listAudit),
		},
		{
			Method: http.MethodGet, Path: own, Reach: owned, Scope: token.Admin, ID: "listTenantAudit", Tag: "audit",
			Summary: "List a tenant's part of the audit log", Description: "What was done to what it owns, and with its tokens.",
			bind: handle((*server).listTenantAudit),
		},
		{
			Method: http.MethodGet, Path: all + "/export", Reach: operated, Scope: token.Admin, ID: "exportAudit", Tag: "audit",
			Summary: "Export the audit log", Description: "As lines of JSON that `cofferdam audit verify` reads, up to now.",
			shape: shapeTranscript, bind: plain((*server).exportAudit),
		},
		{
			Method: http.MethodGet, Path: own + "/export", Reach: owned, Scope: token.Admin, ID: "exportTenantAudit", Tag: "audit",
			Summary: "Export a tenant's part of the audit log", Description: "As lines of JSON that `cofferdam audit verify` reads, up to the latest checkpoint, each leaf with a proof that it is in the log.",
			shape: shapeTranscript, bind: plain((*server).exportAudit),
		},
		{
			Method: http.MethodGet, Path: all + "/checkpoint", Reach: viewed, Scope: token.Read, ID: "getCheckpoint", Tag: "audit",
			Summary: "Show the latest signed checkpoint", Description: "Whoever keeps it can tell later whether the log has only grown. " + hashes,
			bind: handle((*server).getCheckpoint),
		},
		{
			Method: http.MethodPost, Path: all + "/checkpoint", Reach: operated, Scope: token.Admin, ID: "signAuditLog", Tag: "audit",
			Summary: "Sign the audit log as it is now", Description: "It is signed every minute without this.", Refuses: []int{http.StatusConflict},
			Example: `{}`, bind: handle((*server).signAuditLog),
		},
		{
			Method: http.MethodGet, Path: all + "/inclusion", Reach: viewed, Scope: token.Read, ID: "proveLeaf", Tag: "audit",
			Summary: "Prove that a leaf is in the log", Description: "By the hashes beside its way to the root (RFC 6962). " + hashes,
			bind: handle((*server).proveLeaf),
		},
		{
			Method: http.MethodGet, Path: all + "/consistency", Reach: viewed, Scope: token.Read, ID: "proveConsistency", Tag: "audit",
			Summary: "Prove that the log has only grown", Description: "From one size to another (RFC 6962). " + hashes,
			bind: handle((*server).proveConsistency),
		},
	}
}

// leafView is a leaf as the API shows it.
type leafView struct {
	N         int64     `json:"n" doc:"Its number, from 0."`
	At        time.Time `json:"at" doc:"When it happened."`
	Hash      string    `json:"hash" doc:"Of its text, as RFC 6962 hashes leaves, in base64."`
	Leaf      string    `json:"leaf,omitempty" doc:"Its text as it was hashed. Missing where only the hash was kept."`
	Action    string    `json:"action" doc:"What was done." example:"connection.create"`
	Who       string    `json:"who,omitempty" doc:"The id of the token that it was done with, or host."`
	From      string    `json:"from,omitempty" doc:"The address that asked."`
	Tenant    string    `json:"tenant,omitempty" doc:"Whose it is."`
	Object    string    `json:"object,omitempty" doc:"What it was done to."`
	Purpose   string    `json:"purpose,omitempty" doc:"What a credential was opened for."`
	Execution string    `json:"execution,omitempty" doc:"In the course of which execution."`
	Request   string    `json:"request,omitempty" doc:"In the course of which request."`
	Result    string    `json:"result,omitempty" enum:"done,denied,failed" doc:"How it ended."`
	Code      string    `json:"code,omitempty" doc:"Why it was not done."`
	Count     int64     `json:"count,omitempty" doc:"How often, if more than once."`
}

func leafViewOf(l audit.Leaf) leafView {
	v := leafView{N: l.N, At: l.At, Hash: l.Hash.String(), Leaf: string(l.Text), Action: l.Action, Tenant: l.Tenant}
	if l.Text == nil {
		return v
	}
	says, err := transcript.Parse(l.Text)
	if err != nil {
		return v // Somebody has changed it: the text is there to be seen.
	}
	text := func(name string) string { s, _ := says[name].(string); return s }
	v.Who, v.From, v.Object, v.Purpose = text("who"), text("from"), text("object"), text("purpose")
	v.Execution, v.Request, v.Result, v.Code = text("execution"), text("request"), text("result"), text("code")
	v.Count, _ = says["count"].(int64)
	return v
}

// leaves are a page of the log, or of one tenant's part.
func (s *server) leaves(ctx context.Context, p param.Leaves, tenant string) (*answer[page[leafView]], error) {
	from, err := p.First()
	if err != nil {
		return nil, err
	}
	// One more than the limit, to know whether more follows.
	leaves, err := s.h.Audit.List(ctx, audit.Filter{From: from, Action: p.Action, Tenant: tenant, OfTenant: tenant != "", Limit: p.Limit + 1})
	if err != nil {
		return nil, err
	}
	views := make([]leafView, len(leaves))
	for i, l := range leaves {
		views[i] = leafViewOf(l)
	}
	return pageOf(views, p.Limit, func(v leafView) string { return strconv.FormatInt(v.N, 10) }), nil
}

type listAuditInput struct {
	param.Leaves
	Tenant string `query:"tenant" maxLength:"64" doc:"Only the part of the tenant with this id, which may be deleted."`
}

func (s *server) listAudit(ctx context.Context, in *listAuditInput) (*answer[page[leafView]], error) {
	return s.leaves(ctx, in.Leaves, in.Tenant)
}

type listTenantAuditInput struct {
	param.InTenant
	param.Leaves
}

func (s *server) listTenantAudit(ctx context.Context, in *listTenantAuditInput) (*answer[page[leafView]], error) {
	return s.leaves(ctx, in.Leaves, tenantOf(ctx))
}

// exportAudit writes the transcript of the tenant that the path names, or of all. What
// goes wrong once it has begun ends it before its end, which whoever verifies it sees.
func (s *server) exportAudit(w http.ResponseWriter, r *http.Request) {
	tenant := ""
	if c := callerOf(r.Context()); c.tenant != "" {
		tenant = c.tenant
	}
	out := &begun{ResponseWriter: w, contentType: "application/x-ndjson"}
	if err := s.h.Audit.Export(r.Context(), out, tenant); err != nil {
		if !out.wrote {
			s.fail(w, r, err)
			return
		}
		_ = s.refuse(r.Context(), err) // It is logged, and the client told in the only way left.
		panic(http.ErrAbortHandler)
	}
}

// begun sets the header when the first byte is written.
type begun struct {
	http.ResponseWriter

	contentType string
	wrote       bool
}

// Write implements io.Writer.
func (b *begun) Write(p []byte) (int, error) {
	if !b.wrote {
		b.wrote = true
		b.Header().Set("Content-Type", b.contentType)
	}
	return b.ResponseWriter.Write(p)
}

func shapeTranscript(op *huma.Operation) {
	op.Responses["200"] = &huma.Response{Description: "A transcript.", Content: map[string]*huma.MediaType{
		"application/x-ndjson": {Schema: &huma.Schema{Type: huma.TypeString}},
	}}
}

// checkpoint is a signed checkpoint.
type checkpoint struct {
	Size int64     `json:"size" doc:"How many leaves it is of."`
	At   time.Time `json:"at" doc:"When it was signed."`
	Note string    `json:"note" doc:"The signed note: <https://c2sp.org/tlog-checkpoint>."`
	Key  string    `json:"key" doc:"The newest of the public keys that verify it, as name+hash+key. Have it from elsewhere, once: who forges the log forges this, too."`
}

func (s *server) checkpointOf(c audit.Signed, err error) (*answer[checkpoint], error) {
	return answered(checkpoint{Size: c.Size, At: c.At, Note: string(c.Note), Key: s.h.Audit.PublicOf(c.Note)}, err)
}

func (s *server) getCheckpoint(ctx context.Context, _ *struct{}) (*answer[checkpoint], error) {
	return s.checkpointOf(s.h.Audit.Latest(ctx))
}

func (s *server) signAuditLog(ctx context.Context, _ *struct{ Body struct{} }) (*answer[checkpoint], error) {
	return s.checkpointOf(s.h.Audit.Checkpoint(ctx))
}

// proof is one of RFC 6962.
type proof struct {
	Size   int64    `json:"size" doc:"The size of the log that it is about."`
	Hashes []string `json:"hashes" nullable:"false" doc:"In base64, in the order of RFC 6962."`
}

func texts(hashes []tlog.Hash) []string {
	all := make([]string, len(hashes))
	for i, h := range hashes {
		all[i] = h.String()
	}
	return all
}

type proveLeafInput struct {
	Leaf int64 `query:"leaf" minimum:"0" doc:"The leaf's number. Defaults to the first."`
	Size int64 `query:"size" minimum:"0" doc:"In the log of so many leaves. Defaults to all that there are."`
}

func (s *server) proveLeaf(ctx context.Context, in *proveLeafInput) (*answer[proof], error) {
	size, err := s.size(ctx, in.Size)
	if err != nil {
		return nil, err
	}
	p, err := s.h.Audit.Inclusion(ctx, in.Leaf, size)
	return answered(proof{Size: size, Hashes: texts(p)}, err)
}

// size is the one that is asked for, or that of the whole log.
func (s *server) size(ctx context.Context, asked int64) (int64, error) {
	if asked > 0 {
		return asked, nil
	}
	t, err := s.h.Audit.Tree(ctx)
	return t.Size, err
}

type proveConsistencyInput struct {
	From int64 `query:"from" minimum:"1" default:"1" doc:"The smaller size."`
	To   int64 `query:"to" minimum:"0" doc:"The larger size. Defaults to all that there is."`
}

func (s *server) proveConsistency(ctx context.Context, in *proveConsistencyInput) (*answer[proof], error) {
	size, err := s.size(ctx, in.To)
	if err != nil {
		return nil, err
	}
	p, err := s.h.Audit.Consistency(ctx, in.From, size)
	return answered(proof{Size: size, Hashes: texts(p)}, err)
}

package api

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/cofferdam-run/cofferdam/host/api/internal/param"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/token"
	"github.com/cofferdam-run/cofferdam/registry"
	"github.com/cofferdam-run/cofferdam/registry/channel"
	"github.com/cofferdam-run/cofferdam/registry/signature"
)

func pluginRoutes() []route {
	const one = "/v1/plugins/{plugin}"
	return []route{
		{
			Method: http.MethodGet, Path: "/v1/plugins", Reach: viewed, Scope: token.Read, ID: "listPlugins", Tag: "plugins",
			Summary: "List plugins", Description: "A tenant's token sees its own and those that are shared with it.",
			bind: handle((*server).listPlugins),
		},
		{
			Method: http.MethodPost, Path: "/v1/plugins", Reach: viewed, Scope: token.Publish, ID: "publishPlugin", Tag: "plugins",
			Summary: "Publish a plugin version", Status: http.StatusCreated, Streams: true, MaxBytes: uploadBytes,
			Description: "The body is a WebAssembly module. It is checked, described once in the sandbox, and kept by its SHA-256. Versions are immutable: the same bytes again give the version that exists, other bytes under the same version are a conflict. `changes` says what it asks for beyond the version below it. Installations that follow its channel go to it, those that it asks for more excepted: they wait for consent. A tenant's token publishes as that tenant.",
			shape:       shapeUpload, bind: handle((*server).publishPlugin),
		},
		{
			Method: http.MethodGet, Path: one, Reach: viewed, Scope: token.Read, ID: "getPlugin", Tag: "plugins",
			Summary: "Show a plugin", Description: "With its versions, the newest first.", bind: handle((*server).getPlugin),
		},
		{
			Method: http.MethodPut, Path: one + "/share", Reach: viewed, Scope: token.Publish, ID: "sharePlugin", Tag: "plugins",
			Summary: "Share a plugin", Description: "Sets the tenants that see it besides its publisher. Installations that exist go on.",
			Example: `{"tenants":["acme"]}`, bind: handle((*server).sharePlugin),
		},
		{
			Method: http.MethodPost, Path: one + "/pause", Reach: operated, Scope: token.Admin, ID: "pausePlugin", Tag: "plugins",
			Summary: "Pause a plugin", Description: "Nothing of it runs, in any tenant, until it is resumed: events are accepted and kept. What runs already goes on; `GET /v1/in-flight` waits for it.",
			bind: handle((*server).pausePlugin),
		},
		{
			Method: http.MethodPost, Path: one + "/resume", Reach: operated, Scope: token.Admin, ID: "resumePlugin", Tag: "plugins",
			Summary: "Resume a plugin", Description: "What has gathered is run, where the tenant and the installation are not paused themselves.",
			bind: handle((*server).resumePlugin),
		},
		{
			Method: http.MethodPost, Path: one + "/deprecate", Reach: viewed, Scope: token.Publish, ID: "deprecatePlugin", Tag: "plugins",
			Summary: "Deprecate a plugin", Description: "It goes on, and whoever installs, publishes or lists it is told why not to. An empty reason takes it back.",
			Example: `{"why":"use hello-rust"}`, bind: handle((*server).deprecatePlugin),
		},
	}
}

// publishInput is an upload. Its body is not a field, for huma would buffer that:
// Resolve takes hold of it instead.
type publishInput struct {
	Publisher string   `query:"publisher" doc:"Whose it becomes, by id or name. Defaults to the token's own: the operator or the tenant."`
	Name      string   `query:"name" doc:"The name of a level-0 plugin. A typed connector says its own."`
	Version   string   `query:"version" doc:"The version of a level-0 plugin, as semver. A typed connector says its own."`
	Channel   string   `query:"channel" enum:"stable,beta" doc:"Where it is offered. Defaults to beta for a pre-release, and else to stable."`
	Signature string   `header:"Plugin-Signature" maxLength:"8192" doc:"The publisher's signature, as cofferdam plugin sign writes it, in base64." example:"eyJuYW1lIjoiaGVsbG8ifQ=="`
	Share     []string `query:"share" doc:"Tenants that see a new plugin, by id or name, separated by commas; * is everyone. Defaults to everyone for the operator's, nobody for others'."`
	Egress    string   `query:"egress" doc:"What a level-0 plugin may ask for, as a JSON array of {host, methods}." example:"[{\"host\":\"api.github.com\",\"methods\":[\"GET\"]}]"`

	wasm io.Reader
	kind string
}

// Resolve implements huma.Resolver.
func (in *publishInput) Resolve(ctx huma.Context) []error {
	in.wasm, in.kind = ctx.BodyReader(), ctx.Header("Content-Type")
	return nil
}

func shapeUpload(op *huma.Operation) {
	op.RequestBody = &huma.RequestBody{
		Description: "The module's bytes, at most 20 MiB unless the operator says otherwise.", Required: true,
		Content: map[string]*huma.MediaType{"application/wasm": {Schema: &huma.Schema{Type: huma.TypeString, Format: "binary"}}},
	}
}

// versionView is a version and what those should know who use it.
type versionView struct {
	registry.Version
	Warnings []string `json:"warnings,omitempty" nullable:"false" doc:"That it or its plugin is deprecated, or that it was yanked, and why."`
}

// viewedVersion adds the warnings to a version.
func (s *server) viewedVersion(ctx context.Context, v registry.Version, err error) (*answer[versionView], error) {
	if err != nil {
		return nil, err
	}
	warnings, err := s.h.Plugins.Warnings(ctx, v.ID)
	return answered(versionView{Version: v, Warnings: warnings}, err)
}

func (s *server) publishPlugin(ctx context.Context, in *publishInput) (*answer[versionView], error) {
	if kind, _, _ := strings.Cut(in.kind, ";"); kind != "" && kind != "application/wasm" && kind != "application/octet-stream" {
		return nil, newProblem(http.StatusUnsupportedMediaType, fault.InvalidInput, "content_type_unsupported", "the body must be application/wasm")
	}
	u := registry.Upload{Wasm: in.wasm, Name: in.Name, Version: in.Version, Channel: channel.Channel(in.Channel)}
	if in.Egress != "" {
		if err := json.Unmarshal([]byte(in.Egress), &u.Egress); err != nil {
			return nil, fault.New(fault.InvalidInput, "egress_invalid", "this is not a JSON array of objects with host and methods").At("egress")
		}
	}
	var err error
	if u.Signature, err = readSignature(in.Signature); err != nil {
		return nil, err
	}
	if u.Share, err = s.tenantIDs(ctx, in.Share, "share"); err != nil {
		return nil, err
	}
	publisher, err := s.publisherFor(ctx, in.Publisher)
	if err != nil {
		return nil, err
	}
	v, err := s.h.Plugins.Publish(ctx, publisher, u)
	if over, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return nil, tooLarge(over.Limit, 0)
	}
	if err == nil {
		s.h.Installations.Nudge()
	}
	return s.viewedVersion(ctx, v, err)
}

// readSignature reads the header of an upload; nothing is no signature.
func readSignature(header string) (*signature.Signature, error) {
	if header == "" {
		return nil, nil //nolint:nilnil // An upload need not be signed.
	}
	document, err := base64.StdEncoding.DecodeString(header)
	if err != nil {
		return nil, fault.New(fault.InvalidInput, registry.CodeInvalidSignature, "the header is not base64").At("Plugin-Signature")
	}
	sig, err := signature.Parse(document)
	if err != nil {
		return nil, fault.New(fault.InvalidInput, registry.CodeInvalidSignature, "the signature cannot be read: %v", err).At("Plugin-Signature").
			WithHint("send the file that cofferdam plugin sign has written, in base64")
	}
	return &sig, nil
}

// publisherFor returns whom the caller publishes as. A tenant publishes as itself only.
func (s *server) publisherFor(ctx context.Context, named string) (string, error) {
	c := callerOf(ctx)
	if c.token.Tenant == "" && named != "" {
		return named, nil
	}
	own, err := s.h.Plugins.PublisherOf(ctx, c.viewer())
	if err != nil {
		return "", err
	}
	if named != "" && named != own.ID && named != own.Name {
		return "", fault.New(fault.Denied, fault.CodeForbidden, "a tenant publishes as itself only").
			At("publisher").WithHint("leave publisher out")
	}
	return own.ID, nil
}

// tenantIDs returns the ids of tenants that are named by id or name. A tenant's
// own token may name tenants that it cannot see: whether they exist is not said,
// so only ids are taken from it.
func (s *server) tenantIDs(ctx context.Context, named []string, where string) ([]string, error) {
	operator := callerOf(ctx).token.Tenant == ""
	var ids []string
	for _, name := range named {
		if name == "*" || !operator {
			ids = append(ids, name)
			continue
		}
		t, err := s.h.Tenants.Get(ctx, name)
		if err != nil {
			f := fault.From(err)
			if f.Code == fault.CodeNotFound {
				return nil, fault.New(fault.InvalidInput, "tenant_unknown", "there is no tenant %q", name).At(where)
			}
			return nil, f
		}
		ids = append(ids, t.ID)
	}
	return ids, nil
}

// pluginView is a plugin with its versions.
type pluginView struct {
	registry.Plugin
	Versions []registry.Version `json:"versions" nullable:"false" doc:"Its versions, the newest first."`
}

func (s *server) listPlugins(ctx context.Context, _ *struct{}) (*answer[page[registry.Plugin]], error) {
	return listed(s.h.Plugins.Plugins(ctx, callerOf(ctx).viewer()))
}

func (s *server) getPlugin(ctx context.Context, in *param.OnePlugin) (*answer[pluginView], error) {
	p, versions, err := s.h.Plugins.Plugin(ctx, callerOf(ctx).viewer(), in.Ref())
	if versions == nil {
		versions = []registry.Version{}
	}
	return answered(pluginView{Plugin: p, Versions: versions}, err)
}

type shareInput struct {
	param.OnePlugin
	Body struct {
		Tenants []string `json:"tenants" nullable:"false" doc:"The tenants, by id or name; * is everyone."`
	}
}

func (s *server) sharePlugin(ctx context.Context, in *shareInput) (*answer[registry.Plugin], error) {
	viewer := callerOf(ctx).viewer()
	p, _, err := s.h.Plugins.Plugin(ctx, viewer, in.Ref())
	if err != nil {
		return nil, err
	}
	ids, err := s.tenantIDs(ctx, in.Body.Tenants, "/tenants")
	if err != nil {
		return nil, err
	}
	return answered(s.h.Plugins.Share(ctx, viewer, p.ID, ids))
}

type whyInput struct {
	param.OnePlugin
	Body deprecation
}

// deprecation is the reason of one.
type deprecation struct {
	Why string `json:"why" maxLength:"500" doc:"What people who use it should know; empty to take it back."`
}

func (s *server) deprecatePlugin(ctx context.Context, in *whyInput) (*answer[registry.Plugin], error) {
	viewer := callerOf(ctx).viewer()
	if err := s.h.Plugins.Deprecate(ctx, viewer, in.Ref(), in.Body.Why); err != nil {
		return nil, err
	}
	p, _, err := s.h.Plugins.Plugin(ctx, viewer, in.Ref())
	return answered(p, err)
}

func (s *server) pausePlugin(ctx context.Context, in *param.OnePlugin) (*answer[registry.Plugin], error) {
	return answered(s.h.Plugins.Pause(ctx, callerOf(ctx).viewer(), in.Ref()))
}

func (s *server) resumePlugin(ctx context.Context, in *param.OnePlugin) (*answer[registry.Plugin], error) {
	p, err := s.h.Plugins.Resume(ctx, callerOf(ctx).viewer(), in.Ref())
	if err != nil {
		return nil, err
	}
	// After the state, so that nothing is queued only to be found paused.
	return answered(p, s.h.Executions.ReleasePlugin(ctx, p.ID))
}

package api

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"

	"github.com/cofferdam-run/cofferdam/host/api/internal/param"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/installation"
	"github.com/cofferdam-run/cofferdam/host/token"
	"github.com/cofferdam-run/cofferdam/registry"
	"github.com/cofferdam-run/cofferdam/registry/channel"
	"github.com/cofferdam-run/cofferdam/registry/diff"
)

func versionRoutes() []route {
	const one = "/v1/plugins/{plugin}/versions/{version}"
	line := func(method, path, id, summary, description string) route {
		return route{
			Method: method, Path: path, ID: id, Summary: summary, Description: description,
			Reach: viewed, Scope: token.Publish, Tag: "plugins",
		}
	}
	get := line(http.MethodGet, one, "getVersion", "Show a plugin version", "With its manifest.")
	get.Scope, get.bind = token.Read, handle((*server).getVersion)

	compare := line(http.MethodGet, one+"/diff", "diffVersion", "Compare a plugin version with another",
		"What it asks for beyond the other one, what breaks those who use it, and what else differs.")
	compare.Scope, compare.bind = token.Read, handle((*server).diffVersion)

	users := line(http.MethodGet, one+"/installations", "listVersionInstallations", "List who runs a plugin version",
		"A tenant's token sees its own installations only, whoever has published the plugin.")
	users.Scope, users.bind = token.Read, handle((*server).listVersionInstallations)

	module := line(http.MethodGet, one+"/module", "downloadVersion", "Download a plugin version",
		"The module's bytes, for its publisher and the operator.")
	module.shape, module.bind = shapeModule, handle((*server).downloadVersion)

	promote := line(http.MethodPost, one+"/promote", "promoteVersion", "Offer a plugin version in a channel",
		"What is in beta becomes stable. Installations that follow the channel go to it, unless it asks for more than they grant.")
	promote.Example, promote.bind = `{"channel":"stable"}`, handle((*server).promoteVersion)

	deprecate := line(http.MethodPost, one+"/deprecate", "deprecateVersion", "Deprecate a plugin version",
		"It is offered and runs all the same, and whoever meets it is told why not to use it. An empty reason takes it back.")
	deprecate.Example, deprecate.bind = `{"why":"slow: use 0.3.0"}`, handle((*server).deprecateVersion)

	yank := line(http.MethodPost, one+"/yank", "yankVersion", "Yank a plugin version",
		"Hides it from new installations and from its channel, which offers the newest one that was not yanked. What runs it goes on.")
	yank.Example, yank.bind = `{"why":"loses the second page"}`, handle((*server).yankVersion)

	return []route{get, compare, users, module, promote, deprecate, yank}
}

// version finds a version of a plugin, by its semver or id. A yanked one is found too.
func (s *server) version(ctx context.Context, in param.OneVersion) (registry.Version, error) {
	_, versions, err := s.h.Plugins.Plugin(ctx, callerOf(ctx).viewer(), in.Ref())
	if err != nil {
		return registry.Version{}, err
	}
	for _, v := range versions {
		if v.Version == in.Version || v.ID == in.Version {
			return v, nil
		}
	}
	return registry.Version{}, fault.NotFound("version", in.Version)
}

func (s *server) getVersion(ctx context.Context, in *param.OneVersion) (*answer[versionView], error) {
	v, err := s.version(ctx, *in)
	return s.viewedVersion(ctx, v, err)
}

type diffInput struct {
	param.OneVersion
	Against string `query:"against" maxLength:"100" doc:"The other version, or its id. Defaults to the newest below it when it was published." example:"0.1.0"`
}

func (s *server) diffVersion(ctx context.Context, in *diffInput) (*answer[diff.Diff], error) {
	v, err := s.version(ctx, in.OneVersion)
	if err != nil {
		return nil, err
	}
	d, err := s.h.Plugins.Compare(ctx, callerOf(ctx).viewer(), v.ID, in.Against)
	if err == nil && d == nil {
		d = &diff.Diff{To: v.Version, Changes: []diff.Change{}} // The first of its plugin.
	}
	if err != nil {
		return nil, err
	}
	return &answer[diff.Diff]{Body: *d}, nil
}

// user is an installation as those see it who look after a version.
type user struct {
	Tenant  string             `json:"tenant" doc:"The tenant's id."`
	ID      string             `json:"id" doc:"The installation's id."`
	Name    string             `json:"name" doc:"What the tenant calls it."`
	State   installation.State `json:"state" enum:"active,paused,error" doc:"Whether it runs."`
	Channel channel.Channel    `json:"channel,omitempty" enum:"stable,beta" doc:"The channel that it follows; left out for one that is pinned."`
}

type usersInput struct {
	param.OneVersion
	Cursor string `query:"cursor" maxLength:"64" doc:"The next_cursor of the page before."`
	Limit  int    `query:"limit" minimum:"1" maximum:"100" default:"50" doc:"How many to return at most."`
}

func (s *server) listVersionInstallations(ctx context.Context, in *usersInput) (*answer[page[user]], error) {
	v, err := s.version(ctx, in.OneVersion)
	if err != nil {
		return nil, err
	}
	var after installation.Place
	if in.Cursor != "" {
		var ok bool
		if after.Tenant, after.ID, ok = strings.Cut(in.Cursor, "."); !ok {
			return nil, fault.New(fault.InvalidInput, "cursor_invalid", "this is not a cursor of this list").
				At("cursor").WithHint("pass the next_cursor of the page before, or nothing to begin")
		}
	}
	found, err := s.h.Store.Running(ctx, callerOf(ctx).token.Tenant, v.ID, after, in.Limit+1)
	if err != nil {
		return nil, err
	}
	users := make([]user, len(found))
	for n, i := range found {
		users[n] = user{Tenant: i.Tenant, ID: i.ID, Name: i.Name, State: i.State, Channel: i.Channel}
	}
	return pageOf(users, in.Limit, func(u user) string { return u.Tenant + "." + u.ID }), nil
}

func (s *server) downloadVersion(ctx context.Context, in *param.OneVersion) (*huma.StreamResponse, error) {
	v, err := s.version(ctx, *in)
	if err != nil {
		return nil, err
	}
	if err := s.h.Plugins.MayChange(ctx, callerOf(ctx).viewer(), v.Plugin); err != nil {
		return nil, err
	}
	wasm, err := s.h.Plugins.Wasm(ctx, v)
	if err != nil {
		return nil, err
	}
	return &huma.StreamResponse{Body: func(hc huma.Context) {
		hc.SetHeader("Content-Type", "application/wasm")
		hc.SetHeader("Content-Length", strconv.Itoa(len(wasm)))
		hc.SetHeader("Content-Disposition", fmt.Sprintf("attachment; filename=%q", v.Name+"-"+v.Version+".wasm"))
		if hc.Method() == http.MethodHead {
			return
		}
		_, w := humachi.Unwrap(hc)
		if _, err := w.Write(wasm); err != nil && ctx.Err() == nil {
			s.report(ctx, err)
		}
	}}, nil
}

func shapeModule(op *huma.Operation) {
	op.Responses["200"] = &huma.Response{Description: "The module.", Content: map[string]*huma.MediaType{
		"application/wasm": {Schema: &huma.Schema{Type: huma.TypeString, Format: "binary"}},
	}}
}

type promoteInput struct {
	param.OneVersion
	Body struct {
		Channel string `json:"channel" enum:"stable,beta" doc:"The channel. What is stable is in beta, too."`
	}
}

func (s *server) promoteVersion(ctx context.Context, in *promoteInput) (*answer[versionView], error) {
	v, err := s.version(ctx, in.OneVersion)
	if err != nil {
		return nil, err
	}
	v, err = s.h.Plugins.Promote(ctx, callerOf(ctx).viewer(), v.ID, channel.Channel(in.Body.Channel))
	if err == nil {
		s.h.Installations.Nudge()
	}
	return s.viewedVersion(ctx, v, err)
}

type deprecateInput struct {
	param.OneVersion
	Body deprecation
}

func (s *server) deprecateVersion(ctx context.Context, in *deprecateInput) (*answer[versionView], error) {
	v, err := s.version(ctx, in.OneVersion)
	if err != nil {
		return nil, err
	}
	if err := s.h.Plugins.Deprecate(ctx, callerOf(ctx).viewer(), v.ID, in.Body.Why); err != nil {
		return nil, err
	}
	return s.getVersion(ctx, &in.OneVersion)
}

type yankInput struct {
	param.OneVersion
	Body struct {
		Why string `json:"why" minLength:"1" maxLength:"500" doc:"What people who use it should know."`
	}
}

func (s *server) yankVersion(ctx context.Context, in *yankInput) (*answer[versionView], error) {
	v, err := s.version(ctx, in.OneVersion)
	if err != nil {
		return nil, err
	}
	v, err = s.h.Plugins.Yank(ctx, callerOf(ctx).viewer(), v.ID, in.Body.Why)
	return s.viewedVersion(ctx, v, err)
}

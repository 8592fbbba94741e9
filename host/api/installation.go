package api

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/cofferdam-run/cofferdam/host/api/internal/param"
	"github.com/cofferdam-run/cofferdam/host/installation"
	"github.com/cofferdam-run/cofferdam/host/token"
	"github.com/cofferdam-run/cofferdam/registry/channel"
	"github.com/cofferdam-run/cofferdam/registry/manifest"
)

func installationRoutes() []route {
	const all, one = "/v1/tenants/{tenant}/installations", "/v1/tenants/{tenant}/installations/{installation}"
	line := func(method, path, id, summary, description string) route {
		return route{
			Method: method, Path: path, ID: id, Summary: summary, Description: description,
			Reach: owned, Scope: token.Admin, Tag: "installations",
		}
	}
	list := line(http.MethodGet, all, "listInstallations", "List installations", "Those that are not removed.")
	list.Scope, list.bind = token.Read, handle((*server).listInstallations)

	create := line(http.MethodPost, all, "createInstallation", "Enable a plugin",
		"The configuration must fit the plugin's schema; every property that does not is named in `errors`. Grants are never more than the manifest asks for.")
	create.Status, create.Example = http.StatusCreated, `{"plugin":"hello-go@0.1.0","config":{"label":"triage"},"grants":{"connections":{"github":"github"}}}`
	create.bind = handle((*server).createInstallation)

	get := line(http.MethodGet, one, "getInstallation", "Show an installation", "A removed one is found by its id.")
	get.Scope, get.bind = token.Read, handle((*server).getInstallation)

	remove := line(http.MethodDelete, one, "removeInstallation", "Disable a plugin",
		"Nothing of it runs any more. Its executions stay to be looked at.")
	remove.Status, remove.bind = http.StatusNoContent, handle((*server).removeInstallation)

	limit := line(http.MethodPatch, one, "limitInstallation", "Change an installation's cap",
		"`max_running` is how many of its executions run at once, in the cluster; 0 leaves it at its tenant's cap. What it cannot run holds up no other installation of the tenant. What is left out stays as it is.")
	limit.Example, limit.bind = `{"max_running":4}`, handle((*server).limitInstallation)

	configure := line(http.MethodPut, one+"/config", "configureInstallation", "Replace an installation's configuration",
		"The body is the configuration: a document that fits the plugin's schema.")
	configure.Example, configure.bind = `{"label":"triage"}`, handle((*server).configureInstallation)

	grant := line(http.MethodPut, one+"/grants", "grantInstallation", "Replace an installation's grants",
		"They are never more than the manifest asks for.")
	grant.Example = `{"egress":[{"host":"api.github.com","methods":["GET","POST"]}],"connections":{"github":"github"}}`
	grant.bind = handle((*server).grantInstallation)

	upgrade := line(http.MethodPost, one+"/upgrade", "upgradeInstallation", "Move an installation to another version",
		"The configuration must fit that version's schema. Executions that have begun stay on the version that they began with. If the version asks for more than is granted, nothing moves: the answer is 202, and `upgrade` lists what is asked for. Ask again with its `digest`, or with `consent`, to allow that and move; grants that were narrowed stay narrow otherwise. An installation that goes to another version than its channel offers follows it no longer.")
	upgrade.Also = map[int]string{http.StatusAccepted: "It waits for consent, or for something else that `upgrade` names: nothing has moved."}
	upgrade.Example, upgrade.bind = `{"version":"0.2.0"}`, handle((*server).upgradeInstallation)

	follow := line(http.MethodPut, one+"/channel", "followChannel", "Have an installation follow a channel, or pin it",
		"It goes to what the channel offers now and later on, forward only. A version that asks for more than is granted waits for consent in `upgrade`. Without a channel it stays on the version that it has.")
	follow.Example, follow.bind = `{"channel":"stable"}`, handle((*server).followChannel)

	rollback := line(http.MethodPost, one+"/rollback", "rollbackInstallation", "Move an installation back to the version before",
		"The one that it ran before its last upgrade. It follows its channel no longer.")
	rollback.bind = handle((*server).rollbackInstallation)

	pause := line(http.MethodPost, one+"/pause", "pauseInstallation", "Pause an installation",
		"Events are accepted and kept, and nothing runs until it is resumed.")
	pause.bind = handle((*server).pauseInstallation)

	resume := line(http.MethodPost, one+"/resume", "resumeInstallation", "Resume an installation", "What has gathered is run.")
	resume.bind = handle((*server).resumeInstallation)

	return []route{list, create, get, limit, remove, configure, grant, upgrade, follow, rollback, pause, resume}
}

// grantsBody is installation.Grants with everything optional.
type grantsBody struct {
	Egress      []egressBody      `json:"egress,omitempty" nullable:"false" doc:"The hosts and methods that it may use."`
	Connections map[string]string `json:"connections,omitempty" doc:"The connections that it may use: the name that the plugin uses, and the connection's id or name."`
	Functions   []string          `json:"functions,omitempty" nullable:"false" doc:"Host functions beyond the built-in ones."`
	Limits      *wishedLimits     `json:"limits,omitempty" doc:"Less than the manifest asks for."`
}

type egressBody struct {
	Host    string   `json:"host" doc:"A host, as the manifest names it." example:"api.github.com"`
	Methods []string `json:"methods" nullable:"false" doc:"HTTP methods."`
}

type wishedLimits struct {
	MemoryMiB int   `json:"memory_mib,omitempty" minimum:"0" doc:"The memory of a call in MiB. 0 is the default."`
	TimeoutMS int   `json:"timeout_ms,omitempty" minimum:"0" doc:"The time of a call in milliseconds. 0 is the default."`
	StreamMiB int   `json:"stream_mib,omitempty" minimum:"0" doc:"The most of a body that passes in chunks, in MiB. 0 is the default."`
	Fuel      int64 `json:"fuel,omitempty" minimum:"0" doc:"The fuel of a call. 0 is the default."`
}

func (b grantsBody) grants() installation.Grants {
	g := installation.Grants{Connections: b.Connections, Functions: b.Functions}
	for _, e := range b.Egress {
		g.Egress = append(g.Egress, manifest.Egress(e))
	}
	if b.Limits != nil {
		g.Limits = manifest.Limits(*b.Limits)
	}
	return g
}

// installationView is an installation and what its tenant should know of the version
// that it runs.
type installationView struct {
	installation.Installation
	Warnings []string `json:"warnings,omitempty" nullable:"false" doc:"What to know of the version that it runs: that it was yanked, or is deprecated, and why."`
}

// viewed adds the warnings to an installation.
func (s *server) viewed(ctx context.Context, i installation.Installation, err error) (*answer[installationView], error) {
	if err != nil {
		return nil, err
	}
	all, err := s.views(ctx, []installation.Installation{i})
	if err != nil {
		return nil, err
	}
	return &answer[installationView]{Body: all[0]}, nil
}

// views looks each version up once.
func (s *server) views(ctx context.Context, all []installation.Installation) ([]installationView, error) {
	warnings := map[string][]string{}
	views := make([]installationView, len(all))
	for n, i := range all {
		said, known := warnings[i.VersionID]
		if !known {
			var err error
			if said, err = s.h.Plugins.Warnings(ctx, i.VersionID); err != nil {
				return nil, err
			}
			warnings[i.VersionID] = said
		}
		views[n] = installationView{Installation: i, Warnings: said}
	}
	return views, nil
}

func (s *server) listInstallations(ctx context.Context, _ *param.InTenant) (*answer[page[installationView]], error) {
	all, err := s.h.Installations.List(ctx, tenantOf(ctx))
	if err != nil {
		return nil, err
	}
	return listed(s.views(ctx, all))
}

type createInstallationInput struct {
	param.InTenant
	Body struct {
		Plugin  string          `json:"plugin" doc:"A plugin: its version's id, or name, name@version, publisher/name or publisher/name@version." example:"hello-go@0.1.0"`
		Channel string          `json:"channel,omitempty" enum:"stable,beta" doc:"The channel to follow. Left out, the version is pinned."`
		Name    string          `json:"name,omitempty" doc:"Unique among the tenant's installations. Defaults to the plugin's."`
		Config  json.RawMessage `json:"config,omitempty" doc:"What the plugin's schema asks for."`
		Grants  *grantsBody     `json:"grants,omitempty" doc:"What it may do. Defaults to all that the manifest asks for; connections of the names that it uses are granted."`
		Running int             `json:"max_running,omitempty" minimum:"0" maximum:"10000" doc:"How many of its executions run at once, in the cluster. Defaults to 0: as many as the tenant's."`
	}
}

func (s *server) createInstallation(ctx context.Context, in *createInstallationInput) (*answer[installationView], error) {
	spec := installation.Spec{Plugin: in.Body.Plugin, Channel: channel.Channel(in.Body.Channel), Name: in.Body.Name, Config: in.Body.Config, MaxRunning: in.Body.Running}
	if in.Body.Grants != nil {
		g := in.Body.Grants.grants()
		spec.Grants = &g
	}
	i, err := s.h.Installations.Create(ctx, tenantOf(ctx), spec)
	return s.viewed(ctx, i, err)
}

func (s *server) getInstallation(ctx context.Context, in *param.OneInstallation) (*answer[installationView], error) {
	i, err := s.h.Installations.Get(ctx, tenantOf(ctx), in.Installation)
	return s.viewed(ctx, i, err)
}

type limitInstallationInput struct {
	param.OneInstallation
	Body struct {
		Running *int `json:"max_running,omitempty" minimum:"0" maximum:"10000" doc:"How many of its executions run at once, in the cluster; 0 is as many as the tenant's. Defaults to as it is."`
	}
}

func (s *server) limitInstallation(ctx context.Context, in *limitInstallationInput) (*answer[installationView], error) {
	if in.Body.Running == nil {
		i, err := s.h.Installations.Get(ctx, tenantOf(ctx), in.Installation)
		return s.viewed(ctx, i, err)
	}
	i, err := s.h.Installations.Limit(ctx, tenantOf(ctx), in.Installation, *in.Body.Running)
	return s.viewed(ctx, i, err)
}

func (s *server) removeInstallation(ctx context.Context, in *param.OneInstallation) (*nothing, error) {
	return nil, s.h.Installations.Uninstall(ctx, tenantOf(ctx), in.Installation)
}

type configureInput struct {
	param.OneInstallation
	Body json.RawMessage
}

func (s *server) configureInstallation(ctx context.Context, in *configureInput) (*answer[installationView], error) {
	i, err := s.h.Installations.Configure(ctx, tenantOf(ctx), in.Installation, in.Body)
	return s.viewed(ctx, i, err)
}

type grantInput struct {
	param.OneInstallation
	Body grantsBody
}

func (s *server) grantInstallation(ctx context.Context, in *grantInput) (*answer[installationView], error) {
	i, err := s.h.Installations.Grant(ctx, tenantOf(ctx), in.Installation, in.Body.grants())
	return s.viewed(ctx, i, err)
}

type upgradeInput struct {
	param.OneInstallation
	Body *struct {
		Version string          `json:"version,omitempty" doc:"A version of the same plugin. Defaults to the one that is waited for when there is consent, else to what the channel offers, else to the newest." example:"0.2.0"`
		Config  json.RawMessage `json:"config,omitempty" doc:"The configuration to go with it. Defaults to the one that there is."`
		Consent bool            `json:"consent,omitempty" doc:"Allow all that the version asks for."`
		Digest  string          `json:"digest,omitempty" maxLength:"100" doc:"Allow exactly what an upgrade with this digest has listed; refused if it is something else by now."`
	}
}

// moving is an answer that says whether an installation has moved.
type moving struct {
	Status int
	Body   installationView
}

func (s *server) upgradeInstallation(ctx context.Context, in *upgradeInput) (*moving, error) {
	var m installation.Move
	if in.Body != nil {
		m = installation.Move{Version: in.Body.Version, Config: in.Body.Config, Consent: in.Body.Consent, Digest: in.Body.Digest}
	}
	i, err := s.h.Installations.Upgrade(ctx, tenantOf(ctx), in.Installation, m)
	v, err := s.viewed(ctx, i, err)
	if err != nil {
		return nil, err
	}
	status := http.StatusOK
	if i.Upgrade != nil {
		status = http.StatusAccepted
	}
	return &moving{Status: status, Body: v.Body}, nil
}

type followInput struct {
	param.OneInstallation
	Body struct {
		Channel string `json:"channel" enum:"stable,beta," doc:"The channel; empty to stay on the version that it has."`
	}
}

func (s *server) followChannel(ctx context.Context, in *followInput) (*answer[installationView], error) {
	i, err := s.h.Installations.Follow(ctx, tenantOf(ctx), in.Installation, channel.Channel(in.Body.Channel))
	return s.viewed(ctx, i, err)
}

func (s *server) rollbackInstallation(ctx context.Context, in *param.OneInstallation) (*answer[installationView], error) {
	i, err := s.h.Installations.Rollback(ctx, tenantOf(ctx), in.Installation)
	return s.viewed(ctx, i, err)
}

func (s *server) pauseInstallation(ctx context.Context, in *param.OneInstallation) (*answer[installationView], error) {
	i, err := s.h.Installations.Pause(ctx, tenantOf(ctx), in.Installation)
	return s.viewed(ctx, i, err)
}

func (s *server) resumeInstallation(ctx context.Context, in *param.OneInstallation) (*answer[installationView], error) {
	i, err := s.h.Installations.Resume(ctx, tenantOf(ctx), in.Installation)
	return s.viewed(ctx, i, err)
}

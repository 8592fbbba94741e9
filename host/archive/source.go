package archive

import (
	"context"

	"github.com/cofferdam-run/cofferdam/host/alert"
	"github.com/cofferdam-run/cofferdam/host/app"
	"github.com/cofferdam-run/cofferdam/host/audit"
	"github.com/cofferdam-run/cofferdam/host/connection"
	"github.com/cofferdam-run/cofferdam/host/destination"
	"github.com/cofferdam-run/cofferdam/host/endpoint"
	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/installation"
	"github.com/cofferdam-run/cofferdam/host/job"
	"github.com/cofferdam-run/cofferdam/host/notice"
	"github.com/cofferdam-run/cofferdam/host/pace"
	"github.com/cofferdam-run/cofferdam/host/schedule"
	"github.com/cofferdam-run/cofferdam/host/tenant"
	"github.com/cofferdam-run/cofferdam/host/token"
	"github.com/cofferdam-run/cofferdam/host/usage"
	"github.com/cofferdam-run/cofferdam/hostfns/state"
	"github.com/cofferdam-run/cofferdam/registry"
	"github.com/cofferdam-run/cofferdam/registry/signature"
)

// Source is what an archive is read from, by the methods that everybody reads by, so that
// what is sealed is opened, and what nobody may see is not there.
type Source interface {
	Things
	Paces
	Schedules
	Outlets
	Work
	Rest
}

// Things are what a tenant has set up.
type Things interface {
	Tenant(ctx context.Context, idOrName string) (tenant.Tenant, error)
	// InstallationIDs lists installations after one, the removed ones too, by id.
	InstallationIDs(ctx context.Context, tenant, after string, limit int) ([]string, error)
	Installation(ctx context.Context, tenant, idOrName string) (installation.Installation, error)
	Connections(ctx context.Context, tenant string) ([]connection.Connection, error)
	Apps(ctx context.Context, tenant string) ([]app.App, error)
	Endpoints(ctx context.Context, tenant string) ([]endpoint.Endpoint, error)
	Tokens(ctx context.Context, tenant string) ([]token.Token, error)
	Notices(ctx context.Context, tenant, before string, limit int) ([]notice.Notice, error)
}

// Paces are how requests go with its connections.
type Paces interface {
	Paces(ctx context.Context, tenant string) ([]pace.Pace, error)
}

// Schedules are what it has done at times.
type Schedules interface {
	Schedule(ctx context.Context, tenant, idOrName string) (schedule.Schedule, error)
	Schedules(ctx context.Context, tenant string, f schedule.Filter) ([]schedule.Schedule, error)
}

// Outlets are what it has sent, and is told of.
type Outlets interface {
	Destinations(ctx context.Context, tenant, before string, limit int) ([]destination.Destination, error)
	Watches(ctx context.Context, tenant string) ([]alert.Watch, error)
}

// Work is what was done for it.
type Work interface {
	Events(ctx context.Context, tenant string, f event.Filter) ([]event.Event, error)
	Executions(ctx context.Context, tenant string, f execution.Filter) ([]execution.Execution, error)
	Trace(ctx context.Context, tenant, id string) (execution.Trace, error)
	Journal(ctx context.Context, tenant, id string) (execution.Recorded, error)
	State(tenant, installation string) state.Reader
	// Polls lists the polls of an installation that have a checkpoint, after one.
	Polls(ctx context.Context, tenant, installation, after string, limit int) ([]string, error)
	Cursor(ctx context.Context, tenant, installation, poll string) ([]byte, error)
	Jobs(ctx context.Context, tenant string, f job.Filter) ([]job.Job, error)
}

// Rest is what is known of it besides.
type Rest interface {
	UsageByDay(ctx context.Context, tenant, installation string, r usage.Range) ([]usage.Total, error)
	Acts(ctx context.Context, f audit.Filter) ([]audit.Leaf, error)
	Publishers(ctx context.Context) ([]registry.Publisher, error)
	PublisherKeys(ctx context.Context, publisher string) ([]signature.Key, error)
	Plugins(ctx context.Context, v registry.Viewer) ([]registry.Plugin, error)
	Versions(ctx context.Context, v registry.Viewer, plugin string) (registry.Plugin, []registry.Version, error)
}

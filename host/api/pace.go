package api

import (
	"context"
	"net/http"

	"github.com/cofferdam-run/cofferdam/host/api/internal/param"
	"github.com/cofferdam-run/cofferdam/host/pace"
	"github.com/cofferdam-run/cofferdam/host/token"
)

func paceRoutes() []route {
	const one = "/v1/tenants/{tenant}/connections/{connection}"
	line := func(method, path, id, summary, description string) route {
		return route{
			Method: method, Path: one + path, Reach: owned, Scope: token.Admin, ID: id, Tag: "connections",
			Summary: summary, Description: description,
		}
	}
	get := line(http.MethodGet, "/pace", "getConnectionPace", "Show how requests go with a connection",
		"Its rate, its breaker, whether it is paused, and what waits for it. Of one that is paused also what is in flight still.")
	get.Scope, get.bind = token.Read, handle((*server).getPace)

	rate := line(http.MethodPut, "/rate", "setConnectionRate", "Set a connection's rate",
		"How many requests are made with it, by all processes and all plugins together. It takes the place of what plugins' manifests say; without `per_second` it is theirs to say again. "+
			"What does not get its turn soon waits, and that counts as no attempt.")
	rate.Example, rate.bind = `{"per_second":10,"burst":10}`, handle((*server).setRate)

	pause := line(http.MethodPost, "/pause", "pauseConnection", "Pause a connection",
		"Nothing more is sent with it within a second or so: what asks for it waits until it is resumed. `drain` of its pace says what is in flight still.")
	pause.bind = handle((*server).pauseConnection)

	resume := line(http.MethodPost, "/resume", "resumeConnection", "Resume a connection", "What waits for it goes on.")
	resume.bind = handle((*server).resumeConnection)

	reset := line(http.MethodPost, "/reset-breaker", "resetConnectionBreaker", "Close a connection's breaker",
		"It is open where what goes with the connection fails, and closes by itself once a request that tries it succeeds. What waits for that goes on now.")
	reset.bind = handle((*server).resetBreaker)
	return []route{get, rate, pause, resume, reset}
}

func (s *server) getPace(ctx context.Context, in *param.OneConnection) (*answer[pace.Standing], error) {
	return answered(s.h.Paces.Get(ctx, tenantOf(ctx), in.Connection))
}

type setRateInput struct {
	param.OneConnection
	Body struct {
		PerSecond float64 `json:"per_second,omitempty" minimum:"0" doc:"How many requests come to be allowed in a second; left out for what plugins' manifests say."`
		Burst     int     `json:"burst,omitempty" minimum:"0" doc:"How many that were not made can be made up for at once. Left out, it is what comes in a tenth of a second, and one at least."`
	}
}

func (s *server) setRate(ctx context.Context, in *setRateInput) (*answer[pace.Standing], error) {
	return answered(s.h.Paces.SetRate(ctx, tenantOf(ctx), in.Connection, pace.Rate{PerSecond: in.Body.PerSecond, Burst: in.Body.Burst}))
}

func (s *server) pauseConnection(ctx context.Context, in *param.OneConnection) (*answer[pace.Standing], error) {
	return answered(s.h.Paces.Pause(ctx, tenantOf(ctx), in.Connection))
}

func (s *server) resumeConnection(ctx context.Context, in *param.OneConnection) (*answer[pace.Standing], error) {
	return answered(s.h.Paces.Resume(ctx, tenantOf(ctx), in.Connection))
}

func (s *server) resetBreaker(ctx context.Context, in *param.OneConnection) (*answer[pace.Standing], error) {
	return answered(s.h.Paces.Reset(ctx, tenantOf(ctx), in.Connection))
}

package api

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/cofferdam-run/cofferdam/host/api/internal/param"
	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/ident"
	"github.com/cofferdam-run/cofferdam/host/schedule"
	"github.com/cofferdam-run/cofferdam/host/token"
)

func scheduleRoutes() []route {
	const all, one = "/v1/tenants/{tenant}/schedules", "/v1/tenants/{tenant}/schedules/{schedule}"
	line := func(method, path, id, summary, description string) route {
		return route{
			Method: method, Path: path, ID: id, Summary: summary, Description: description,
			Reach: owned, Scope: token.Admin, Tag: "schedules",
		}
	}
	list := line(http.MethodGet, all, "listSchedules", "List schedules", "The newest first, without their inputs.")
	list.Scope, list.bind = token.Read, handle((*server).listSchedules)

	create := line(http.MethodPost, all, "createSchedule", "Have something done at times",
		"A poll or an action of an installation, by a cron expression in a time zone, at intervals, or once. Of a poll `when` may be left out: then it is the interval that the plugin suggests. "+
			"An expression that names hours says what the clock on the wall shows: a minute that daylight saving time leaves out comes at the first instant after the gap, and one that it repeats comes once. "+
			"One of every hour means instants.")
	create.Status, create.bind = http.StatusCreated, handle((*server).createSchedule)
	create.Example = `{"name":"nightly","installation":"hello-go","action":"sync","input":{"full":true},"when":{"cron":"30 3 * * mon-fri","time_zone":"Europe/Berlin"}}`

	preview := line(http.MethodPost, all+"/preview", "previewSchedule", "Show when a schedule would tick",
		"Nothing is stored. The instants are in the time zone that is asked for, without the delay that a jitter brings.")
	preview.Scope, preview.Example = token.Read, `{"when":{"cron":"30 2 * * *","time_zone":"America/New_York"},"count":5}`
	preview.bind = handle((*server).previewSchedule)

	get := line(http.MethodGet, one, "getSchedule", "Show a schedule", "With its input, when it ticks next, and what it last caused.")
	get.Scope, get.bind = token.Read, handle((*server).getSchedule)

	next := line(http.MethodGet, one+"/next", "nextTicks", "Show when a schedule ticks next", "As previewSchedule, also of one that is paused.")
	next.Scope, next.bind = token.Read, handle((*server).nextTicks)

	update := line(http.MethodPatch, one, "updateSchedule", "Change a schedule",
		"What is left out stays. With another `when` or `jitter_s` it goes on from now; one that has ended is active again.")
	update.Example, update.bind = `{"when":{"every":"15m"}}`, handle((*server).updateSchedule)

	remove := line(http.MethodDelete, one, "deleteSchedule", "Delete a schedule", "What it has caused goes on.")
	remove.Status, remove.bind = http.StatusNoContent, handle((*server).deleteSchedule)

	pause := line(http.MethodPost, one+"/pause", "pauseSchedule", "Pause a schedule", "While it is paused there are no ticks, and none is missed.")
	pause.bind = handle((*server).pauseSchedule)

	resume := line(http.MethodPost, one+"/resume", "resumeSchedule", "Resume a schedule", "It goes on from now.")
	resume.bind = handle((*server).resumeSchedule)

	run := line(http.MethodPost, one+"/run", "runSchedule", "Run a schedule now",
		"Whatever its state is, and whether or not the execution before is done. It does not wait for the execution.")
	run.Status, run.bind = http.StatusAccepted, handle((*server).runSchedule)

	return []route{list, create, preview, get, next, update, remove, pause, resume, run}
}

type listSchedulesInput struct {
	param.InTenant
	param.Page
	Installation string `query:"installation" doc:"Only those of an installation, by id or name."`
}

func (s *server) listSchedules(ctx context.Context, in *listSchedulesInput) (*answer[page[schedule.Schedule]], error) {
	installation, err := s.installationID(ctx, in.Installation)
	if err != nil {
		return nil, err
	}
	return paged(in.Page, ident.Schedule, func(before string, limit int) ([]schedule.Schedule, error) {
		return s.h.Schedules.List(ctx, tenantOf(ctx), schedule.Filter{Installation: installation, Before: before, Limit: limit})
	}, func(sch schedule.Schedule) string { return sch.ID })
}

type createScheduleInput struct {
	param.InTenant
	Body struct {
		Name         string          `json:"name,omitempty" doc:"What the tenant calls it. Defaults to the name of the poll or action." example:"nightly"`
		Installation string          `json:"installation" doc:"The installation's id or name." example:"hello-go"`
		Poll         string          `json:"poll,omitempty" doc:"The poll that it calls for. Of poll and action one is given."`
		Action       string          `json:"action,omitempty" doc:"The action that it calls." example:"sync"`
		Input        json.RawMessage `json:"input,omitempty" doc:"The action's input, as callAction takes it."`
		When         *schedule.When  `json:"when,omitempty" doc:"At which instants. Defaults, for a poll, to the interval that the plugin suggests, and to 10 s where that is shorter."`
		Overlap      string          `json:"overlap,omitempty" enum:"skip,queue,cancel_old" doc:"What a tick does while the execution of the one before is not done: be left out, wait (100 at most do), or cancel the other. Defaults to skip."`
		Missed       string          `json:"missed,omitempty" enum:"one,all,none" doc:"What becomes of ticks that were due while no server ran: the latest fires, or the latest 100 do one after the other (with the overlap queue only), or none that is a minute late. Defaults to one."`
		JitterS      int64           `json:"jitter_s,omitempty" minimum:"0" maximum:"3600" doc:"The most seconds by which ticks come later, so that not all come at once. By how many is the schedule's own, and always the same."`
		Paused       bool            `json:"paused,omitempty" doc:"Whether it begins paused."`
	}
}

func (s *server) createSchedule(ctx context.Context, in *createScheduleInput) (*answer[schedule.Schedule], error) {
	b := in.Body
	spec := schedule.Spec{
		Name: b.Name, Installation: b.Installation, Poll: b.Poll, Action: b.Action, Input: b.Input,
		Overlap: schedule.Overlap(b.Overlap), Missed: schedule.Missed(b.Missed), JitterS: b.JitterS, Paused: b.Paused,
	}
	if b.When != nil {
		spec.When = *b.When
	}
	return answered(s.h.Schedules.Create(ctx, tenantOf(ctx), spec))
}

// ticks are instants.
type ticks struct {
	Times []time.Time `json:"times" nullable:"false" doc:"The instants, in the schedule's time zone."`
}

func (s *server) upcoming(ctx context.Context, w schedule.When, count int) (*answer[ticks], error) {
	times, err := s.h.Schedules.Upcoming(ctx, w, count)
	return answered(ticks{Times: times}, err)
}

type previewScheduleInput struct {
	param.InTenant
	Body struct {
		When  schedule.When `json:"when" doc:"At which instants."`
		Count int           `json:"count,omitempty" minimum:"1" maximum:"100" default:"5" doc:"How many to show at most."`
	}
}

func (s *server) previewSchedule(ctx context.Context, in *previewScheduleInput) (*answer[ticks], error) {
	return s.upcoming(ctx, in.Body.When, in.Body.Count)
}

func (s *server) getSchedule(ctx context.Context, in *param.OneSchedule) (*answer[schedule.Schedule], error) {
	return answered(s.h.Schedules.Get(ctx, tenantOf(ctx), in.Schedule))
}

type nextTicksInput struct {
	param.OneSchedule
	Count int `query:"count" minimum:"1" maximum:"100" default:"5" doc:"How many to show at most."`
}

func (s *server) nextTicks(ctx context.Context, in *nextTicksInput) (*answer[ticks], error) {
	sch, err := s.h.Schedules.Get(ctx, tenantOf(ctx), in.Schedule)
	if err != nil {
		return nil, err
	}
	if sch.State == schedule.Ended {
		return answered(ticks{Times: []time.Time{}}, nil)
	}
	return s.upcoming(ctx, sch.When, in.Count)
}

type updateScheduleInput struct {
	param.OneSchedule
	Body struct {
		Name    *string         `json:"name,omitempty" doc:"Another name."`
		Input   json.RawMessage `json:"input,omitempty" doc:"Another input of the action."`
		When    *schedule.When  `json:"when,omitempty" doc:"Other instants, as a whole."`
		Overlap *string         `json:"overlap,omitempty" enum:"skip,queue,cancel_old" doc:"Another policy for overlaps."`
		Missed  *string         `json:"missed,omitempty" enum:"one,all,none" doc:"Another policy for what was missed."`
		JitterS *int64          `json:"jitter_s,omitempty" minimum:"0" maximum:"3600" doc:"Another jitter."`
	}
}

func (s *server) updateSchedule(ctx context.Context, in *updateScheduleInput) (*answer[schedule.Schedule], error) {
	b := in.Body
	return answered(s.h.Schedules.Update(ctx, tenantOf(ctx), in.Schedule, schedule.Change{
		Name: b.Name, Input: b.Input, When: b.When, JitterS: b.JitterS,
		Overlap: (*schedule.Overlap)(b.Overlap), Missed: (*schedule.Missed)(b.Missed),
	}))
}

func (s *server) deleteSchedule(ctx context.Context, in *param.OneSchedule) (*nothing, error) {
	return nil, s.h.Schedules.Delete(ctx, tenantOf(ctx), in.Schedule)
}

func (s *server) pauseSchedule(ctx context.Context, in *param.OneSchedule) (*answer[schedule.Schedule], error) {
	return answered(s.h.Schedules.Pause(ctx, tenantOf(ctx), in.Schedule))
}

func (s *server) resumeSchedule(ctx context.Context, in *param.OneSchedule) (*answer[schedule.Schedule], error) {
	return answered(s.h.Schedules.Resume(ctx, tenantOf(ctx), in.Schedule))
}

func (s *server) runSchedule(ctx context.Context, in *param.OneSchedule) (*answer[event.Accepted], error) {
	return answered(s.h.Schedules.RunNow(ctx, tenantOf(ctx), in.Schedule))
}

package api

import (
	"context"
	"net/http"

	"github.com/cofferdam-run/cofferdam/host/api/internal/param"
	"github.com/cofferdam-run/cofferdam/host/ident"
	"github.com/cofferdam-run/cofferdam/host/token"
	"github.com/cofferdam-run/cofferdam/host/vault/rotation"
)

func keyRotationRoutes() []route {
	const all, one = "/v1/tenants/{tenant}/key-rotations", "/v1/tenants/{tenant}/key-rotations/{rotation}"
	line := func(method, path, id, summary, description string) route {
		return route{
			Method: method, Path: path, ID: id, Summary: summary, Description: description,
			Reach: owned, Scope: token.Admin, Tag: "tenants",
		}
	}
	start := line(http.MethodPost, all, "startKeyRotation", "Replace a tenant's key",
		"The tenant gets another key, all that is sealed is sealed anew with it, and then the ones before are destroyed: what they sealed opens no more, also not out of a backup that is put back. "+
			"Everything goes on meanwhile. It goes on after a crash of the server where it was.")
	start.Status, start.bind = http.StatusCreated, handle((*server).startKeyRotation)

	list := line(http.MethodGet, all, "listKeyRotations", "List the rotations of a tenant's key", "The newest first.")
	list.Scope, list.bind = token.Read, handle((*server).listKeyRotations)

	get := line(http.MethodGet, one, "getKeyRotation", "Show a rotation of a tenant's key", "How far it has come.")
	get.Scope, get.bind = token.Read, handle((*server).getKeyRotation)

	pause := line(http.MethodPost, one+"/pause", "pauseKeyRotation", "Pause a rotation", "It stops within about a second. All keys stay.")
	pause.bind = handle((*server).pauseKeyRotation)

	resume := line(http.MethodPost, one+"/resume", "resumeKeyRotation", "Resume a rotation", "One that was paused, or has failed, goes on where it was.")
	resume.bind = handle((*server).resumeKeyRotation)

	cancel := line(http.MethodPost, one+"/cancel", "cancelKeyRotation", "Cancel a rotation", "All keys stay, the new one among them, until another rotation comes to its end.")
	cancel.bind = handle((*server).cancelKeyRotation)

	return []route{start, list, get, pause, resume, cancel}
}

func (s *server) startKeyRotation(ctx context.Context, _ *param.InTenant) (*answer[rotation.Rotation], error) {
	return answered(s.h.Rotations.Start(ctx, tenantOf(ctx)))
}

type listKeyRotationsInput struct {
	param.InTenant
	param.Page
}

func (s *server) listKeyRotations(ctx context.Context, in *listKeyRotationsInput) (*answer[page[rotation.Rotation]], error) {
	return paged(in.Page, ident.Job, func(before string, limit int) ([]rotation.Rotation, error) {
		return s.h.Rotations.List(ctx, tenantOf(ctx), before, limit)
	}, func(r rotation.Rotation) string { return r.ID })
}

func (s *server) getKeyRotation(ctx context.Context, in *param.OneKeyRotation) (*answer[rotation.Rotation], error) {
	return answered(s.h.Rotations.Get(ctx, tenantOf(ctx), in.Rotation))
}

func (s *server) pauseKeyRotation(ctx context.Context, in *param.OneKeyRotation) (*answer[rotation.Rotation], error) {
	return answered(s.h.Rotations.Pause(ctx, tenantOf(ctx), in.Rotation))
}

func (s *server) resumeKeyRotation(ctx context.Context, in *param.OneKeyRotation) (*answer[rotation.Rotation], error) {
	return answered(s.h.Rotations.Resume(ctx, tenantOf(ctx), in.Rotation))
}

func (s *server) cancelKeyRotation(ctx context.Context, in *param.OneKeyRotation) (*answer[rotation.Rotation], error) {
	return answered(s.h.Rotations.Cancel(ctx, tenantOf(ctx), in.Rotation))
}

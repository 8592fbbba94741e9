package api

import (
	"bytes"
	"context"
	"fmt"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"

	"github.com/cofferdam-run/cofferdam/host/api/internal/param"
	"github.com/cofferdam-run/cofferdam/host/token"
	"github.com/cofferdam-run/cofferdam/hostfns/replay"
)

// recordingType is text, so that a browser shows one.
const recordingType = "text/plain; charset=utf-8"

func recordingRoutes() []route {
	return []route{{
		Method: http.MethodGet, Path: "/v1/tenants/{tenant}/executions/{execution}/recording",
		Reach: owned, Scope: token.Read, ID: "exportExecution", Tag: "executions",
		Summary: "Export an execution",
		Description: "A file that `cofferdam replay` runs offline, byte for byte: the digest of its plugin, its world, its input, and the answers that it got from outside, without the secrets of connections. " +
			"It is refused with `not_recorded` for one that has not run, or whose journal was purged.",
		Refuses: []int{http.StatusConflict}, shape: shapeRecording, bind: handle((*server).exportExecution),
	}}
}

type exportExecutionInput struct {
	param.OneExecution
	Module bool `query:"module" doc:"Whether the plugin itself is in it."`
}

func (s *server) exportExecution(ctx context.Context, in *exportExecutionInput) (*huma.StreamResponse, error) {
	r, err := s.h.Recording(ctx, tenantOf(ctx), in.Execution, in.Module)
	if err != nil {
		return nil, err
	}
	// Before the first byte is sent, so that an error still has a status.
	var file bytes.Buffer
	if err := replay.Write(&file, r); err != nil {
		return nil, fmt.Errorf("write recording: %w", err)
	}
	return &huma.StreamResponse{Body: func(hc huma.Context) {
		hc.SetHeader("Content-Type", recordingType)
		hc.SetHeader("Content-Disposition", fmt.Sprintf("attachment; filename=%q", in.Execution+replay.Extension))
		if hc.Method() == http.MethodHead {
			return
		}
		_, w := humachi.Unwrap(hc)
		if _, err := w.Write(file.Bytes()); err != nil && ctx.Err() == nil {
			s.report(ctx, err)
		}
	}}, nil
}

func shapeRecording(op *huma.Operation) {
	op.Responses["200"] = &huma.Response{Description: "The recording.", Content: map[string]*huma.MediaType{"text/plain": {Schema: &huma.Schema{
		Type: huma.TypeString, Description: "A line with the format's version and the SHA-256 of what follows, and then a JSON document.",
	}}}}
}

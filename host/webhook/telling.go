package webhook

import (
	"context"
	"time"

	"github.com/cofferdam-run/cofferdam/host/endpoint"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/telemetry"
)

// tell tells of a delivery that was judged from begun to judged: in its execution's trace, or in
// one of its own where it has made none.
func (i *Intake) tell(ctx context.Context, e endpoint.Endpoint, begun, judged time.Time, answer Answer, err error) {
	t := i.c.Tracer
	if t == nil {
		return
	}
	if answer.Execution != "" {
		below, ok := t.Execution(ctx, answer.Execution)
		if !ok {
			return
		}
		ctx = below
	}
	now, code := i.c.Now(), ""
	if err != nil {
		code = fault.From(err).Code
	}
	below := t.Tell(ctx, telemetry.Span{
		Name: "delivery", Kind: telemetry.Server, Begin: begun, End: now, Code: code,
		Attributes: []telemetry.Attribute{
			telemetry.Text("cofferdam.tenant", e.Tenant), telemetry.Text("cofferdam.endpoint", e.ID), telemetry.Text("cofferdam.webhook", e.Webhook),
			telemetry.Text("cofferdam.scheme", e.Scheme), telemetry.Text("cofferdam.event", answer.Event),
			telemetry.Flag("cofferdam.duplicate", answer.Duplicate), telemetry.Flag("cofferdam.handshake", answer.Handshake != nil),
		},
	})
	t.Tell(below, telemetry.Span{Name: "verify", Begin: begun, End: judged})
	if answer.Event != "" {
		t.Tell(below, telemetry.Span{Name: "store", Begin: judged, End: now})
	}
}

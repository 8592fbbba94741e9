package redeliver

import (
	"context"

	"github.com/cofferdam-run/cofferdam/host/event"
)

// Selects says whether a filter selects an event.
func Selects(ctx context.Context, filter string, e event.Event) (selected bool, reason string, err error) {
	c, err := compile(filter)
	if err != nil || c == nil {
		return err == nil, "", err
	}
	return c.selects(ctx, e)
}

// PieceOf is how many events are redelivered in one transaction at a pace.
var PieceOf = pieceOf

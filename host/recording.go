package host

import (
	"context"
	"fmt"

	"github.com/cofferdam-run/cofferdam/hostfns/replay"
)

// Recording gives an execution of a tenant as package replay, and `cofferdam
// replay`, can run it again with no way out: its world, its input, and the answers
// that it got from outside, which hold no secret of a connection. The plugin itself
// is in it if that is asked for. It is a Conflict fault with code not_recorded for
// one that has not run, or whose journal was purged.
func (h *Host) Recording(ctx context.Context, tenant, execution string, withModule bool) (replay.Recording, error) {
	r, err := h.sandbox.Recording(ctx, tenant, execution, withModule)
	if err != nil {
		return replay.Recording{}, fmt.Errorf("record execution: %w", err)
	}
	return r, nil
}

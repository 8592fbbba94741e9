package trial

import (
	"context"
	"errors"
	"fmt"

	"github.com/cofferdam-run/cofferdam/host/worker"
	"github.com/cofferdam-run/cofferdam/runtime"
)

// Verify has a plugin judge a delivery, as a server does before it stores anything. An
// error is the host's: the plugin's own is in the Report, which has no Left.
func Verify(ctx context.Context, m *runtime.Module, v worker.Verification) (*Report, error) {
	result, err := v.Call(ctx, m)
	report := &Report{Output: result.Output, Usage: result.Usage}
	if failure, failed := errors.AsType[*runtime.Failure](err); failed {
		report.Output, report.Failure = nil, failure
		return report, nil
	}
	if err != nil {
		return report, fmt.Errorf("call verify: %w", err)
	}
	return report, nil
}

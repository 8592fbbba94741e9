package hostfns

import (
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// maxSleep is the longest wait of one call: a longer one would hold the guest's
// memory for nothing, where a retry_after_ms in an error holds none.
const maxSleep = 60 * time.Second

// Sleep is the function "sleep". It waits on after, time.After in a program,
// and not past the end of the guest's call.
func Sleep(after func(time.Duration) <-chan time.Time) Func {
	return Func{
		Name:   "sleep",
		Effect: Always(Read),
		Answer: func(ctx context.Context, request json.RawMessage) (any, error) {
			r, err := Decode[sleepRequest](request)
			if err != nil {
				return nil, err
			}
			if r.MS == nil || *r.MS < 0 || *r.MS > maxSleep.Milliseconds() {
				return nil, Errorf(CodeInvalidRequest,
					"\"ms\" must be from 0 to %d: for a longer wait, end with the error \"retry\" and retry_after_ms", maxSleep.Milliseconds())
			}
			select {
			case <-ctx.Done():
				return nil, ctx.Err()
			case <-after(time.Duration(*r.MS) * time.Millisecond):
				return nil, nil
			}
		},
		Summarize: func(request json.RawMessage) string {
			r, err := Decode[sleepRequest](request)
			if err != nil || r.MS == nil {
				return ""
			}
			return fmt.Sprintf("%d ms", *r.MS)
		},
	}
}

type sleepRequest struct {
	MS *int64 `json:"ms"`
}

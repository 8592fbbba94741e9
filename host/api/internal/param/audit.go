package param

import (
	"strconv"

	"github.com/cofferdam-run/cofferdam/host/fault"
)

// Leaves are which piece of the audit log is wanted.
type Leaves struct {
	Cursor string `query:"cursor" maxLength:"20" doc:"The next_cursor of the page before."`
	Limit  int    `query:"limit" minimum:"1" maximum:"100" default:"50" doc:"How many to return at most."`
	Action string `query:"action" maxLength:"64" doc:"Only what was called so." example:"connection.create"`
}

// First is the number of the first leaf that is wanted.
func (p Leaves) First() (int64, error) {
	if p.Cursor == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(p.Cursor, 10, 64)
	if err != nil || n < 0 || n+1 < 0 {
		return 0, fault.New(fault.InvalidInput, "cursor_invalid", "this is not a cursor of this list").
			At("cursor").WithHint("pass the next_cursor of the page before, or nothing to begin")
	}
	return n + 1, nil
}

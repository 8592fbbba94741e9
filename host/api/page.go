package api

import (
	"github.com/cofferdam-run/cofferdam/host/fault"
)

// page is a piece of a list.
type page[T any] struct {
	Items []T `json:"items" nullable:"false" doc:"The things, in the order that the operation says."`
	// NextCursor is the last id of the page: lists are ordered by it.
	NextCursor string `json:"next_cursor" doc:"Pass it as cursor to get what follows. Empty at the end."`
}

// paging is the parameters of a list that comes in pages.
type paging struct {
	Cursor string `query:"cursor" maxLength:"64" doc:"The next_cursor of the page before."`
	Limit  int    `query:"limit" minimum:"1" maximum:"100" default:"50" doc:"How many to return at most."`
}

// cursorLength is that of an id: a prefix of 4 and a ULID of 26.
const cursorLength = 30

// after checks the cursor, which is an id with the prefix.
func (p paging) after(prefix string) (string, error) {
	if p.Cursor == "" || len(p.Cursor) == cursorLength && p.Cursor[:len(prefix)] == prefix {
		return p.Cursor, nil
	}
	return "", fault.New(fault.InvalidInput, "cursor_invalid", "this is not a cursor of this list").
		At("cursor").WithHint("pass the next_cursor of the page before, or nothing to begin")
}

// pageOf makes a page of a list that was asked for one item more than limit, so
// as to know whether more follows.
func pageOf[T any](items []T, limit int, id func(T) string) *answer[page[T]] {
	p := page[T]{Items: items}
	if len(items) > limit {
		p.Items, p.NextCursor = items[:limit], id(items[limit-1])
	}
	if p.Items == nil {
		p.Items = []T{}
	}
	return &answer[page[T]]{Body: p}
}

// listed makes a page of a whole list.
func listed[T any](items []T, err error) (*answer[page[T]], error) {
	if err != nil {
		return nil, err
	}
	return pageOf(items, len(items), func(T) string { return "" }), nil
}

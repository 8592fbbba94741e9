package api

import "github.com/cofferdam-run/cofferdam/host/api/internal/param"

// page is a piece of a list.
type page[T any] struct {
	Items []T `json:"items" nullable:"false" doc:"The things, in the order that the operation says."`
	// NextCursor is the last id of the page: lists are ordered by it.
	NextCursor string `json:"next_cursor" doc:"Pass it as cursor to get what follows. Empty at the end."`
}

// paged reads the page that is asked for: of ids with a prefix, from the one after which
// the page before ended. It asks for one item more than fits.
func paged[T any](in param.Page, prefix string, read func(after string, limit int) ([]T, error), id func(T) string) (*answer[page[T]], error) {
	after, err := in.After(prefix)
	if err != nil {
		return nil, err
	}
	items, err := read(after, in.Limit+1)
	if err != nil {
		return nil, err
	}
	return pageOf(items, in.Limit, id), nil
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

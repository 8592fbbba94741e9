package main

import (
	"encoding/json"
	"maps"
	"strings"

	"github.com/cofferdam-run/cofferdam/sdk/go/connector"
	"github.com/cofferdam-run/cofferdam/sdk/go/connector/code"
)

// PollConfig is the list that the poll looks at.
type PollConfig struct {
	Path   string   `json:"path" title:"Path" doc:"Below the base URL, beginning with a slash. Without it there is nothing to poll." default:"" example:"/contacts"`
	Query  Query    `json:"query,omitempty" title:"Parameters" doc:"Of each request. Sort by what the cursor is, the oldest first, if the API can."`
	Items  string   `json:"items" title:"Items" doc:"Where in the answer the items are, as a JSON pointer; empty if the answer is the list." default:""`
	Keys   []string `json:"keys" title:"Keys" doc:"What tells items apart, as JSON pointers into one. With its time of change among them, an item that has changed is new." default:"[\"/id\"]"`
	Cursor string   `json:"cursor,omitempty" title:"Cursor" doc:"What of an item says how new it is, as a JSON pointer: a number, or a text that sorts, such as a time in UTC. Without it, all of the list is looked at each time."`
	Param  string   `json:"param,omitempty" title:"Parameter" doc:"The parameter by which the API is asked for items since the cursor."`
	Paging Paging   `json:"paging,omitzero" title:"Pages" doc:"How the list is divided into pages."`
}

// Cursor is how far the poll has come.
type Cursor struct {
	// Since is the newest that was seen, a number or a text.
	Since json.RawMessage `json:"since,omitempty"`
}

// maxPages is what one run of the poll looks at: 10,000 items of a usual API. The
// records of more would not fit into an answer.
const maxPages = 100

func poll(ctx *connector.Context, cursor Cursor) (connector.Page[Cursor], error) {
	page := connector.Page[Cursor]{Cursor: cursor}
	var config Config
	if err := ctx.Config(&config); err != nil {
		return page, err
	}
	c := config.Poll
	if err := c.check(); err != nil {
		return page, err
	}
	first := call{path: c.Path, query: maps.Clone(c.Query)}
	if c.Param != "" && cursor.Since != nil {
		if first.query == nil {
			first.query = Query{}
		}
		first.query[c.Param] = cursor.Since
	}
	p, err := newPages(ctx, first, c.Paging)
	if err != nil {
		return page, err
	}
	for range maxPages {
		found, err := p.fetch(ctx, c.Items)
		if err != nil {
			return page, err
		}
		if err := c.take(found, &page); err != nil {
			return page, err
		}
		if p.done {
			return page, nil
		}
	}
	return page, connector.Errorf(code.InvalidInput, "the list has more than %d pages: set poll.param, so that the API is asked for what is new", maxPages)
}

func (c PollConfig) check() error {
	if c.Path == "" {
		return connector.Errorf(code.InvalidInput, "the configuration has no poll.path: there is nothing to poll")
	}
	if len(c.Keys) == 0 {
		return connector.Errorf(code.InvalidInput, "poll.keys is empty: name what tells items apart, such as /id")
	}
	for _, pointer := range append([]string{c.Cursor}, c.Keys...) {
		if err := checkPointer(pointer); err != nil {
			return err
		}
	}
	return nil
}

// take makes records of items, and moves the cursor to the newest.
func (c PollConfig) take(found []json.RawMessage, page *connector.Page[Cursor]) error {
	for _, item := range found {
		key, err := c.keyOf(item)
		if err != nil {
			return err
		}
		page.Records = append(page.Records, connector.Record{Key: key, Data: item})
		if c.Cursor == "" {
			continue
		}
		since := at(item, c.Cursor)
		if since == nil {
			return connector.Errorf(code.ContractChanged, "item %q has nothing at %q, which is to be its cursor", key, c.Cursor)
		}
		if page.Cursor.Since == nil || newer(since, page.Cursor.Since) {
			page.Cursor.Since = since
		}
	}
	return nil
}

func (c PollConfig) keyOf(item json.RawMessage) (string, error) {
	var parts []string
	for _, pointer := range c.Keys {
		part := at(item, pointer)
		if part == nil {
			return "", connector.Errorf(code.ContractChanged, "an item has nothing at %q, which is to be its key", pointer)
		}
		parts = append(parts, word(part))
	}
	return strings.Join(parts, "@"), nil
}

// newer compares cursors: numbers by value, texts by their order. Integers stay what
// they are: an id may have more digits than a float64.
func newer(a, b json.RawMessage) bool {
	if x, y, ok := both[int64](a, b); ok {
		return x > y
	}
	if x, y, ok := both[float64](a, b); ok {
		return x > y
	}
	return word(a) > word(b)
}

// both decodes two values of one type.
func both[T any](a, b json.RawMessage) (x, y T, ok bool) {
	ok = json.Unmarshal(a, &x) == nil && json.Unmarshal(b, &y) == nil
	return x, y, ok
}

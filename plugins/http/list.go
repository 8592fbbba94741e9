package main

import (
	"encoding/json"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/cofferdam-run/cofferdam/sdk/go/connector"
	"github.com/cofferdam-run/cofferdam/sdk/go/connector/code"
)

// Paging is how an API divides a list into pages.
type Paging struct {
	Style string `json:"style" doc:"How pages follow each other: none; link, by the header Link; url or cursor, which the answer has at next; page and offset, which are counted." enum:"none,link,url,cursor,page,offset" default:"none"`
	Next  string `json:"next,omitempty" doc:"Where in the answer the next page's URL or cursor is, as a JSON pointer."`
	Param string `json:"param,omitempty" doc:"The parameter that takes the cursor, the page or the offset. Defaults to the style's name."`
	First int    `json:"first" doc:"The number of the first page." default:"1"`
}

// ListInput is which list, and how it comes.
type ListInput struct {
	Path   string `json:"path" doc:"Below the base URL, beginning with a slash." example:"/contacts"`
	Query  Query  `json:"query,omitempty" doc:"Parameters of each request, such as how many items a page has."`
	Items  string `json:"items" doc:"Where in the answer the items are, as a JSON pointer; empty if the answer is the list." default:"" example:"/data"`
	Paging Paging `json:"paging,omitzero" doc:"How the list is divided into pages."`
	Limit  int    `json:"limit" doc:"How many items at the most." default:"1000"`
}

// ListOutput is the items.
type ListOutput struct {
	Items []json.RawMessage `json:"items" doc:"The items, as they came."`
	More  bool              `json:"more" doc:"There are others beyond the limit."`
}

// list asks for page after page, up to a number of items.
func list(ctx *connector.Context, in ListInput) (ListOutput, error) {
	if in.Limit < 1 {
		return ListOutput{}, connector.Errorf(code.InvalidInput, "the limit is %d: it begins at 1", in.Limit)
	}
	p, err := newPages(ctx, call{path: in.Path, query: in.Query}, in.Paging)
	if err != nil {
		return ListOutput{}, err
	}
	out := ListOutput{Items: []json.RawMessage{}}
	for !p.done {
		found, err := p.fetch(ctx, in.Items)
		if err != nil {
			return ListOutput{}, err
		}
		out.Items = append(out.Items, found...)
		if beyond := len(out.Items) - in.Limit; beyond > 0 || beyond == 0 && !p.done {
			return ListOutput{Items: out.Items[:in.Limit], More: true}, nil
		}
	}
	return out, nil
}

// pages goes from page to page.
type pages struct {
	config Config
	call   call
	paging Paging
	number int
	// done is after the last page.
	done bool
}

func newPages(ctx *connector.Context, first call, paging Paging) (*pages, error) {
	p := &pages{call: first, paging: paging}
	if p.call.query = maps.Clone(first.query); p.call.query == nil {
		p.call.query = Query{}
	}
	if p.paging.Param == "" {
		p.paging.Param = p.paging.Style
	}
	if p.paging.Style == "page" {
		p.count(paging.First)
	}
	if err := checkPointer(p.paging.Next); err != nil {
		return nil, err
	}
	return p, ctx.Config(&p.config)
}

// fetch gets a page, and moves on to the next.
func (p *pages) fetch(ctx *connector.Context, pointer string) ([]json.RawMessage, error) {
	response, err := send(ctx, p.config, p.call)
	if err != nil {
		return nil, err
	}
	if err := response.Err(); err != nil {
		return nil, err
	}
	var document json.RawMessage
	if err := response.Decode(&document); err != nil {
		return nil, err
	}
	found, err := items(document, pointer)
	if err != nil {
		return nil, err
	}
	return found, p.move(document, response, len(found))
}

// move goes to the next page, or is done.
func (p *pages) move(document json.RawMessage, response *connector.Response, n int) error {
	next := at(document, p.paging.Next)
	switch p.paging.Style {
	case "link":
		return p.follow(linkTo(response, "next"))
	case "url":
		return p.follow(word(next))
	case "cursor":
		p.done = next == nil || word(next) == "" || string(next) == "false"
		p.call.query[p.paging.Param] = next
	case "page":
		p.done = n == 0
		p.count(1)
	case "offset":
		p.done = n == 0
		p.count(n)
	default:
		p.done = true
	}
	return nil
}

// count moves the number that says which page is asked for, or which offset.
func (p *pages) count(n int) {
	p.number += n
	p.call.query[p.paging.Param] = json.RawMessage(strconv.Itoa(p.number))
}

// follow goes to a URL that the API gave, relative to the one that was asked. Where it
// may lead, the host decides, as for all requests.
func (p *pages) follow(link string) error {
	if p.done = link == ""; p.done {
		return nil
	}
	target, err := p.call.target(p.config.BaseURL)
	if err != nil {
		return err
	}
	from, err := url.Parse(target)
	if err != nil {
		return connector.Errorf(code.InvalidInput, "the URL %q cannot be read: %w", target, err)
	}
	to, err := from.Parse(link)
	if err != nil {
		return connector.Errorf(code.ContractChanged, "the API's link to the next page is no URL: %w", err)
	}
	p.call.url = to.String()
	return nil
}

// linkTo finds a relation in the header Link, see <https://www.rfc-editor.org/rfc/rfc8288#section-3>.
func linkTo(r *connector.Response, relation string) string {
	for _, header := range r.Header["link"] {
		for link := range strings.SplitSeq(header, ",") {
			target, parameters, _ := strings.Cut(strings.TrimSpace(link), ">")
			for parameter := range strings.SplitSeq(parameters, ";") {
				name, value, _ := strings.Cut(strings.TrimSpace(parameter), "=")
				if name == "rel" && slices.Contains(strings.Fields(strings.Trim(value, `"`)), relation) {
					return strings.TrimPrefix(target, "<")
				}
			}
		}
	}
	return ""
}

package endpoint

import (
	"net/http"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/cofferdam-run/cofferdam/host/document"
	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/fault"
)

const (
	inHeader = "header:"
	// maxOrderBy bounds where the value is, and maxOrdered the bytes of a body in which it
	// is looked for: every delivery is decoded for it.
	maxOrderBy = 256
	maxOrdered = 1 << 20
)

// checkOrder refuses what says no place.
func checkOrder(by string) error {
	name, inHead := strings.CutPrefix(by, inHeader)
	switch {
	case by == "", len(by) <= maxOrderBy && inHead && httpguts.ValidHeaderFieldName(name):
		return nil
	case len(by) <= maxOrderBy && !inHead && document.IsPointer(by):
		return nil
	}
	return fault.New(fault.InvalidInput, "order_by_invalid", "%.64q says no place in a delivery", by).At("/order_by").
		WithHint("Write a JSON pointer into the body, such as /data/object/customer, or header:Name; at most %d bytes.", maxOrderBy)
}

// OrderKey is the key of a delivery's event.Work: deliveries to the endpoint that have
// one value run one after another. It is empty, for no order, if none is asked for, or
// the value is not there, or is no text, number, true or false.
func (e Endpoint) OrderKey(header http.Header, body []byte) string {
	if e.OrderBy == "" {
		return ""
	}
	if name, ok := strings.CutPrefix(e.OrderBy, inHeader); ok {
		if value := header.Get(name); value != "" {
			return event.KeyOf(e.ID, value)
		}
		return ""
	}
	if len(body) > maxOrdered {
		return ""
	}
	if value, ok := document.Scalar(body, e.OrderBy); ok {
		return event.KeyOf(e.ID, value)
	}
	return ""
}

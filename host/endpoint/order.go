package endpoint

import (
	"bytes"
	"encoding/json"
	"net/http"
	"regexp"
	"strings"

	"github.com/cofferdam-run/cofferdam/host/document"
	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/fault"
)

const (
	inHeader = "header:"
	// maxOrderBy bounds where the value is.
	maxOrderBy = 256
)

// headerName is a field name of RFC 9110, section 5.1.
var headerName = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_`|~-]+$")

// checkOrder refuses what says no place in a delivery.
func checkOrder(by string) error {
	name, inHead := strings.CutPrefix(by, inHeader)
	switch {
	case by == "":
		return nil
	case len(by) <= maxOrderBy && inHead && headerName.MatchString(name):
		return nil
	case len(by) <= maxOrderBy && !inHead && document.IsPointer(by):
		return nil
	}
	return fault.New(fault.InvalidInput, "order_by_invalid", "%.64q says no place in a delivery", by).At("/order_by").
		WithHint("Write a JSON pointer into the body, such as /data/object/customer, or header:Name; at most %d bytes.", maxOrderBy)
}

// OrderKey is the key of a delivery's event.Work: deliveries to the endpoint that have
// one value run one after another. It is empty, for no order, if none is asked for, or
// if the value is not there, or is no text, number, true or false. A number counts as it
// is written.
func (e Endpoint) OrderKey(header http.Header, body []byte) string {
	if e.OrderBy == "" {
		return ""
	}
	if name, ok := strings.CutPrefix(e.OrderBy, inHeader); ok {
		return e.orderKey(header.Get(name))
	}
	var decoded any
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	if d.Decode(&decoded) != nil {
		return ""
	}
	value, _ := document.At(decoded, e.OrderBy)
	switch value.(type) {
	case string, json.Number, bool:
		return e.orderKey(document.Text(value))
	default:
		return ""
	}
}

func (e Endpoint) orderKey(value string) string {
	if value == "" {
		return ""
	}
	return event.KeyOf(e.ID, value)
}

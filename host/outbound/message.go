package outbound

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/cofferdam-run/cofferdam/host/destination"
	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/notice"
)

// Message is the body of what is sent.
type Message struct {
	Type      string    `json:"type"`
	Timestamp time.Time `json:"timestamp"`
	Data      any       `json:"data"`
}

// Record is the Data of a record's message.
type Record struct {
	ID           string `json:"id"`
	Tenant       string `json:"tenant"`
	Installation string `json:"installation"`
	Name         string `json:"name"`
	// Key is what the connector tells records of one installation apart by.
	Key string `json:"key,omitempty"`
	// Record is what it has emitted.
	Record json.RawMessage `json:"record"`
}

// TypeOf is the type of a message about a record of a name, or a notice of a kind.
func TypeOf(from Source, name string) string {
	if from == FromRecord {
		return "record." + name
	}
	return strings.Replace(name, "_", ".", 1)
}

// errGone says that what a message was to be made of is not kept any more.
var errGone = errors.New("what it was about is not kept any more")

// body makes the message of a delivery, the same each time.
func (s *Sender) body(ctx context.Context, d Delivery) ([]byte, error) {
	m := Message{Type: d.Type, Timestamp: d.CreatedAt.UTC()}
	switch d.Source {
	case FromRecord:
		e, err := s.c.Store.Event(ctx, d.Tenant, d.Message)
		if err == nil && e.Kind != event.Record {
			err = errGone // Its key is known still, and no more.
		}
		if err != nil {
			return nil, missing(err)
		}
		m.Timestamp, m.Data = e.ReceivedAt.UTC(), recordOf(e)
	case FromNotice:
		n, err := s.c.Store.Notice(ctx, d.Tenant, d.Message)
		if err != nil {
			return nil, missing(err)
		}
		m.Timestamp, m.Data = n.CreatedAt.UTC(), seen(n)
	case FromTest:
		m.Data = map[string]string{"destination": d.Destination, "text": "This is a test. Nothing has happened."}
	}
	b, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encode a message: %w", err)
	}
	return b, nil
}

// seen is a notice as it leaves: when others were told of it is not a part of it, and what
// is the operator's is no tenant's.
func seen(n notice.Notice) notice.Notice {
	n.ToldAt = time.Time{}
	if n.Tenant == destination.Operator {
		n.Tenant = ""
	}
	return n
}

func recordOf(e event.Event) Record {
	r := Record{ID: e.ID, Tenant: e.Tenant, Installation: e.Installation, Name: e.Name, Key: e.DedupeKey, Record: e.Body}
	if !json.Valid(e.Body) {
		r.Record = json.RawMessage("null") // Whatever has stored it: a message is JSON.
	}
	return r
}

func missing(err error) error {
	if f := fault.From(err); f != nil && f.Code == fault.CodeNotFound {
		return errGone
	}
	return err
}

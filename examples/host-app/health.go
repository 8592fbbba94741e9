package main

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/cofferdam-run/cofferdam/host/connection"
	"github.com/cofferdam-run/cofferdam/host/health"
	"github.com/cofferdam-run/cofferdam/host/notice"
)

// condition is how a connection is, in words.
type condition struct {
	State, Tone string
	// Login is whose account it is, Detail what else there is to say, and Error why it broke.
	Login, Detail, Error string
}

func (d *desk) condition(ctx context.Context, who *customer, c connection.Connection) (condition, error) {
	h, err := d.h.Healths.Get(ctx, who.Tenant, c.ID)
	if err != nil {
		return condition{}, err
	}
	var fields struct {
		Account string `json:"account"` // What the provider's lookup has brought.
	}
	_ = json.Unmarshal(c.Fields, &fields) // Without it, nobody is named.
	v := condition{State: "Connected", Tone: "good", Login: fields.Account}
	switch h.State {
	case health.Broken:
		v.State, v.Tone, v.Detail = "Broken", "bad", "since "+h.BrokenSince.Local().Format("15:04:05")
		if h.LastError != nil {
			v.Error = sentence(h.LastError.Message)
		}
	case health.Expiring:
		v.State, v.Tone = "Expiring", "waiting"
	default:
	}
	switch h.Waiting {
	case 0:
	case 1:
		v.Detail += "; one run waits for it"
	default:
		v.Detail += fmt.Sprintf("; %d runs wait for it", h.Waiting)
	}
	return v, nil
}

// told is a notice in words.
type told struct{ Title, Text, Tone string }

// notices are what Cofferdam has to tell the customer of a connection: the last. An app that
// has mail for its customers gets the same by host.Config.Notify.
func (d *desk) notices(ctx context.Context, who *customer, connections map[string]bool) ([]told, error) {
	const most = 20
	all, err := d.h.Notices.List(ctx, who.Tenant, "", most)
	if err != nil {
		return nil, err
	}
	var last []told
	for _, n := range all { // The newest first.
		if !connections[n.Connection] {
			continue
		}
		connections[n.Connection] = false
		at := n.At.Local().Format("15:04:05")
		switch n.Kind {
		case notice.ConnectionBroken:
			last = append(last, told{"Tidebook has to be connected again.", "It has refused our access since " + at + ". Nothing is lost: what is to be done waits.", "bad"})
		case notice.ConnectionMended:
			last = append(last, told{"Tidebook works again,", "since " + at + ".", "good"})
		case notice.ConnectionExpiring:
			last = append(last, told{"Tidebook has to be connected again soon.", "Our access ends at " + n.EndsAt.Local().Format("2006-01-02 15:04") + ".", "bad"})
		default:
		}
	}
	return last, nil
}

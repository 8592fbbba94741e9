package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"

	"github.com/cofferdam-run/cofferdam/host"
	"github.com/cofferdam-run/cofferdam/host/execution"
)

// resolve is what a person does about what is dead. Of ambiguous effects the ledger
// knows: they are sent again, or it is said what was answered. What is quarantined
// gets another chance.
func (s *scene) resolve(ctx context.Context) (err error) {
	db, err := s.place.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	h, err := s.place.host(ctx, db, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	working, stop := context.WithCancel(ctx)
	worked := make(chan error, 1)
	go func() { worked <- h.Run(working) }()
	defer func() {
		stop()
		err = errors.Join(err, <-worked, h.Close(context.WithoutCancel(ctx)))
	}()
	for before := ""; ; {
		dead, err := db.Executions(ctx, s.place.tenant, execution.Filter{State: execution.Dead, Before: before, Limit: listed})
		if err != nil {
			return err
		}
		for _, x := range dead {
			if err := s.decide(ctx, h, x); err != nil {
				return fmt.Errorf("execution %s: %w", x.ID, err)
			}
			before = x.ID
		}
		if len(dead) < listed {
			return nil
		}
	}
}

// decide decides about one, and waits until it has come to its end.
func (s *scene) decide(ctx context.Context, h *host.Host, x execution.Execution) error {
	if x.Error.Code == quarantined {
		if _, err := h.Executions.Redrive(ctx, x.Tenant, x.ID, execution.Resume); err != nil {
			return err
		}
		_, err := h.Executions.Wait(ctx, x.Tenant, x.ID)
		return err
	}
	e, err := h.Store.Event(ctx, x.Tenant, x.Event)
	if err != nil {
		return err
	}
	// The only effect without a key is the one that can be ambiguous.
	decision := execution.Resolution{SendAgain: true}
	for _, f := range s.ledger.Effects() {
		if f.ID == e.DedupeKey+"/mail" && f.Had > 0 {
			decision = execution.Resolution{Answer: json.RawMessage(`{"status":200,"body":"{\"ok\":true}"}`)}
		}
	}
	if _, err := h.Executions.Resolve(ctx, x.Tenant, x.ID, decision); err != nil {
		return err
	}
	_, err = h.Executions.Wait(ctx, x.Tenant, x.ID)
	return err
}

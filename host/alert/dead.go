package alert

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/notice"
)

// lookAtDead tells of executions that have begun to die, and of those that do not any more.
func (a *Alerts) lookAtDead(ctx context.Context) error {
	for {
		n, err := a.c.Store.GatherDead(ctx, batch)
		if err != nil {
			return fmt.Errorf("count what has died: %w", err)
		}
		if n < batch {
			break
		}
	}
	untold, err := a.c.Store.UntoldFailings(ctx, batch)
	if err != nil {
		return fmt.Errorf("find what nobody was told: %w", err)
	}
	for _, f := range untold {
		if err := a.tellFailing(ctx, notice.ExecutionDead, f); err != nil {
			return err
		}
		if err := a.c.Store.FailingTold(ctx, f, a.c.Now()); err != nil {
			return fmt.Errorf("keep what was told: %w", err)
		}
	}
	quiet, err := a.c.Store.QuietFailings(ctx, a.c.Now().Add(-quietAfter), batch)
	if err != nil {
		return fmt.Errorf("find what has ended: %w", err)
	}
	for _, f := range quiet {
		if err := a.tellFailing(ctx, notice.ExecutionQuiet, f); err != nil {
			return err
		}
		if err := a.c.Store.EndFailing(ctx, f); err != nil {
			return fmt.Errorf("forget what has ended: %w", err)
		}
	}
	return nil
}

// tellFailing tells of executions that die for one reason. Each time that they begin to is
// a subject of its own.
func (a *Alerts) tellFailing(ctx context.Context, kind notice.Kind, f Failing) error {
	n := notice.Notice{
		Tenant: f.Tenant, Kind: kind, Installation: f.Installation, Fingerprint: f.Fingerprint, Count: f.Count, Execution: f.Execution,
		FirstAt: f.FirstAt, LastAt: f.LastAt, At: f.FirstAt,
		Subject: f.Installation + " " + string(kind) + " " + f.Fingerprint + " " + strconv.FormatInt(f.FirstAt.UnixMicro(), 10),
	}
	if kind == notice.ExecutionQuiet {
		n.At = f.LastAt
	}
	x, err := a.c.Store.Execution(ctx, f.Tenant, f.Execution)
	if err != nil && !isNotFound(err) {
		return fmt.Errorf("find an execution that died: %w", err)
	}
	if x.Error != nil {
		n.Error = reasonOf(x.Error.Class, x.Error.Code, x.ID)
	}
	found, err := a.c.Find(ctx, f.Tenant, f.Installation)
	if err != nil && !isNotFound(err) {
		return fmt.Errorf("find the installation: %w", err)
	}
	n.Name = found.Name
	if _, err := a.c.Tell(ctx, n); err != nil {
		return fmt.Errorf("tell of executions that die: %w", err)
	}
	return nil
}

// reasonOf is what a notice says of why an execution died. The message is the plugin's: it
// may quote what the execution was given, which is sealed, and a notice is not.
func reasonOf(class fault.Class, code, execution string) *fault.Error {
	return fault.New(class, code, "the execution %s has what the plugin said", execution).
		WithHint("`cofferdam execution show %s` shows it, and what led to it.", execution)
}

func isNotFound(err error) bool {
	f, ok := errors.AsType[*fault.Error](err)
	return ok && f.Code == fault.CodeNotFound
}

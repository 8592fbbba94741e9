package host

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/cofferdam-run/cofferdam/host/audit"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/ident"
	"github.com/cofferdam-run/cofferdam/host/vault"
)

// Audit says how the audit log is kept.
type Audit struct {
	// Signer signs checkpoints and Public verifies them: the same for all servers of one
	// database. See audit.OpenKey. Defaults to none: then nobody can show what the log was.
	Signer note.Signer
	Public note.Verifier
	// Before are the keys that Signer replaces, which sign along. Defaults to none.
	Before []*audit.Key
	// Sinks get checkpoints, the newest first: see audit.FileSink and audit.HTTPSink. One
	// that does not take them holds up nothing, and shows in the log and the metrics.
	// Defaults to none.
	Sinks []audit.Sink
	// Keep is how long entries keep their text. Defaults to 400 days.
	Keep time.Duration
}

// newLog makes the audit log, which must have been signed with the same key.
func newLog(ctx context.Context, c Config) (*audit.Log, error) {
	l := audit.New(audit.Config{
		Store: c.Store, Signer: c.Audit.Signer, Public: c.Audit.Public, Before: c.Audit.Before, Sinks: c.Audit.Sinks, Keep: c.Audit.Keep,
		Holder: ident.New(ident.Worker, c.Now()), Registerer: c.Metrics, Logger: c.Logger, Now: c.Now, After: c.After,
	})
	if err := l.Check(ctx); err != nil {
		return nil, fmt.Errorf("check the audit log: %w", err)
	}
	return l, nil
}

// auditor writes openings of credentials to the audit log: nobody has the plaintext
// before its use is durable. Openings at the same time share a transaction, and what a
// run opens again and again is counted: see account.
type auditor struct{ log *audit.Log }

// Opened implements vault.Auditor.
func (a auditor) Opened(ctx context.Context, o vault.Opening) error {
	use := a.log.Use
	if account, ok := ctx.Value(accountKey{}).(*account); ok {
		use = account.use
	}
	if err := use(ctx, entryOf(o)); err != nil {
		return fmt.Errorf("write the opening to the audit log: %w", err)
	}
	return nil
}

// entryOf is what an opening is in the audit log.
func entryOf(o vault.Opening) audit.Entry {
	e := audit.Entry{
		Who: o.Use.Who, Tenant: o.Tenant, Action: "credential.open", Key: o.Table + "." + o.Name,
		Execution: o.Use.Execution, Purpose: o.Use.Purpose, Result: audit.Done,
	}
	if e.Who == "" {
		e.Who = audit.Host
	}
	if len(o.Records) > 0 {
		e.Object = o.Records[0]
	}
	if n := len(o.Records); n > 1 {
		e.Object, e.Count = e.Object+" and "+strconv.Itoa(n-1)+" more", int64(n)
	}
	if o.Err != nil {
		e.Result = audit.Failed
		if f, ok := errors.AsType[*fault.Error](o.Err); ok {
			e.Code = f.Code
		}
	}
	return e
}

package vault

import (
	"context"
	"log/slog"
)

// Use is who opens something, and what for.
type Use struct {
	// Who is a token, or a part of this program.
	Who string
	// Execution is the one that it is opened for, if it is for one.
	Execution string
	// Purpose is in a word or two, such as "request".
	Purpose string
}

type useKey struct{}

// Using returns a context in which things are opened for u. What u leaves empty
// stays as it was.
func Using(ctx context.Context, u Use) context.Context {
	was := UseOf(ctx)
	if u.Who == "" {
		u.Who = was.Who
	}
	if u.Execution == "" {
		u.Execution = was.Execution
	}
	if u.Purpose == "" {
		u.Purpose = was.Purpose
	}
	return context.WithValue(ctx, useKey{}, u)
}

// UseOf returns what Using has said.
func UseOf(ctx context.Context) Use {
	u, _ := ctx.Value(useKey{}).(Use)
	return u
}

// Opening is a credential that was opened, or was not.
type Opening struct {
	Tenant, Table, Name string
	// Records are one, or those that were sealed anew together.
	Records []string
	Use     Use
	// Err is why it did not open. It has nothing of what is sealed.
	Err error
}

// Auditor keeps account of openings.
type Auditor interface {
	// Opened is called after the opening and before anybody has the plaintext. If it
	// returns an error nobody gets it.
	Opened(ctx context.Context, o Opening) error
}

// logged is the Auditor of those who have none.
type logged struct{ logger *slog.Logger }

// Opened implements Auditor.
func (l logged) Opened(ctx context.Context, o Opening) error {
	level := slog.LevelDebug
	attrs := []slog.Attr{
		slog.String("tenant", o.Tenant), slog.String("table", o.Table), slog.String("field", o.Name),
		slog.Any("records", o.Records), slog.String("who", o.Use.Who),
		slog.String("execution", o.Use.Execution), slog.String("purpose", o.Use.Purpose),
	}
	if o.Err != nil {
		level = slog.LevelWarn
		attrs = append(attrs, slog.Any("error", o.Err))
	}
	l.logger.LogAttrs(ctx, level, "a credential was opened", attrs...)
	return nil
}

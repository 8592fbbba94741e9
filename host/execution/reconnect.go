package execution

import (
	"context"
	"time"
)

// Reconnecting is what waits for connections to work again.
type Reconnecting interface {
	// Reconnect queues what waits for a connection.
	Reconnect(ctx context.Context, tenant, connection string) (int, error)
	// Awaited lists the connections of a tenant, or of all for an empty one, that
	// executions wait for. It counts those: see NextAwaited.
	Awaited(ctx context.Context, tenant string) ([]Awaited, error)
	// NextAwaited is the first connection after one of a tenant, both empty for the very
	// first, that executions wait for, or fault.NotFound. It costs the same however many
	// wait.
	NextAwaited(ctx context.Context, tenant, connection string) (Awaited, error)
	// Stranded queues what waits without end for a connection whose authorization is not
	// broken, or not any more: whoever mended it came before the wait was stored. It
	// returns the tenants.
	Stranded(ctx context.Context) (tenants []string, err error)
}

// Awaited is a connection that executions wait for.
type Awaited struct {
	Tenant, Connection string
	// Waiting is how many they are, Oldest the one that came first, and Since when the
	// first of them began to wait, as far as it has not been tried again since.
	Waiting int
	Oldest  string
	Since   time.Time
}

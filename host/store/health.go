package store

import (
	"context"

	"github.com/cofferdam-run/cofferdam/host/health"
)

// Ailing implements health.Store.
func (s *SQL) Ailing(ctx context.Context) ([]health.Key, error) {
	return list(ctx, s, scanHealthKey,
		`SELECT tenant, connection FROM authorizations WHERE state = 'broken'
		 UNION SELECT tenant, worker FROM executions WHERE `+awaiting+` AND worker <> '' ORDER BY 1, 2`)
}

func scanHealthKey(r scanner) (health.Key, error) {
	var k health.Key
	err := r.Scan(&k.Tenant, &k.Connection)
	return k, err
}

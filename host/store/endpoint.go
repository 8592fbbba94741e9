package store

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/cofferdam-run/cofferdam/host/endpoint"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/store/internal/column"
)

const endpointColumns = `SELECT tenant, id, installation, webhook, scheme, version, disabled, created_at, sealed FROM endpoints `

// InsertEndpoint implements endpoint.Store. The installation must be the tenant's.
func (s *SQL) InsertEndpoint(ctx context.Context, e endpoint.Endpoint, sealed []byte) error {
	return s.insert(ctx, "insert an endpoint",
		conflict("endpoint_exists", "there is an endpoint %q already", e.ID), fault.NotFound("installation", e.Installation),
		`INSERT INTO endpoints (tenant, id, installation, webhook, scheme, version, disabled, created_at, sealed)
		 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
		e.Tenant, e.ID, e.Installation, e.Webhook, schemeOf(e), e.Version, e.Disabled, column.Micros(e.CreatedAt), column.Bytes(sealed))
}

// Endpoint implements endpoint.Store.
func (s *SQL) Endpoint(ctx context.Context, tenant, id string) (endpoint.Endpoint, error) {
	e, err := find(ctx, s, fault.NotFound("endpoint", id), scanEndpoint, endpointColumns+`WHERE id = $2 AND tenant = $1`, tenant, id)
	return e.Endpoint, err
}

// Delivery implements endpoint.Store.
func (s *SQL) Delivery(ctx context.Context, id string) (endpoint.Endpoint, []byte, error) {
	e, err := find(ctx, s, fault.NotFound("endpoint", id), scanEndpoint, endpointColumns+`WHERE id = $1`, id)
	return e.Endpoint, e.sealed, err
}

// Endpoints implements endpoint.Store.
func (s *SQL) Endpoints(ctx context.Context, tenant string) ([]endpoint.Endpoint, error) {
	found, err := list(ctx, s, scanEndpoint, endpointColumns+`WHERE tenant = $1 ORDER BY id`, tenant)
	es := make([]endpoint.Endpoint, len(found))
	for i, e := range found {
		es[i] = e.Endpoint
	}
	return es, err
}

// UpdateEndpoint implements endpoint.Store.
func (s *SQL) UpdateEndpoint(ctx context.Context, e endpoint.Endpoint, sealed []byte) error {
	return s.write(ctx, "update an endpoint", func(ctx context.Context, tx Conn) error {
		n, err := execOn(ctx, tx,
			`UPDATE endpoints SET webhook = $4, scheme = $5, disabled = $6, version = $3, sealed = COALESCE($7, sealed)
			 WHERE tenant = $1 AND id = $2 AND version = $3 - 1`,
			e.Tenant, e.ID, e.Version, e.Webhook, schemeOf(e), e.Disabled, column.Bytes(sealed))
		if err != nil || n == 1 {
			return err
		}
		return stale(ctx, tx, "endpoint", e.ID, `SELECT version FROM endpoints WHERE tenant = $1 AND id = $2`, e.Tenant, e.ID)
	})
}

// DeleteEndpoint implements endpoint.Store.
func (s *SQL) DeleteEndpoint(ctx context.Context, tenant, id string) error {
	n, err := s.exec(ctx, "delete an endpoint", `DELETE FROM endpoints WHERE tenant = $1 AND id = $2`, tenant, id)
	if err == nil && n == 0 {
		return fault.NotFound("endpoint", id)
	}
	return err
}

// sealedEndpoint is a row of endpoints.
type sealedEndpoint struct {
	endpoint.Endpoint
	sealed []byte
}

func scanEndpoint(r scanner) (sealedEndpoint, error) {
	var e sealedEndpoint
	var created int64
	var scheme string
	err := r.Scan(&e.Tenant, &e.ID, &e.Installation, &e.Webhook, &scheme, &e.Version, &e.Disabled, &created, &e.sealed)
	if err != nil {
		return e, err
	}
	e.CreatedAt, e.Scheme = column.Time(created), scheme
	if !strings.HasPrefix(scheme, "{") {
		return e, nil
	}
	var s storedScheme
	if err := json.Unmarshal([]byte(scheme), &s); err != nil {
		return e, fmt.Errorf("read the scheme of endpoint %s: %w", e.ID, err)
	}
	e.Scheme, e.Descriptor, e.Parameters, e.OrderBy = s.Name, s.Descriptor, s.Parameters, s.OrderBy
	return e, nil
}

// storedScheme is what the column scheme has of an endpoint that was told more than a name,
// as JSON: the schema before has no other place for it, and no scheme's name begins with a
// brace. The descriptor is base64 in it, and
// stays as it was written.
type storedScheme struct {
	Name       string            `json:"name"`
	Descriptor []byte            `json:"descriptor,omitempty"`
	Parameters map[string]string `json:"parameters,omitempty"`
	OrderBy    string            `json:"order_by,omitempty"`
}

func schemeOf(e endpoint.Endpoint) string {
	if len(e.Descriptor) == 0 && len(e.Parameters) == 0 && e.OrderBy == "" {
		return e.Scheme
	}
	b, _ := json.Marshal(storedScheme{e.Scheme, e.Descriptor, e.Parameters, e.OrderBy}) // It never fails: they are texts.
	return string(b)
}

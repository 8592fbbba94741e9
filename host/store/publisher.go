package store

import (
	"context"
	"fmt"

	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/store/internal/column"
	"github.com/cofferdam-run/cofferdam/registry"
)

const publisherColumns = `SELECT id, name, kind, tenant, created_at FROM publishers `

const insertPublisher = `INSERT INTO publishers (id, name, kind, tenant, created_at) VALUES ($1, $2, $3, $4, $5) `

// InsertPublisher implements registry.Publishers. A name that is taken is a
// Conflict fault.
func (s *SQL) InsertPublisher(ctx context.Context, p registry.Publisher) error {
	return s.insert(ctx, "insert a publisher", publisherTaken(p), nil, insertPublisher,
		p.ID, p.Name, string(p.Kind), p.Tenant, column.Micros(p.CreatedAt))
}

// Publishers implements registry.Publishers.
func (s *SQL) Publishers(ctx context.Context) ([]registry.Publisher, error) {
	return list(ctx, s, scanPublisher, publisherColumns+`ORDER BY id`)
}

// Publisher implements registry.Publishers.
func (s *SQL) Publisher(ctx context.Context, idOrName string) (registry.Publisher, error) {
	return find(ctx, s, notPublished("publisher", idOrName), scanPublisher, publisherColumns+`WHERE id = $1 OR name = $1`, idOrName)
}

// Blob implements registry.Blobs.
func (s *SQL) Blob(ctx context.Context, digest string) ([]byte, error) {
	return find(ctx, s, notPublished("module with digest", digest), scanBytes, `SELECT bytes FROM blobs WHERE digest = $1`, digest)
}

func scanPublisher(r scanner) (registry.Publisher, error) {
	var p registry.Publisher
	var created int64
	err := r.Scan(&p.ID, &p.Name, &p.Kind, &p.Tenant, &created)
	p.CreatedAt = column.Time(created)
	return p, err
}

func scanBytes(r scanner) ([]byte, error) {
	var b []byte
	err := r.Scan(&b)
	return b, err
}

func publisherTaken(p registry.Publisher) *fault.Error {
	return conflict("publisher_exists", "there is a publisher named %q already", p.Name).At("/name")
}

// notPublished is the registry's word for what does not exist, or not for
// whoever asks.
func notPublished(kind, id string) *registry.Error {
	return &registry.Error{Code: registry.CodeNotFound, Message: fmt.Sprintf("there is no %s %q", kind, id)}
}

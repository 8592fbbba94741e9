package store

import (
	"context"
	"fmt"
	"time"

	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/store/internal/column"
	"github.com/cofferdam-run/cofferdam/registry"
	"github.com/cofferdam-run/cofferdam/registry/signature"
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

// InsertPublisherKey implements registry.Publishers.
func (s *SQL) InsertPublisherKey(ctx context.Context, k signature.Key) error {
	taken := conflict("key_exists", "the publisher has the key %s already", k.ID).At("/public_key")
	return s.insert(ctx, "insert a publisher's key", taken, nil,
		`INSERT INTO publisher_keys (publisher, id, title, public, created_at, revoked_at) VALUES ($1, $2, $3, $4, $5, $6)`,
		k.Publisher, k.ID, k.Title, k.Public, column.Micros(k.CreatedAt), column.Micros(k.RevokedAt))
}

// PublisherKeys implements registry.Publishers.
func (s *SQL) PublisherKeys(ctx context.Context, publisher string) ([]signature.Key, error) {
	return list(ctx, s, scanPublisherKey,
		`SELECT publisher, id, title, public, created_at, revoked_at FROM publisher_keys WHERE publisher = $1 ORDER BY created_at, id`, publisher)
}

// RevokePublisherKey implements registry.Publishers.
func (s *SQL) RevokePublisherKey(ctx context.Context, publisher, key string, at time.Time) error {
	n, err := s.exec(ctx, "revoke a publisher's key",
		`UPDATE publisher_keys SET revoked_at = CASE WHEN revoked_at = 0 THEN $3 ELSE revoked_at END WHERE publisher = $1 AND id = $2`,
		publisher, key, column.Micros(at))
	if err == nil && n == 0 {
		return notPublished("key", key)
	}
	return err
}

func scanPublisherKey(r scanner) (signature.Key, error) {
	var k signature.Key
	var created, revoked int64
	err := r.Scan(&k.Publisher, &k.ID, &k.Title, &k.Public, &created, &revoked)
	k.CreatedAt, k.RevokedAt = column.Time(created), column.Time(revoked)
	return k, err
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

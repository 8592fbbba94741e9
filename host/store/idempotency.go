package store

import (
	"context"
	"crypto/subtle"
	"database/sql"
	"errors"
	"time"

	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/store/internal/column"
	"github.com/cofferdam-run/cofferdam/host/store/internal/sealing"
	"github.com/cofferdam-run/cofferdam/host/vault"
)

// Key is an Idempotency-Key within its scope.
type Key struct {
	// Scope is the tenant, or "operator".
	Scope string
	Key   string
	// Digest is of the request's method, path and body.
	Digest []byte
}

// Answered is the answer to a request.
type Answered struct {
	Status int
	Body   []byte
}

const (
	// keepAnswers is how long an answer is given again: a day, as vendors who
	// document it do, because retries are over by then.
	keepAnswers = 24 * time.Hour
	// keepReservation is how long a request may be under way before its key is
	// given to the next one: it is longer than any request that ends by itself,
	// so what holds it then is a process that died.
	keepReservation = 10 * time.Minute
)

// Reserve implements Idempotency.
func (s *SQL) Reserve(ctx context.Context, k Key, at time.Time) (*Answered, error) {
	var earlier *Answered
	err := s.write(ctx, "reserve an idempotency key", func(ctx context.Context, tx Conn) error {
		earlier = nil
		n, err := execOn(ctx, tx,
			`INSERT INTO idempotency_keys (scope, key, digest, status, body, created_at) VALUES ($1, $2, $3, 0, NULL, $4)
			 ON CONFLICT (scope, key) DO UPDATE SET digest = excluded.digest, status = 0, body = NULL, created_at = excluded.created_at
			 WHERE idempotency_keys.created_at <= $5 OR (idempotency_keys.status = 0 AND idempotency_keys.created_at <= $6)`,
			k.Scope, []byte(k.Key), k.Digest, column.Micros(at),
			column.Micros(at.Add(-keepAnswers)), column.Micros(at.Add(-keepReservation)))
		if err != nil || n == 1 {
			return err
		}
		earlier, err = answered(ctx, tx, k)
		return err
	})
	if err != nil || earlier == nil {
		return nil, err
	}
	return earlier, s.sealing.Open(ctx, answerOf(k), &earlier.Body)
}

// operatorScope is that of the operator's requests, whose answers no tenant's key seals.
const operatorScope = "operator"

// answerOf is where the answer to a request belongs.
func answerOf(k Key) vault.Field {
	tenant := k.Scope
	if tenant == operatorScope {
		tenant = ""
	}
	return sealing.Field(tenant, "idempotency_keys", "answer", 1, k.Key)
}

// Settle implements Idempotency.
func (s *SQL) Settle(ctx context.Context, k Key, a Answered) error {
	body, err := s.sealing.Seal(ctx, answerOf(k), a.Body)
	if err != nil {
		return err
	}
	_, err = s.exec(ctx, "settle an idempotency key",
		`UPDATE idempotency_keys SET status = $4, body = $5 WHERE scope = $1 AND key = $2 AND digest = $3 AND status = 0`,
		k.Scope, []byte(k.Key), k.Digest, a.Status, column.Bytes(body))
	return err
}

// ReleaseKey implements Idempotency.
func (s *SQL) ReleaseKey(ctx context.Context, k Key) error {
	_, err := s.exec(ctx, "release an idempotency key",
		`DELETE FROM idempotency_keys WHERE scope = $1 AND key = $2 AND digest = $3 AND status = 0`,
		k.Scope, []byte(k.Key), k.Digest)
	return err
}

// answered reads what became of the request that has the key.
func answered(ctx context.Context, tx Conn, k Key) (*Answered, error) {
	var digest []byte
	var a Answered
	err := tx.QueryRowContext(ctx, `SELECT digest, status, body FROM idempotency_keys WHERE scope = $1 AND key = $2`,
		k.Scope, []byte(k.Key)).Scan(&digest, &a.Status, &a.Body)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		// Its holder gave it back in this moment.
		return nil, inProgress()
	case err != nil:
		return nil, err
	case subtle.ConstantTimeCompare(digest, k.Digest) == 0:
		return nil, conflict("idempotency_key_reused", "this Idempotency-Key was used for another request").
			WithHint("make a new key for each request; use it again only to repeat the same one").At("Idempotency-Key")
	case a.Status == 0:
		return nil, inProgress()
	default:
		return &a, nil
	}
}

func inProgress() *fault.Error {
	return conflict("idempotency_in_progress", "the first request with this Idempotency-Key is still under way").
		WithHint("repeat it later to get its answer").At("Idempotency-Key")
}

package connect

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/oauth"
	"github.com/cofferdam-run/cofferdam/host/vault"
)

// Store keeps sessions and flows.
type Store interface {
	VisitStore
	FlowStore
}

// VisitStore keeps sessions.
type VisitStore interface {
	InsertVisit(ctx context.Context, r Row) error
	// Visit finds one of a tenant's by its id.
	Visit(ctx context.Context, tenant, id string) (Row, error)
	// VisitByID finds one of any tenant's, for a browser that shows that it is its.
	VisitByID(ctx context.Context, id string) (Row, error)
	// VisitByDigest finds one by the SHA-256 of its link's secret.
	VisitByDigest(ctx context.Context, digest []byte) (Row, error)
	// Visits lists a tenant's after an id, the oldest first.
	Visits(ctx context.Context, tenant, after string, limit int) ([]Row, error)
	// UpdateVisit replaces state, body and sealed where the version is r.Version-1, or
	// returns a Conflict fault.
	UpdateVisit(ctx context.Context, r Row) error
	// HeldVisits lists up to limit of all tenants', but of those that are being deleted,
	// that hold something sealed and have expired before.
	HeldVisits(ctx context.Context, before time.Time, limit int) ([]Row, error)
	// PurgeVisits forgets sessions and flows that have expired before.
	PurgeVisits(ctx context.Context, sessions, flows time.Time) error
}

// FlowStore keeps flows.
type FlowStore interface {
	InsertFlow(ctx context.Context, f FlowRow) error
	// FlowTenant is whose a flow is, if there is one.
	FlowTenant(ctx context.Context, id string) (string, bool, error)
	// TakeFlow gives a flow and forgets it: of two callers one gets it.
	TakeFlow(ctx context.Context, id string) (FlowRow, bool, error)
}

// Row is a session as it is stored.
type Row struct {
	Tenant, ID string
	// Digest is the SHA-256 of the link's secret.
	Digest []byte
	State  State
	// Body has nothing secret in it.
	Body []byte
	// Sealed is what came and is not a connection's yet, or nil.
	Sealed    []byte
	Version   int64
	CreatedAt time.Time
	ExpiresAt time.Time
}

// FlowRow is a flow as it is stored.
type FlowRow struct {
	// ID is the SHA-256 of the state, in hexadecimal.
	ID, Tenant string
	Sealed     []byte
	ExpiresAt  time.Time
}

// Flows keep flows from their begin to their callback, sealed. They are an oauth.Flows.
type Flows struct {
	store FlowStore
	vault *vault.Vault
}

// NewFlows returns Flows.
func NewFlows(s FlowStore, v *vault.Vault) *Flows { return &Flows{store: s, vault: v} }

// PutFlow implements oauth.Flows.
func (f *Flows) PutFlow(ctx context.Context, flow oauth.Flow) error {
	plain, err := json.Marshal(flow)
	if err != nil {
		return fmt.Errorf("encode a flow: %w", err)
	}
	defer clear(plain)
	row := FlowRow{ID: flow.ID, Tenant: flow.Starter.Tenant, ExpiresAt: flow.ExpiresAt}
	if row.Sealed, err = f.vault.Seal(ctx, row.field(), plain); err != nil {
		return fmt.Errorf("seal a flow: %w", err)
	}
	return f.store.InsertFlow(ctx, row)
}

// TakeFlow implements oauth.Flows.
func (f *Flows) TakeFlow(ctx context.Context, id string) (oauth.Flow, bool, error) {
	row, known, err := f.store.TakeFlow(ctx, id)
	if err != nil || !known {
		return oauth.Flow{}, false, err
	}
	plain, err := f.vault.Open(vault.Using(ctx, vault.Use{Who: "host", Purpose: "callback"}), row.field(), row.Sealed)
	if err != nil {
		return oauth.Flow{}, false, fmt.Errorf("open a flow: %w", err)
	}
	defer clear(plain)
	var flow oauth.Flow
	if json.Unmarshal(plain, &flow) != nil {
		return oauth.Flow{}, false, errors.New("decode a flow: it is none") // The error may quote it.
	}
	return flow, true, nil
}

func (r FlowRow) field() vault.Field {
	return vault.Field{Tenant: r.Tenant, Table: "oauth_flows", Record: r.ID, Name: "flow", Version: 1}
}

func (r Row) field() vault.Field {
	return vault.Field{Tenant: r.Tenant, Table: "connect_sessions", Record: r.ID, Name: "visit", Version: r.Version}
}

// held is what came and is not a connection's yet.
type held struct {
	Look   *Look         `json:"look,omitempty"`
	Device *oauth.Device `json:"device,omitempty"`
}

// open opens what a session holds.
func (s *Sessions) open(ctx context.Context, r Row) (held, error) {
	var h held
	if r.Sealed == nil {
		return h, nil
	}
	plain, err := s.c.Vault.Open(vault.Using(ctx, vault.Use{Who: r.ID, Purpose: "connect session"}), r.field(), r.Sealed)
	if err != nil {
		return h, fmt.Errorf("open what connect session %s holds: %w", r.ID, err)
	}
	defer clear(plain)
	if json.Unmarshal(plain, &h) != nil {
		return h, fmt.Errorf("decode what connect session %s holds: it is not that", r.ID)
	}
	return h, nil
}

// load reads a session from its row.
func load(r Row) (*visit, error) {
	v := &visit{row: r}
	if err := json.Unmarshal(r.Body, v); err != nil {
		return nil, fmt.Errorf("decode connect session %s: %w", r.ID, err)
	}
	v.State = r.State
	return v, nil
}

// put keeps a session as it is now, with what it holds, or nil.
func (s *Sessions) put(ctx context.Context, v *visit, h *held) error {
	next := v.row
	next.Version++
	if err := s.fill(ctx, v, h, &next); err != nil {
		return err
	}
	if err := s.c.Store.UpdateVisit(ctx, next); err != nil {
		return fmt.Errorf("keep connect session %s: %w", v.row.ID, err)
	}
	v.row = next
	return nil
}

// fill writes a session into its row.
func (s *Sessions) fill(ctx context.Context, v *visit, h *held, r *Row) (err error) {
	r.State, r.Sealed = v.State, nil
	if r.Body, err = json.Marshal(v); err != nil {
		return fmt.Errorf("encode connect session %s: %w", r.ID, err)
	}
	if h == nil {
		return nil
	}
	plain, err := json.Marshal(h)
	if err != nil {
		return fmt.Errorf("encode what connect session %s holds: %w", r.ID, err)
	}
	defer clear(plain)
	if r.Sealed, err = s.c.Vault.Seal(ctx, r.field(), plain); err != nil {
		return fmt.Errorf("seal what connect session %s holds: %w", r.ID, err)
	}
	return nil
}

// secret is 256 bits that nobody guesses, as 43 characters.
func (s *Sessions) secret() (string, error) {
	var b [32]byte
	if _, err := io.ReadFull(s.c.Rand, b[:]); err != nil {
		return "", fmt.Errorf("read randomness: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(b[:]), nil
}

// isSecret says whether a text can be one of secret's.
func isSecret(text string) bool {
	b, err := base64.RawURLEncoding.DecodeString(text)
	return err == nil && len(b) == 32
}

// hash is what is stored of a secret.
func hash(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

func digest(secret string) []byte {
	sum := sha256.Sum256([]byte(secret))
	return sum[:]
}

// notFound is the one answer to whoever asks for a session that is not theirs.
func notFound(id string) error { return fault.NotFound("connect session", id) }

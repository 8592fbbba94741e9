package rotation

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/job"
	"github.com/cofferdam-run/cofferdam/host/vault"
)

const (
	// batch is how many records are sealed anew in one transaction: with SQLite nobody
	// else writes for about 5 ms meanwhile.
	batch = 200
	// batches is how many a step does, so that a pause need not wait for long.
	batches = 10
	// namedMost is how many records that do not open are named.
	namedMost = 20
)

// Config configures Rotations.
type Config struct {
	Vault   *vault.Vault
	Records vault.Records
	Jobs    *job.Jobs
	// Now is the database's time.
	Now func(ctx context.Context) (time.Time, error)
	// Settle is how long it waits before old keys go. Defaults to four times the
	// Vault's Fresh: after one of them no process takes an old key to seal with any
	// more, and three are for transactions that were under way.
	Settle time.Duration
}

// Rotations replace tenants' keys. They are the job.Handler of Kind, and safe for
// concurrent use. While one is paused all keys stay; where one is cancelled they stay,
// the new one among them, until another rotation comes to its end.
type Rotations struct {
	*job.Of[Rotation]

	c Config
}

var _ job.Handler = (*Rotations)(nil)

// New returns Rotations.
func New(c Config) *Rotations {
	if c.Settle <= 0 {
		c.Settle = 4 * c.Vault.Fresh()
	}
	return &Rotations{Of: job.NewOf(c.Jobs, Kind, "key rotation", rotationOf), c: c}
}

// Start begins to replace a tenant's key. A Conflict fault if its last rotation has not
// come to its end.
func (r *Rotations) Start(ctx context.Context, tenant string) (Rotation, error) {
	if tenant == "" {
		return Rotation{}, fault.New(fault.InvalidInput, "tenant_missing", "a key is rotated of a tenant, and none is named")
	}
	last, err := r.List(ctx, tenant, "", 1)
	if err != nil {
		return Rotation{}, err
	}
	if len(last) > 0 && !last[0].State.Ended() {
		return Rotation{}, fault.New(fault.Conflict, "rotation_under_way", "the rotation %s has not come to its end", last[0].ID).
			WithHint("Resume it if it is paused, or cancel it: its key stays, and the next rotation does the rest.")
	}
	j, err := r.c.Jobs.Create(ctx, tenant, Kind, struct{}{})
	if err != nil {
		return Rotation{}, err
	}
	return rotationOf(j)
}

// Step implements job.Handler.
func (r *Rotations) Step(ctx context.Context, j job.Job) (job.Step, error) {
	ctx = vault.Using(ctx, vault.Use{Who: "rotation " + j.ID, Purpose: "rotation"})
	s := step{r: r, tenant: j.Tenant, by: j.ID, at: cursor{Phase: Adding}}
	if err := s.decode(j); err != nil {
		return job.Step{}, err
	}
	wait, err := s.do(ctx)
	if err != nil {
		return job.Step{}, err
	}
	s.progress.Phase = s.at.Phase
	progress, err := json.Marshal(s.progress)
	if err != nil {
		return job.Step{}, fmt.Errorf("encode the progress of a rotation: %w", err)
	}
	next, err := json.Marshal(s.at)
	if err != nil {
		return job.Step{}, fmt.Errorf("encode the cursor of a rotation: %w", err)
	}
	return job.Step{Progress: progress, Cursor: string(next), Done: s.at.Phase == Done, Wait: wait}, nil
}

// step is a step of a rotation in hand.
type step struct {
	r          *Rotations
	tenant, by string
	at         cursor
	progress   Progress
}

func (s *step) decode(j job.Job) error {
	if j.Cursor != "" {
		if err := json.Unmarshal([]byte(j.Cursor), &s.at); err != nil {
			return fmt.Errorf("decode the cursor of the rotation %s: %w", j.ID, err)
		}
	}
	if len(j.Progress) > 0 {
		if err := json.Unmarshal(j.Progress, &s.progress); err != nil {
			return fmt.Errorf("decode the progress of the rotation %s: %w", j.ID, err)
		}
	}
	return nil
}

// do does what the phase asks for, and says how long the next step waits.
func (s *step) do(ctx context.Context) (time.Duration, error) {
	switch s.at.Phase {
	case Adding:
		return 0, s.add(ctx)
	case Sealing:
		return s.seal(ctx)
	case Settling:
		return s.settle(ctx)
	default:
		s.at.Phase = Done
		return 0, nil
	}
}

// add gives the tenant another key. Made twice, the second finds that it is there.
func (s *step) add(ctx context.Context) error {
	if err := s.r.c.Vault.Rotate(ctx, s.tenant, s.by); err != nil {
		return err
	}
	header, err := s.r.c.Vault.Header(ctx, s.tenant)
	if err != nil {
		return err
	}
	s.progress.Total, err = s.r.c.Records.CountStale(ctx, s.tenant, header)
	s.at = cursor{Phase: Sealing}
	return err
}

// seal seals some records anew. After the last one it waits.
func (s *step) seal(ctx context.Context) (time.Duration, error) {
	header, err := s.r.c.Vault.Header(ctx, s.tenant)
	if err != nil {
		return 0, err
	}
	places := s.r.c.Records.SealedPlaces()
	for done := 0; done < batches; {
		if s.at.Place >= len(places) {
			now, err := s.r.c.Now(ctx)
			s.at = cursor{Phase: Settling, Until: now.Add(s.r.c.Settle)}
			return s.r.c.Settle, err
		}
		n, err := s.sealBatch(ctx, places[s.at.Place], header)
		if err != nil {
			return 0, err
		}
		if n > 0 {
			done++
			continue
		}
		s.at.Place++
		s.at.After = ""
	}
	return 0, nil
}

// sealBatch seals some records of a place anew, and says how many it has found.
func (s *step) sealBatch(ctx context.Context, p vault.Place, header []byte) (int, error) {
	found, err := s.r.c.Records.StaleRecords(ctx, s.tenant, p, header, s.at.After, batch)
	if err != nil {
		return 0, fmt.Errorf("list what is sealed: %w", err)
	}
	if len(found) == 0 {
		return 0, nil
	}
	sealed, err := s.r.c.Vault.Reseal(ctx, p, found)
	if err != nil {
		return 0, fmt.Errorf("seal records anew: %w", err)
	}
	var was []vault.Sealed
	var now [][]byte
	for i, bytes := range sealed {
		if bytes != nil {
			was, now = append(was, found[i]), append(now, bytes)
			continue
		}
		s.progress.Unreadable++
		if len(s.progress.Named) < namedMost {
			s.progress.Named = append(s.progress.Named, found[i].Record)
		}
	}
	n, err := s.r.c.Records.ResealRecords(ctx, was, now)
	if err != nil {
		return 0, fmt.Errorf("store records that were sealed anew: %w", err)
	}
	s.progress.Done += n
	s.at.After = found[len(found)-1].Record
	return len(found), nil
}

// settle destroys the old keys if it is time and nothing is left under them.
func (s *step) settle(ctx context.Context) (time.Duration, error) {
	now, err := s.r.c.Now(ctx)
	if err != nil {
		return 0, fmt.Errorf("ask for the time: %w", err)
	}
	if early := s.at.Until.Sub(now); early > 0 { // It was paused and resumed.
		return early, nil
	}
	err = s.r.c.Vault.Retire(ctx, s.tenant)
	if f, ok := errors.AsType[*fault.Error](err); !ok || f.Code != vault.CodeKeyInUse {
		s.at = cursor{Phase: Done}
		return 0, err
	}
	return 0, s.again(ctx)
}

// again begins another pass over what was sealed with an old key since, unless all that
// is left is what does not open.
func (s *step) again(ctx context.Context) error {
	header, err := s.r.c.Vault.Header(ctx, s.tenant)
	if err != nil {
		return err
	}
	left, err := s.r.c.Records.CountStale(ctx, s.tenant, header)
	if err != nil {
		return err
	}
	if left > 0 && left == s.progress.Unreadable {
		return fault.New(fault.Platform, "records_unreadable", "%d records do not open under any key of the tenant, such as %s", left, s.progress.Named[0]).
			WithHint("Replace the credentials of these records, or delete them, and resume the rotation. Until then the old keys are kept.")
	}
	s.at = cursor{Phase: Sealing}
	s.progress.Unreadable, s.progress.Named = 0, nil
	return nil
}

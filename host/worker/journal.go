package worker

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/installation"
	"github.com/cofferdam-run/cofferdam/hostfns/journal"
	"github.com/cofferdam-run/cofferdam/runtime"
)

// past is what the earlier runs of an execution have left to a run.
type past struct {
	world   journal.World
	entries []journal.Entry
	// seq is the next segment's number.
	seq int
	// pin says that the world is not what is stored, cut that the entries are not.
	pin, cut bool
	// strict says that the run is of the plugin that the entries were made with, so
	// that to differ from them is a bug of ours.
	strict bool
}

// Kept is a run's journal, as its end has it.
type Kept struct {
	Entries []journal.Entry
	// Stored is how many of the entries the store has as they are, and Length how
	// many it has.
	Stored, Length int
	// Seq is the next segment's number.
	Seq   int
	World journal.World
	// Failure has what After needs to know of the run, but for how it ended.
	Failure journal.Failure
}

// recall finds what the earlier runs have left.
func (s *Sandbox) recall(ctx context.Context, j *job) (past, error) {
	p := past{seq: 1, strict: true}
	if j.claimed.Claim == 1 || s.c.Unjournaled {
		return p, s.pin(ctx, j, &p)
	}
	stored, err := s.c.Records.Journal(ctx, j.claimed.Tenant, j.claimed.Execution)
	if err != nil {
		return p, fmt.Errorf("read journal: %w", err)
	}
	if n := len(stored.Segments); n > 0 {
		p.seq = stored.Segments[n-1].Seq + 1
	}
	if stored.World == nil {
		return p, s.pin(ctx, j, &p)
	}
	forced := j.execution.Mode == execution.Force // Then what cannot be read is dropped.
	if err := json.Unmarshal(stored.World, &p.world); err != nil {
		if !forced {
			return p, unreadable(err)
		}
		if p.world, err = s.fresh(ctx, j); err != nil {
			return p, err
		}
	}
	if p.entries, err = journal.Join(stored.Segments); err != nil && !forced {
		return p, unreadable(err)
	}
	p.strict = !p.world.Redriven
	switch j.execution.Mode {
	case "":
	case execution.Restart, execution.Force:
		p.world.Keys = journal.UsedKeys(p.entries, p.world.Keys)
		p.cut, p.entries = len(stored.Segments) > 0, nil
		return p, s.redrive(ctx, j, &p)
	default:
		kept := journal.Revive(p.entries)
		p.cut, p.entries = len(kept) != len(p.entries), kept
		return p, s.redrive(ctx, j, &p)
	}
	if len(p.entries) <= 1 {
		// Nothing was asked, so that nothing depends on what the guest was told, nor on
		// the server that told it.
		p.cut, p.entries = len(p.entries) > 0, nil
		p.world.Start, p.world.Attempt, p.pin = s.c.Now(), j.claimed.Attempt, true
		p.world.Model, p.world.Image = runtime.Model, ""
		return p, s.look(ctx, j, &p)
	}
	return p, nil
}

// unreadable is what a run ends with that cannot know what was done before it: it is
// tried again, as a server of another version may have written it.
func unreadable(err error) error {
	return fault.New(fault.Platform, "journal_unreadable", "what the earlier runs have recorded cannot be read: %s", err.Error()).
		WithHint("A server of another version may have written it: use that one. `cofferdam execution redrive ID --mode force` drops it, and does again what was done.").
		Because(err)
}

// pin makes the world of an execution that runs for the first time.
func (s *Sandbox) pin(ctx context.Context, j *job, p *past) error {
	var err error
	if p.world, err = s.fresh(ctx, j); err != nil {
		return err
	}
	return s.settle(ctx, j, p)
}

// fresh is a world in which nothing has happened yet.
func (s *Sandbox) fresh(ctx context.Context, j *job) (journal.World, error) {
	seed, err := s.c.Seed(ctx, j.claimed.Tenant, j.claimed.Execution)
	if err != nil {
		return journal.World{}, fmt.Errorf("derive seed: %w", err)
	}
	return journal.World{Seed: seed, Start: s.c.Now()}, nil
}

// redrive makes the world anew that a person has changed something of: its plugin,
// configuration, limits. Its random stream stays, so that the idempotency keys that
// a guest makes from it do.
func (s *Sandbox) redrive(ctx context.Context, j *job, p *past) error {
	p.world.Redriven, p.strict = true, false
	p.world.Forced = j.execution.Mode == execution.Force
	p.world.Restarts = 0
	if len(p.entries) <= 1 {
		p.cut, p.entries = p.cut || len(p.entries) > 0, nil
		p.world.Start = s.c.Now()
	}
	return s.settle(ctx, j, p)
}

// settle fills in what the world has of the installation as it is now.
func (s *Sandbox) settle(ctx context.Context, j *job, p *past) error {
	w := &p.world
	p.pin = true
	w.Model, w.Module, w.Image = runtime.Model, j.version.Digest, ""
	w.Config = j.installation.Config
	if len(p.entries) == 0 {
		w.Attempt = j.claimed.Attempt
	}
	fields, err := s.c.Fields(ctx, j.installation, j.version)
	if err != nil {
		return fmt.Errorf("find the fields of connections: %w", err)
	}
	w.Connections = fields
	w.Limits = installation.Limits(j.installation, j.version.Manifest, s.c.Limits.WithDefaults())
	return s.look(ctx, j, p)
}

// look reads where a poll stands.
func (s *Sandbox) look(ctx context.Context, j *job, p *past) error {
	if j.execution.Kind != event.Poll {
		return nil
	}
	cursor, err := s.c.Records.Cursor(ctx, j.claimed.Tenant, j.installation.ID, j.execution.Name)
	if err != nil {
		return fmt.Errorf("read cursor: %w", err)
	}
	p.world.Cursor = cursor
	return nil
}

// fit compares the pinned world with the module that is there. Where it is not what
// the entries were made with, as after an upgrade of the server, they are matched
// as those of another version are.
func (p *past) fit(facts runtime.Facts) {
	if p.world.Image == "" && p.pin {
		p.world.Image = facts.ImageDigest
	}
	if p.world.Model != runtime.Model || p.world.Image != facts.ImageDigest {
		p.strict = false
	}
}

// beginning is what the store is told before the run does anything.
func (p *past) beginning(versionID string) (execution.Beginning, error) {
	b := execution.Beginning{VersionID: versionID}
	if p.pin {
		world, err := json.Marshal(p.world)
		if err != nil {
			return b, fmt.Errorf("encode the world of an execution: %w", err)
		}
		b.World = world
	}
	if p.cut {
		segment, err := journal.NewSegment(p.seq, len(p.entries), nil)
		if err != nil {
			return b, err
		}
		b.Journal = &segment
		p.seq++
	}
	return b, nil
}

// scope begins an execution's idempotency keys. What was done before a checkpoint
// is over: the same request after it is another.
func scope(execution string, w journal.World) string {
	if w.Generation == 0 {
		return execution
	}
	return execution + "." + strconv.Itoa(w.Generation)
}

// segments writes a run's journal under its claim.
type segments struct {
	records Records
	claimed execution.Claimed
	seq     int
	// length is how many entries the store has, at most.
	length int
}

// Write implements journal.Log.
func (s *segments) Write(ctx context.Context, entries []journal.Entry) error {
	segment, err := journal.NewSegment(s.seq, entries[0].Ordinal, entries)
	if err != nil {
		return err
	}
	err = s.records.Append(ctx, s.claimed, segment)
	// An error may be an answer that was lost: then the number is taken, and what comes
	// next must replace what is there.
	s.seq++
	s.length = entries[0].Ordinal + len(entries)
	return err
}

// segment is what the journal's end adds to what is stored, when the next run is to
// begin with these entries; nil if that is nothing.
func (k *Kept) segment(next []journal.Entry) (*journal.Segment, error) {
	same := min(k.Stored, len(next))
	for same > 0 && !alike(&next[same-1], &k.Entries[same-1]) {
		same--
	}
	fresh := next[same:]
	if k.Length == 0 && len(fresh) <= 1 || len(fresh) == 0 && same == k.Length {
		return nil, nil
	}
	segment, err := journal.NewSegment(k.Seq, same, fresh)
	if err != nil {
		return nil, err
	}
	return &segment, nil
}

// alike compares what the end of a run may change of an entry.
func alike(a, b *journal.Entry) bool {
	return a.Again == b.Again && a.Confirm == b.Confirm && a.Outcome == b.Outcome && a.Answered.Equal(b.Answered)
}

package audit

import (
	"context"
	"fmt"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/cofferdam-run/cofferdam/host/audit/transcript"
	"github.com/cofferdam-run/cofferdam/host/fault"
)

// Checkpoint gives numbers to what is pending, and returns a signed checkpoint of all
// of the log.
func (l *Log) Checkpoint(ctx context.Context) (Signed, error) {
	if l.c.Signer == nil {
		return Signed{}, fault.New(fault.Conflict, "audit_unsigned", "the audit log is not signed: this server has no key for it").
			WithHint("start it with an audit key file")
	}
	last, err := l.stored(ctx)
	if err != nil {
		return Signed{}, err
	}
	if err := l.announce(ctx, last); err != nil {
		return Signed{}, err
	}
	if err := l.sequence(ctx); err != nil {
		return Signed{}, err
	}
	tree, err := l.c.Store.ActTree(ctx)
	if err != nil {
		return Signed{}, fmt.Errorf("read the tree: %w", err)
	}
	if last != nil && last.Size == tree.Size {
		return *last, nil
	}
	var before transcript.Checkpoint
	if last != nil {
		if before, err = transcript.Open(last.Note, l.keys()...); err != nil {
			return Signed{}, fmt.Errorf("read the last checkpoint: %w", err)
		}
	}
	return l.signed(ctx, before, tree)
}

// keys verify the log's checkpoints.
func (l *Log) keys() []note.Verifier {
	keys := []note.Verifier{l.c.Public}
	for _, k := range l.c.Before {
		keys = append(keys, k.Public())
	}
	return keys
}

// announce has it be a leaf that the log is signed with another key than it was. The
// checkpoint of it is signed with both, so that who knows the one before can follow.
func (l *Log) announce(ctx context.Context, last *Signed) error {
	if last == nil || len(l.c.Before) == 0 {
		return nil
	}
	if _, err := transcript.Open(last.Note, l.c.Public); err == nil {
		return nil
	}
	before := l.c.Before[0]
	return l.Use(ctx, Entry{
		Who: Host, Action: transcript.KeyAction, Object: fmt.Sprint(l.c.Public), Key: fmt.Sprintf("%s+%08x", before.Name(), before.KeyHash()),
		Purpose: "signs the audit log from here on", Result: Done,
	})
}

// Latest returns the largest checkpoint, which is made if there is none.
func (l *Log) Latest(ctx context.Context) (Signed, error) {
	last, err := l.stored(ctx)
	if err != nil || last != nil {
		return orZero(last), err
	}
	return l.Checkpoint(ctx)
}

func orZero(s *Signed) Signed {
	if s == nil {
		return Signed{}
	}
	return *s
}

// stored returns the largest checkpoint that is stored, or nil.
func (l *Log) stored(ctx context.Context) (*Signed, error) {
	found, err := l.c.Store.ActCheckpoints(ctx, -1, 0, -1)
	if err != nil {
		return nil, fmt.Errorf("read the last checkpoint: %w", err)
	}
	if len(found) == 0 {
		return nil, nil //nolint:nilnil // That there is none is an answer.
	}
	return &found[0], nil
}

// sign signs the log if it has grown, and keeps the checkpoint for the sinks.
func (l *Log) sign(ctx context.Context) error {
	if l.c.Signer == nil {
		return nil
	}
	signed, err := l.Checkpoint(ctx)
	if err != nil {
		return err
	}
	c, err := transcript.Open(signed.Note, l.keys()...)
	if err != nil {
		return fmt.Errorf("read the last checkpoint: %w", err)
	}
	// What this process has seen before must still be there, whatever the database says.
	if err := l.extends(ctx, l.run.last, Tree{Size: c.Size, Root: c.Root}); err != nil {
		return err
	}
	if c != l.run.last {
		for _, s := range l.senders {
			s.owe(signed.Note)
		}
	}
	l.run.last = c
	return nil
}

// signed signs a tree that has the one of an earlier checkpoint in it.
func (l *Log) signed(ctx context.Context, before transcript.Checkpoint, t Tree) (Signed, error) {
	if err := l.extends(ctx, before, t); err != nil {
		return Signed{}, err
	}
	along := make([]note.Signer, len(l.c.Before))
	for i, k := range l.c.Before {
		along[i] = k
	}
	text, err := transcript.Checkpoint{Size: t.Size, Root: t.Root}.Sign(l.c.Signer, along...)
	if err != nil {
		return Signed{}, err
	}
	s := Signed{Size: t.Size, At: l.c.Now(), Note: text}
	if err := l.c.Store.AddCheckpoint(ctx, s); err != nil {
		return Signed{}, fmt.Errorf("keep a checkpoint: %w", err)
	}
	return s, nil
}

// extends returns ErrDamaged unless a tree begins with the leaves of a checkpoint.
func (l *Log) extends(ctx context.Context, before transcript.Checkpoint, t Tree) error {
	if before.Size == 0 {
		return nil
	}
	if before.Size > t.Size {
		return fmt.Errorf("the log has %d leaves, and %d were signed: %w", t.Size, before.Size, ErrDamaged)
	}
	proof, err := tlog.ProveTree(t.Size, before.Size, l.hashes(ctx))
	if err != nil {
		return fmt.Errorf("prove that the log has only grown: %w", err)
	}
	if err := tlog.CheckTree(proof, t.Size, t.Root, before.Size, before.Root); err != nil {
		return fmt.Errorf("the log does not begin with the %d leaves that were signed: %w", before.Size, ErrDamaged)
	}
	return nil
}

// hashes reads the stored tree.
func (l *Log) hashes(ctx context.Context) tlog.HashReader {
	return &tiles{ctx: ctx, read: l.c.Store.ActTile, cached: map[[2]int64][]byte{}}
}

package audit

import (
	"context"
	"fmt"
	"io"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/cofferdam-run/cofferdam/host/audit/transcript"
	"github.com/cofferdam-run/cofferdam/host/fault"
)

// List lists leaves, those that were pending until now too.
func (l *Log) List(ctx context.Context, f Filter) ([]Leaf, error) {
	if err := l.sequence(ctx); err != nil {
		return nil, err
	}
	return l.list(ctx, f)
}

func (l *Log) list(ctx context.Context, f Filter) ([]Leaf, error) {
	leaves, err := l.c.Store.Acts(ctx, f)
	if err != nil {
		return nil, fmt.Errorf("list the audit log: %w", err)
	}
	return leaves, nil
}

// Tree gives numbers to what is pending, and returns the tree.
func (l *Log) Tree(ctx context.Context) (Tree, error) {
	if err := l.sequence(ctx); err != nil {
		return Tree{}, err
	}
	t, err := l.c.Store.ActTree(ctx)
	if err != nil {
		return Tree{}, fmt.Errorf("read the tree: %w", err)
	}
	return t, nil
}

// Checkpoints lists those of more than after leaves.
func (l *Log) Checkpoints(ctx context.Context, after int64, limit int) ([]Signed, error) {
	found, err := l.c.Store.ActCheckpoints(ctx, after, 0, limit)
	if err != nil {
		return nil, fmt.Errorf("list checkpoints: %w", err)
	}
	return found, nil
}

// PublicOf is the newest key that has signed a checkpoint, as text; empty if none of
// those that are known here has.
func (l *Log) PublicOf(signed []byte) string {
	if l.c.Signer == nil {
		return ""
	}
	for _, key := range l.keys() {
		if _, err := transcript.Open(signed, key); err == nil {
			return fmt.Sprint(key)
		}
	}
	return ""
}

// Inclusion proves that leaf n is in the tree of the first size leaves.
func (l *Log) Inclusion(ctx context.Context, n, size int64) (tlog.RecordProof, error) {
	if err := l.within(ctx, n+1, size); err != nil {
		return nil, err
	}
	proof, err := tlog.ProveRecord(size, n, l.hashes(ctx))
	if err != nil {
		return nil, fmt.Errorf("prove a leaf: %w", err)
	}
	return proof, nil
}

// Consistency proves that the tree of the first to leaves begins with that of the
// first from.
func (l *Log) Consistency(ctx context.Context, from, to int64) (tlog.TreeProof, error) {
	if err := l.within(ctx, from, to); err != nil {
		return nil, err
	}
	proof, err := tlog.ProveTree(to, from, l.hashes(ctx))
	if err != nil {
		return nil, fmt.Errorf("prove a tree: %w", err)
	}
	return proof, nil
}

// within refuses a proof about leaves that are not there: 0 < part <= size <= all.
func (l *Log) within(ctx context.Context, part, size int64) error {
	tree, err := l.c.Store.ActTree(ctx)
	if err != nil {
		return fmt.Errorf("read the tree: %w", err)
	}
	if part < 1 || part > size || size > tree.Size {
		return fault.New(fault.InvalidInput, "proof_range", "the log has %d leaves: nothing is to be proved of %d in %d", tree.Size, part, size).
			WithHint("ask for a part of 1 to size, and a size that the log has; the latest checkpoint says which that is")
	}
	return nil
}

// exportPage is how many leaves are read at once.
const exportPage = 500

// Export writes the transcript of the log, or of one tenant's part. The operator's is
// of all up to now, a tenant's up to the latest checkpoint.
func (l *Log) Export(ctx context.Context, w io.Writer, tenant string) error {
	at := l.Latest
	if tenant == "" {
		at = l.Checkpoint
	}
	whole, err := at(ctx)
	if err != nil {
		return err
	}
	out, err := transcript.NewWriter(w, transcript.Header{Checkpoint: string(whole.Note), Tenant: tenant})
	if err != nil {
		return err
	}
	if tenant == "" {
		if err := l.exportCheckpoints(ctx, out, whole.Size); err != nil {
			return err
		}
	}
	if whole.Size == 0 {
		return nil
	}
	return l.exportLeaves(ctx, out, whole.Size, tenant)
}

// exportLeaves writes the leaves of the log, or of a tenant in it.
func (l *Log) exportLeaves(ctx context.Context, out *transcript.Writer, size int64, tenant string) error {
	hashes := l.hashes(ctx)
	f := Filter{To: size, Tenant: tenant, OfTenant: tenant != "", Limit: exportPage}
	for {
		leaves, err := l.list(ctx, f)
		if err != nil {
			return err
		}
		for _, leaf := range leaves {
			line := lineOf(leaf)
			if tenant != "" {
				if line.Proof, err = tlog.ProveRecord(size, leaf.N, hashes); err != nil {
					return fmt.Errorf("prove leaf %d: %w", leaf.N, err)
				}
			}
			if err := out.Write(line); err != nil {
				return err
			}
		}
		if len(leaves) < exportPage {
			return nil
		}
		f.From = leaves[len(leaves)-1].N + 1
	}
}

// exportCheckpoints writes those of fewer leaves than size.
func (l *Log) exportCheckpoints(ctx context.Context, out *transcript.Writer, size int64) error {
	for after := int64(-1); ; {
		found, err := l.c.Store.ActCheckpoints(ctx, after, size-1, exportPage)
		if err != nil {
			return fmt.Errorf("list checkpoints: %w", err)
		}
		for _, c := range found {
			if err := out.Write(transcript.Line{Checkpoint: string(c.Note)}); err != nil {
				return err
			}
			after = c.Size
		}
		if len(found) < exportPage {
			return nil
		}
	}
}

// lineOf is a leaf as a transcript has it.
func lineOf(leaf Leaf) transcript.Line {
	if leaf.Text == nil {
		return transcript.Line{N: leaf.N, Hash: &leaf.Hash}
	}
	return transcript.Line{N: leaf.N, Leaf: string(leaf.Text)}
}

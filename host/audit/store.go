package audit

import (
	"context"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/cofferdam-run/cofferdam/host/retention"
)

// Store keeps the log.
type Store interface {
	Sequence
	Leaves
}

// Sequence is how the log grows.
type Sequence interface {
	// AddActs adds entries to those that are pending, in one transaction.
	AddActs(ctx context.Context, es []Entry) error
	// SequenceActs makes leaves of up to limit pending entries, in one transaction, and
	// returns how many those were, and the tree. If the stored tiles do not have the
	// stored root it is ErrDamaged, and nothing is done.
	SequenceActs(ctx context.Context, limit int) (int, Tree, error)
	// ForgetActs takes away the texts of up to limit leaves of before a time, the first
	// ones first, and returns how many.
	ForgetActs(ctx context.Context, before time.Time, limit int) (int, error)
	// AddCheckpoint keeps a signed checkpoint; one of the same size stays as it is.
	AddCheckpoint(ctx context.Context, c Signed) error
	// TakeTurn takes or extends a turn, and says whether the holder has it.
	TakeTurn(ctx context.Context, t retention.Turn) (bool, error)
}

// Leaves is how the log is read.
type Leaves interface {
	// ActTree returns the tree.
	ActTree(ctx context.Context) (Tree, error)
	// Acts lists leaves, in order of their numbers.
	Acts(ctx context.Context, f Filter) ([]Leaf, error)
	// ActTile returns what is stored of a tile, which may be more than asked for.
	ActTile(ctx context.Context, level int, n int64) ([]byte, error)
	// ActCheckpoints lists checkpoints of more than after leaves, and of at most upTo
	// unless that is 0, in order of their size. A limit of -1 is the largest one.
	ActCheckpoints(ctx context.Context, after, upTo int64, limit int) ([]Signed, error)
}

// Tree is the tree of the first Size leaves.
type Tree struct {
	Size int64
	Root tlog.Hash
}

// Leaf is an entry with its number.
type Leaf struct {
	N int64
	// Tenant is whose it is, and At when it happened.
	Tenant string
	At     time.Time
	Action string
	Hash   tlog.Hash
	// Text is the canonical one, or nil if it was not kept.
	Text []byte
}

// Filter says which leaves are wanted.
type Filter struct {
	// From is the first number, and To the number after the last, or 0 for all.
	From, To int64
	// Tenant's only, if OfTenant: the empty tenant is nobody's.
	Tenant   string
	OfTenant bool
	// Action, if it is not empty, is the only one.
	Action string
	Limit  int
}

// Signed is a signed checkpoint.
type Signed struct {
	Size int64
	At   time.Time
	Note []byte
}

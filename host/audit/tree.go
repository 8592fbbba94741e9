package audit

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/cofferdam-run/cofferdam/host/audit/transcript"
)

// height is that of a tile: 256 hashes of 32 bytes are 8 KiB.
const height = 8

// ErrDamaged means that what is stored of the tree does not have its root: somebody
// has changed the one or the other.
var ErrDamaged = errors.New("the stored tree does not have the stored root")

// Tile is a row of up to 256 hashes of one level of the tree; see
// <https://c2sp.org/tlog-tiles>. Levels are those of tiles, from 0.
type Tile struct {
	Level int
	N     int64
	Data  []byte
}

// ReadTile returns what is stored of a tile.
type ReadTile func(ctx context.Context, level int, n int64) ([]byte, error)

// Pending is an entry that waits for its number.
type Pending struct {
	ID, Tenant string
	Text       []byte
	// Before is the number of the tenant's leaf before it, or -1.
	Before int64
}

// Grown is a tree with more leaves.
type Grown struct {
	Tree   Tree
	Leaves []Leaf
	Tiles  []Tile
}

// Grow adds entries to a tree, after it has looked whether the tiles are that tree's.
// Of entries of one tenant only the first one's Before is looked at. An entry that
// somebody has made unreadable becomes a leaf that says so.
func Grow(ctx context.Context, t Tree, pending []Pending, read ReadTile) (Grown, error) {
	g := &growth{tiles: tiles{ctx: ctx, read: read, cached: map[[2]int64][]byte{}}, fresh: map[int64]tlog.Hash{}}
	root, err := tlog.TreeHash(t.Size, g)
	if err != nil {
		return Grown{}, fmt.Errorf("read the tree: %w", err)
	}
	if root != t.Root {
		return Grown{}, fmt.Errorf("grow the tree of %d leaves: %w", t.Size, ErrDamaged)
	}
	out := Grown{Tree: t}
	before := map[string]int64{}
	for _, p := range pending {
		n := out.Tree.Size
		prev, ok := before[p.Tenant]
		if !ok {
			prev = p.Before
		}
		leaf, err := p.leaf(n, prev)
		if err != nil {
			return Grown{}, err
		}
		before[p.Tenant] = n
		if err := g.add(n, leaf.Hash); err != nil {
			return Grown{}, err
		}
		out.Leaves = append(out.Leaves, leaf)
		out.Tree.Size++
	}
	if out.Tree.Root, err = tlog.TreeHash(out.Tree.Size, g); err != nil {
		return Grown{}, fmt.Errorf("read the tree: %w", err)
	}
	for _, tile := range tlog.NewTiles(height, t.Size, out.Tree.Size) {
		data, err := tlog.ReadTileData(tile, g)
		if err != nil {
			return Grown{}, fmt.Errorf("make the tile %d/%d: %w", tile.L, tile.N, err)
		}
		out.Tiles = append(out.Tiles, Tile{Level: tile.L, N: tile.N, Data: data})
	}
	return out, nil
}

// leaf is the entry as the leaf n.
func (p Pending) leaf(n, prev int64) (Leaf, error) {
	says, err := transcript.Parse(p.Text)
	if err != nil {
		says = map[string]any{"action": "audit.unreadable", "id": p.ID, "result": string(Failed), "who": Host}
	}
	// What the row says of whose it is decides who sees it: the text must say the same.
	delete(says, "tenant")
	if p.Tenant != "" {
		says["tenant"] = p.Tenant
	}
	delete(says, "prev")
	if says["n"] = n; prev >= 0 {
		says["prev"] = prev
	}
	text, err := transcript.Canonical(says)
	if err != nil {
		return Leaf{}, fmt.Errorf("write leaf %d: %w", n, err)
	}
	leaf := Leaf{N: n, Tenant: p.Tenant, Hash: tlog.RecordHash(text), Text: text}
	leaf.Action, _ = says["action"].(string)
	at, _ := says["at"].(string)
	leaf.At = parseTime(at)
	return leaf, nil
}

// growth reads hashes that are stored, and those that are to be.
type growth struct {
	tiles

	fresh map[int64]tlog.Hash
}

// ReadHashes implements tlog.HashReader.
func (g *growth) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	hashes := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		h, ok := g.fresh[index]
		if !ok {
			var err error
			if h, err = g.hash(index); err != nil {
				return nil, err
			}
		}
		hashes[i] = h
	}
	return hashes, nil
}

func (g *growth) add(n int64, h tlog.Hash) error {
	hashes, err := tlog.StoredHashesForRecordHash(n, h, g)
	if err != nil {
		return fmt.Errorf("add leaf %d: %w", n, err)
	}
	first := tlog.StoredHashIndex(0, n)
	for i, h := range hashes {
		g.fresh[first+int64(i)] = h
	}
	return nil
}

// tiles reads hashes from tiles. It lives no longer than a call, whose context it has.
type tiles struct {
	ctx    context.Context //nolint:containedctx // tlog.HashReader has no place for it.
	read   ReadTile
	cached map[[2]int64][]byte
}

// ReadHashes implements tlog.HashReader.
func (t *tiles) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	hashes := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		h, err := t.hash(index)
		if err != nil {
			return nil, err
		}
		hashes[i] = h
	}
	return hashes, nil
}

func (t *tiles) hash(index int64) (tlog.Hash, error) {
	tile := tlog.TileForIndex(height, index)
	at := [2]int64{int64(tile.L), tile.N}
	data, ok := t.cached[at]
	if !ok {
		var err error
		if data, err = t.read(t.ctx, tile.L, tile.N); err != nil {
			return tlog.Hash{}, err
		}
		t.cached[at] = data
	}
	h, err := tlog.HashFromTile(tile, data, index)
	if err != nil {
		return tlog.Hash{}, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return h, nil
}

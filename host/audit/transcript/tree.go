package transcript

import (
	"golang.org/x/mod/sumdb/tlog"
)

// frontier is a Merkle tree (RFC 6962) that leaves are added to at the end. It holds
// the roots of its complete subtrees, the largest first: one for each bit of size.
type frontier struct {
	size  int64
	roots []tlog.Hash
}

// add adds the hash of a leaf.
func (f *frontier) add(h tlog.Hash) {
	for n := f.size; n&1 == 1; n >>= 1 {
		last := len(f.roots) - 1
		h = tlog.NodeHash(f.roots[last], h)
		f.roots = f.roots[:last]
	}
	f.roots = append(f.roots, h)
	f.size++
}

// root is the tree's.
func (f *frontier) root() tlog.Hash {
	if f.size == 0 {
		empty, _ := tlog.TreeHash(0, nil) // It reads nothing, and cannot fail.
		return empty
	}
	h := f.roots[len(f.roots)-1]
	for i := len(f.roots) - 2; i >= 0; i-- {
		h = tlog.NodeHash(f.roots[i], h)
	}
	return h
}

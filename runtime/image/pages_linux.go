package image

import (
	"bytes"
	"fmt"

	"golang.org/x/sys/unix"
)

const (
	// copiedPages is how many pages of a sandbox's own are put back one by one.
	// With more, dropping them all is cheaper, and gives 2 MiB back.
	copiedPages = 512
	// kernelWarm is how much of the kernel's part is zeroed in place and stays
	// resident: the next call uses it again. What is above is dropped.
	kernelWarm = 256 << 10
	// idleResets is after how many resets in a row, in which most of a sandbox's
	// own pages had not changed, they are dropped: one unusual call must not make
	// all later ones pay for looking at its pages.
	idleResets = 32
	// idlePages are so few that looking at them costs less than fetching one.
	idlePages = 32
)

// pages is a sandbox's range on Linux. A page that it has written stays its own
// after a reset, with the image's content in it: the next call most likely writes
// the same page, and then need not fetch it.
type pages struct {
	*mapping
	store *sealed
	idle  int
	// own is how many of the guest's pages are the sandbox's own, and warm how many
	// bytes of the kernel's part were ever used of those that stay.
	own, warm int
}

func (p *pages) reset(high, kernelUsed int) (int, error) {
	n, err := p.resetGuest(high)
	if err != nil {
		return n, err
	}
	warm := min(kernelUsed, kernelWarm)
	clear(p.all[p.guestMax : p.guestMax+warm])
	p.warm = max(p.warm, warm)
	return n, p.drop(p.guestMax+kernelWarm, p.guestMax+kernelUsed)
}

func (p *pages) held() int {
	page := len(p.store.zeroes)
	return p.own*page + roundUp(p.warm, page)
}

func (p *pages) resetGuest(high int) (int, error) {
	page := len(p.store.zeroes)
	p.own = 0
	if p.store.mechanism == Advise || high == 0 {
		return high / page, p.dropGuest(high)
	}
	s, _ := p.store.surveys.Get().(*survey)
	defer p.store.surveys.Put(s)
	if !s.take(p, high) {
		p.idle = 0
		return high / page, p.dropGuest(high)
	}
	owned, changed := p.restore(s.found())
	p.own = owned
	if owned <= idlePages || owned <= 4*changed {
		p.idle = 0
		return changed, nil
	}
	if p.idle++; p.idle < idleResets {
		return changed, nil
	}
	p.own = 0
	p.idle = 0
	return changed, p.dropGuest(high)
}

// dropGuest drops the guest's first bytes. What is not there is not protected either.
func (p *pages) dropGuest(high int) error {
	if err := p.drop(0, high); err != nil || p.store.watch == nil {
		return err
	}
	return p.store.watch.again(p.all[:min(roundUp(high, len(p.store.zeroes)), p.file)])
}

// restore puts pages back that are not as they were. To compare is as cheap as to
// copy, and says what the call has changed.
func (p *pages) restore(found []region) (owned, changed int) {
	base, page, view := uint64(uintptr(p.base)), len(p.store.zeroes), p.store.view
	for _, r := range found {
		for at, end := int(r.start-base), int(r.end-base); at < end; at += page {
			have, want := p.all[at:at+page], p.store.zeroes
			if at < len(view) {
				want = view[at : at+page]
			}
			owned++
			if !bytes.Equal(have, want) {
				copy(have, want)
				changed++
			}
		}
	}
	return owned, changed
}

// drop gives a sandbox's own pages in a range back: then it shows the image again,
// or zeroes behind it. From begins a page; the page in which to lies goes, too.
func (p *pages) drop(from, to int) error {
	to = roundUp(to, len(p.store.zeroes))
	if to <= from {
		return nil
	}
	if err := unix.Madvise(p.all[from:to], unix.MADV_DONTNEED); err != nil {
		return fmt.Errorf("drop %d bytes of pages: %w", to-from, err)
	}
	return nil
}

package journal

import (
	"context"

	"github.com/cofferdam-run/cofferdam/hostfns"
)

// underway is an effect that goes on after its answer: an upload that is not finished.
// There is one at a time, and no other effect meanwhile: whatever ends the run then, no
// effect comes after the one that nobody knows of.
type underway struct {
	// crossing is the gate's ordinal of the one that began it; 0 for none.
	crossing int
	// at is its entry's index.
	at int
	// before says that it was sent before, by an earlier run.
	before bool
}

// part notes what the entry at an index, which has just been answered, begins or
// concludes. It says whether the outcome of something that was announced is known now.
func (j *Journal) part(ctx context.Context, at int) bool {
	goesOn, concludes := hostfns.Parts(ctx)
	e := &j.entries[at]
	switch {
	case goesOn:
		e.GoesOn, e.Outcome = true, hostfns.Unknown
		j.underway = underway{crossing: hostfns.Ordinal(ctx), at: at, before: j.before != nil}
		return false
	case concludes == 0 || concludes != j.underway.crossing:
		return false
	}
	began := &j.entries[j.underway.at]
	began.GoesOn, began.Outcome = false, e.Outcome
	if j.underway.before && began.Outcome == hostfns.NotDone {
		// That it was not accepted now says nothing of the first time.
		began.Outcome = hostfns.Unknown
	}
	e.Of = began.Ordinal
	j.touch(j.underway.at)
	j.underway = underway{}
	return began.Effect == hostfns.Unsafe
}

// alone refuses an effect while another goes on.
func (j *Journal) alone(ctx context.Context, request []byte) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.underway.crossing == 0 || hostfns.EffectOf(ctx, request) <= hostfns.Read {
		return nil
	}
	return hostfns.Errorf(hostfns.CodeInvalidRequest,
		"an upload is open, and nothing else can be changed meanwhile: finish it first, or close it")
}

// whole has a run end at the upload that it was about, if it was about one: that is what
// is made again, or asked about, and not a part of it. What has happened after an upload
// that went wrong, the guest did in spite of that.
func whole(entries []Entry, ending Ending) []Entry {
	for i := range entries {
		if entries[i].GoesOn {
			return ended(entries, i)
		}
	}
	last := entries[len(entries)-1]
	if of := last.Of; of > 0 && (ending == Passing || ending == Raised) && entries[of].Outcome != hostfns.Done {
		return ended(entries, of)
	}
	return entries
}

func ended(entries []Entry, at int) []Entry {
	entries = entries[:at+1]
	entries[at] = entries[at].begun()
	return entries
}

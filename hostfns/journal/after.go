package journal

import (
	"fmt"
	"slices"

	"github.com/cofferdam-run/cofferdam/hostfns"
)

// Ending is how a run ended that did not succeed.
type Ending byte

const (
	// Interrupted runs crashed, lost their lease, wait, or their host has failed.
	Interrupted Ending = iota
	// Passing is a guest that gave up with an error that may pass, such as rate_limited.
	Passing
	// Conflicted runs have read state that another has changed since.
	Conflicted
	// Raised is a guest that gave up with an error of which nothing is known.
	Raised
	// Changed runs have found that what was streamed before is not there any more as it
	// was.
	Changed
	// Hopeless runs cannot succeed as they are: a trap, a limit, an input that is refused.
	Hopeless
)

// mostStarts is how often an execution is made from its start again because of an
// error of which nothing is known.
const mostStarts = 3

// Failure is a run that did not succeed.
type Failure struct {
	Ending Ending
	// Stale is the Conflicted read's ordinal.
	Stale int
	// Starts is how often the execution was made from its start again.
	Starts int
	// Mend says whether an effect that is Unknown may be made again: because its
	// request has an idempotency key that the other side still knows, or because the
	// plugin can find out. Defaults to never. It is not asked of what is Idempotent.
	Mend func(Entry) bool
	// Confirm says that the plugin can find out whether an effect that is Unknown has
	// happened, with calls that change nothing.
	Confirm bool
}

// Next is what follows a run that did not succeed.
type Next struct {
	// Entries are what the next run begins with. They are nil if it is Dead.
	Entries []Entry
	// Restarts says that it begins from the start, for want of anything better.
	Restarts bool
	// Dead says that no retry could help, and Reason why.
	Dead   bool
	Reason string
	// Confirm says that the plugin has to find out first whether the last entry's
	// effect has happened: see [Settle].
	Confirm bool
	// Ambiguous is the effect of which a person has to say whether it was made.
	Ambiguous *Entry
}

// After says what follows a run with these entries, the first of which is its
// start. What it returns shares nothing with them. No cut comes before what was, or
// may have been, changed outside.
func After(entries []Entry, f Failure) Next {
	entries = slices.Clone(entries)
	all := entries
	if f.Ending == Passing || f.Ending == Raised {
		entries = entries[:lastCall(entries)+1]
	}
	entries = whole(entries, f.Ending)
	last := &entries[len(entries)-1]
	switch {
	case f.Ending == Hopeless:
		return dead("the same would happen again. A new version, another configuration, grant or limit can help")
	case f.Ending != Changed && last.settled() && last.Outcome == hostfns.Unknown && (last.Confirm || last.Answered.IsZero() || f.Ending == Passing || f.Ending == Raised):
		return again(entries, f)
	case f.Ending == Interrupted:
		return Next{Entries: entries}
	case f.Ending == Changed:
		return restart(entries, f, "it has to be made from its start, because a body that was streamed has changed since")
	case f.Ending == Conflicted:
		return cut(entries, f.Stale, "state that the run had read was changed by another")
	case last.Outcome == hostfns.NotDone:
		last.Again = true
		return Next{Entries: entries}
	case f.Ending == Passing:
		at := len(entries) - 1
		if of := entries[at].Of; of > 0 {
			at = of
		}
		return passing(all, at)
	default:
		return restart(entries, f, "it has to be made from its start")
	}
}

// restart has all of it made again.
func restart(entries []Entry, f Failure, why string) Next {
	if f.Starts >= mostStarts {
		return dead(fmt.Sprintf("it was made from its start %d times more, and each time it failed", f.Starts))
	}
	next := cut(entries, 1, why)
	next.Restarts = !next.Dead
	return next
}

// again has the last effect made again if that is safe.
func again(entries []Entry, f Failure) Next {
	last := &entries[len(entries)-1]
	if last.Effect == hostfns.Unsafe && (f.Mend == nil || !f.Mend(*last)) {
		if f.Confirm {
			last.Confirm, last.Again = true, false
			return Next{Entries: entries, Confirm: true}
		}
		next := dead(fmt.Sprintf("nobody knows whether entry %d, %s, has had its effect: it was sent, and no final answer came", last.Ordinal, last.Func))
		next.Ambiguous = last
		return next
	}
	last.Again, last.Confirm = true, false
	return Next{Entries: entries}
}

// cut keeps what is before an entry.
func cut(entries []Entry, at int, why string) Next {
	for i := at; i < len(entries); i++ {
		if e := &entries[i]; e.settled() {
			return dead(fmt.Sprintf("%s, and after that entry %d, %s, has changed something outside, which would be done twice", why, e.Ordinal, e.Func))
		}
	}
	return Next{Entries: entries[:min(at, len(entries))]}
}

// lastCall is the index of what the guest gave up about: it came from elsewhere, which
// neither a read of state nor a sleep did. Where there is nothing else it is that of the
// start.
func lastCall(entries []Entry) int {
	at := len(entries) - 1
	for at > 0 && (entries[at].Func == StateFunc || entries[at].Func == hostfns.SleepFunc) {
		at--
	}
	return at
}

// passing has the call with an index made again, which was answered and is the last. An
// effect that may be made twice is made again as it was. Behind another one the guest
// may have waited for something, and waits on.
func passing(entries []Entry, at int) Next {
	switch e := &entries[at]; {
	case at == 0:
		at = 1
	case e.Effect == hostfns.Idempotent:
		e.Again = true
		return Next{Entries: entries[:at+1]}
	case e.settled():
		waits := func(e Entry) bool { return e.Func == hostfns.SleepFunc }
		if n := slices.IndexFunc(entries[at:], waits); n > 0 {
			at += n
		}
	}
	return cut(entries, at, "its last answer has to be asked for again")
}

func dead(reason string) Next { return Next{Dead: true, Reason: reason} }

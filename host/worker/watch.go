package worker

import (
	"github.com/cofferdam-run/cofferdam/hostfns"
	"github.com/cofferdam-run/cofferdam/hostfns/guestlog"
)

// Watcher is told what runs do as they do it: the same as their traces show once they
// have ended. What it is told has no secrets in it. Its functions are called by many
// goroutines and must not block: the guest waits for them. Each defaults to nobody.
type Watcher struct {
	// Step is told each crossing once it was answered, those too that were answered
	// from the journal.
	Step func(Caller, hostfns.Step)
	// Line is told each line of log.
	Line func(Caller, guestlog.Line)
}

// watching is a Watcher of one run.
type watching struct {
	step func(hostfns.Step)
	line func(guestlog.Line)
}

func (w Watcher) of(c Caller) (one watching) {
	if w.Step != nil {
		one.step = func(s hostfns.Step) { w.Step(c, s) }
	}
	if w.Line != nil {
		one.line = func(l guestlog.Line) { w.Line(c, l) }
	}
	return one
}

package replay

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/cofferdam-run/cofferdam/hostfns"
	"github.com/cofferdam-run/cofferdam/hostfns/guestlog"
	"github.com/cofferdam-run/cofferdam/hostfns/journal"
	"github.com/cofferdam-run/cofferdam/runtime"
)

// Verdict is how a run compares with the recorded one: by the first of these that
// differs.
type Verdict string

const (
	// Same says that calls, outcome, output, what was left behind and fuel are those
	// recorded, as far as they can be compared.
	Same Verdict = "same"
	// CallsDiffer says that the run asked for something else, for more, or for less.
	CallsDiffer Verdict = "calls_differ"
	// CannotTell says that the run asked for a part of a body that was streamed, which no
	// recording has. Up to there nothing differs.
	CannotTell Verdict = "cannot_tell"
	// OutcomeDiffers says that one of the two failed, or both in different ways.
	OutcomeDiffers Verdict = "outcome_differs"
	// OutputDiffers says that both succeeded, with different outputs.
	OutputDiffers Verdict = "output_differs"
	// LeftDiffers says that records, tags or state differ.
	LeftDiffers Verdict = "left_differs"
	// FuelDiffers says that all is the same but the fuel, where it must be.
	FuelDiffers Verdict = "fuel_differs"
)

// Report is what a replayed run came to.
type Report struct {
	// Module is the digest of what was run, and Image that of its memory.
	Module string `json:"module"`
	Image  string `json:"image,omitempty"`
	// Outcome is Interrupted where the run had to end for want of an answer.
	Outcome Outcome `json:"outcome"`
	Output  Body    `json:"output,omitzero"`
	Error   *Error  `json:"error,omitempty"`
	// Failure is the Error with its stack, or nil.
	Failure *runtime.Failure `json:"-"`
	Usage   runtime.Usage    `json:"usage"`
	// Steps and Logs have the times of the recording. The step that had no answer has
	// the code "not_recorded".
	Steps     []hostfns.Step  `json:"steps"`
	Logs      []guestlog.Line `json:"logs"`
	LostLines int             `json:"lost_lines,omitempty"`
	// Reads has the version of each key of state that was read.
	Reads map[string]int64 `json:"reads,omitempty"`
	// Left is what the run would leave behind.
	Left *Left `json:"left"`
	// Asked is how many of the entries were asked for.
	Asked int `json:"asked"`
	// Divergence is the first call that differs, and where the run ended.
	Divergence *Divergence `json:"divergence,omitempty"`
	// Open is the call that has no answer yet, at which the recorded run ended too.
	Open *Call `json:"open,omitempty"`
	// Lacks is the call whose answer a recording does not have, because it was a part of
	// a body that was streamed: the run ended there, and was the recorded one up to it.
	Lacks *Call `json:"lacks,omitempty"`
	// FuelCompared says that the fuel must be what was recorded, and was compared.
	FuelCompared bool `json:"fuel_compared"`
	// Differences are all that there are, the first one first.
	Differences []Difference `json:"differences,omitempty"`
}

// Difference is one thing that was recorded otherwise.
type Difference struct {
	Verdict Verdict `json:"verdict"`
	// Recorded and Now are the two, for people.
	Recorded string `json:"recorded"`
	Now      string `json:"now"`
}

// Divergence is two calls at one place. Without an Expected one the run asks for
// more than was recorded; without an Actual one it ended before it asked.
type Divergence struct {
	Expected *Call `json:"expected,omitempty"`
	Actual   *Call `json:"actual,omitempty"`
}

// Call is a question to the world outside.
type Call struct {
	// Ordinal counts the questions from 1, whether they are steps or not.
	Ordinal int    `json:"ordinal"`
	Func    string `json:"func"`
	// Summary is the line that a trace shows of it.
	Summary string         `json:"summary,omitempty"`
	Digest  journal.Digest `json:"digest"`
	// Request is what was asked; nil where only its Digest was recorded.
	Request Body `json:"request,omitzero"`
	// Effect and Outcome are a recorded one's.
	Effect  string `json:"effect,omitempty"`
	Outcome string `json:"outcome,omitempty"`
}

// String is the Call on one line.
func (c *Call) String() string {
	what := c.Summary
	if what == "" && c.Request != nil {
		const shown = 200
		what = fmt.Sprintf("%.*q", shown, c.Request)
	}
	if what == "" {
		what = fmt.Sprintf("a request with the digest %x", c.Digest[:8])
	}
	return c.Func + " " + what
}

// Same says whether nothing differs.
func (r *Report) Same() bool { return len(r.Differences) == 0 }

// Verdict says what differs first.
func (r *Report) Verdict() Verdict {
	if r.Same() {
		return Same
	}
	return r.Differences[0].Verdict
}

// compare fills in what differs from what was recorded.
func (r *Report) compare(of *Recording, p *player) {
	r.FuelCompared = of.Fuel > 0 && of.Outcome != Interrupted && r.Module == of.World.Module && of.World.Model == runtime.Model &&
		(of.World.Image == "" || of.World.Image == r.Image)
	if r.compareCalls(of, p); !r.Same() || of.Outcome == Interrupted || r.Open != nil && of.Outcome != Suspended {
		return // The rest follows from that, or was not the guest's doing.
	}
	r.compareEnds(of)
	if of.Left != nil && r.Outcome == Succeeded && of.Outcome == Succeeded {
		r.compareLeft(of.Left)
	}
	if r.FuelCompared && r.Usage.Fuel != of.Fuel {
		r.differ(FuelDiffers, fmt.Sprintf("%d units of fuel", of.Fuel), fmt.Sprintf("%d%s", r.Usage.Fuel, p.fuelDiffers()))
	}
}

func (r *Report) differ(v Verdict, recorded, now string) {
	r.Differences = append(r.Differences, Difference{Verdict: v, Recorded: recorded, Now: now})
}

func (r *Report) compareCalls(of *Recording, p *player) {
	if r.Divergence == nil && r.Open == nil && r.Lacks == nil && p.next < len(p.entries) {
		r.Divergence = &Divergence{Expected: p.recorded(p.entries[p.next])}
	}
	d := r.Divergence
	switch {
	case r.Lacks != nil:
		r.differ(CannotTell, fmt.Sprintf("entry %d: %s, a part of a body that was streamed", r.Lacks.Ordinal, r.Lacks), "no recording has such bodies: the run ended there")
	case d == nil:
	case d.Expected == nil && of.Outcome == Interrupted:
		// The recorded run was stopped before it came here.
		r.Divergence, r.Open = nil, d.Actual
	case d.Expected == nil:
		r.differ(CallsDiffer, fmt.Sprintf("nothing beyond entry %d", max(0, len(p.entries)-1)), fmt.Sprintf("call %d: %s", d.Actual.Ordinal, d.Actual))
	case d.Actual == nil:
		r.differ(CallsDiffer, fmt.Sprintf("entry %d: %s", d.Expected.Ordinal, d.Expected), "the run ended without asking for it")
	default:
		r.differ(CallsDiffer, fmt.Sprintf("entry %d: %s", d.Expected.Ordinal, d.Expected), d.Actual.String())
	}
}

func (r *Report) compareEnds(of *Recording) {
	switch {
	case r.Outcome != of.Outcome, r.Outcome == Failed && !of.Error.matches(r.Error):
		r.differ(OutcomeDiffers, ending(of.Outcome, of.Error), ending(r.Outcome, r.Error))
	case r.Outcome == Succeeded && !bytes.Equal(r.Output, of.Output) && !bytes.Equal(Kept(r.Output), of.Output):
		recorded, now := aroundFirst(of.Output, r.Output)
		r.differ(OutputDiffers, recorded, now)
	}
}

// compareLeft compares what was left behind, part by part.
func (r *Report) compareLeft(of *Left) {
	for _, part := range []struct {
		name          string
		recorded, now any
	}{
		{"records", of.Records, r.Left.Records},
		{"tags", of.Tags, r.Left.Tags},
		{"state", of.State, r.Left.State},
	} {
		recorded, err := encode(part.recorded)
		now, nowErr := encode(part.now)
		if err = errors.Join(err, nowErr); err != nil {
			r.differ(LeftDiffers, part.name, err.Error())
			continue
		}
		if !bytes.Equal(recorded, now) {
			was, is := aroundFirst(recorded, now)
			r.differ(LeftDiffers, part.name+" "+was, is)
		}
	}
}

// matches says whether a failure is the one that was recorded, whose message may
// have been cut, or be one that stands for none.
func (e *Error) matches(now *Error) bool {
	if e == nil {
		return true // It is not known.
	}
	const cut = " ... (cut)"
	if head, ok := strings.CutSuffix(e.Message, cut); ok {
		return e.Code == now.Code && strings.HasPrefix(now.Message, head)
	}
	return e.Code == now.Code && (now.Message == "" || e.Message == now.Message)
}

func ending(o Outcome, e *Error) string {
	if e == nil {
		return string(o)
	}
	return fmt.Sprintf("%s with %s: %s", o, e.Code, e.Message)
}

// aroundFirst shows where two texts begin to differ, with something before and
// after it.
func aroundFirst(a, b []byte) (string, string) {
	const before, shown = 40, 120
	at := 0
	for at < min(len(a), len(b)) && a[at] == b[at] {
		at++
	}
	from := max(0, at-before)
	show := func(s []byte) string {
		text := string(s[from:min(len(s), from+shown)])
		if from > 0 {
			text = "..." + text
		}
		if len(s) > from+shown {
			text += "..."
		}
		return strings.ToValidUTF8(text, "\uFFFD")
	}
	return show(a), show(b)
}

package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/cofferdam-run/cofferdam/chaos/ledger"
)

// shownEvidence is how many broken promises are told one by one.
const shownEvidence = 50

// report is what came of the cycles on a database.
type report struct {
	cycles                                   int
	kills                                    map[moment]int
	delivered, accepted, repeated, succeeded int
	lost                                     int
	// What was done twice: executions, changes of state, records, effects with and
	// without an idempotency key.
	executions, state, records, keyed, plain int
	ambiguous, quarantined                   int
	resolved, resent, claims                 int
	counts                                   ledger.Counts
	// claimed and resumed are the times from a kill to when what was in flight was
	// claimed again, and ran again, in their order. Late is what was not, because the
	// server that should have was killed before.
	claimed, resumed []time.Duration
	late             int
	evidence         []string
	took             time.Duration
	// suffered is what a trouble did, if there was one.
	suffered suffering
}

func (r *report) duplicated() int { return r.executions + r.state + r.records + r.keyed + r.plain }

// broken says that something was promised and did not happen.
func (r *report) broken() bool { return r.lost > 0 || r.duplicated() > 0 }

// resolve adds what came of the resolution of what was ambiguous: then everything has
// succeeded, once.
func (r *report) resolve(after *report) {
	r.resolved = after.succeeded - r.succeeded
	r.evidence = append(r.evidence, after.evidence...)
	still := after.ambiguous + after.quarantined
	r.lost += after.lost + still
	if still > 0 {
		r.evidence = append(r.evidence, fmt.Sprintf("lost: %d executions are dead still, once a person has decided", still))
	}
	r.executions += after.executions
	r.state += after.state
	r.records += after.records
	r.keyed += after.keyed
	r.plain += after.plain
}

// add adds what the last line is about.
func (r *report) add(other *report) {
	r.cycles += other.cycles
	r.lost += other.lost
	r.executions += other.duplicated()
}

func (r *report) print(out io.Writer, name string) {
	for i, e := range r.evidence {
		if i == shownEvidence {
			fmt.Fprintf(out, "... and %d more\n", len(r.evidence)-i)
			break
		}
		fmt.Fprintln(out, e)
	}
	if r.suffered.trouble != "" {
		r.suffered.print(out, name)
	}
	line := func(what string, value any) { fmt.Fprintf(out, "chaos %s %s %v\n", name, what, value) }
	line("cycles", r.cycles)
	for _, m := range slices.Sorted(maps.Keys(r.kills)) {
		line("kills_"+string(m), r.kills[m])
	}
	line("delivered", r.delivered)
	line("accepted", r.accepted)
	line("delivered_again", r.repeated)
	line("succeeded", r.succeeded)
	line("lost", r.lost)
	line("duplicated_executions", r.executions)
	line("duplicated_state_changes", r.state)
	line("duplicated_records", r.records)
	line("duplicated_effects_keyed", r.keyed)
	line("duplicated_effects_unkeyed", r.plain)
	line("ambiguous", r.ambiguous)
	line("quarantined", r.quarantined)
	line("resolved", r.resolved)
	line("resent_calls", r.resent)
	line("claims", r.claims)
	line("ledger", fmt.Sprintf("gets=%d posts=%d busy=%d limited=%d failed=%d held=%d",
		r.counts.Gets, r.counts.Posts, r.counts.Busy, r.counts.Limited, r.counts.Failed, r.counts.Held))
	line("resumed", len(r.resumed))
	line("resume_interrupted", r.late)
	line("claimed_again_p99", quantile(r.claimed, 0.99).Round(time.Millisecond))
	line("resume_p50", quantile(r.resumed, 0.5).Round(time.Millisecond))
	line("resume_p99", quantile(r.resumed, 0.99).Round(time.Millisecond))
	line("took", r.took.Round(time.Second))
}

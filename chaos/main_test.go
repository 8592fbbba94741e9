package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestMain has the test binary be the server that is killed, too.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == childCommand {
		main()
		return
	}
	os.Exit(m.Run())
}

func chaos(t *testing.T, args ...string) (last, all string, err error) {
	t.Helper()
	var out bytes.Buffer
	err = run(t.Context(), args, &out)
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	return lines[len(lines)-1], out.String(), err
}

func TestAFewKillsLoseNothing(t *testing.T) {
	t.Parallel()
	last, all, err := chaos(t, "-cycles", "3", "-database", "sqlite", "-long", "0.5")
	if want := "chaos lost=0 duplicated=0 cycles=3"; err != nil || last != want {
		t.Errorf("the last line is %q and the error %v, want %q; all of it:\n%s", last, err, want, all)
	}
	for _, what := range []string{"accepted", "resent_calls", "ambiguous", "duplicated_effects_keyed 0", "duplicated_effects_unkeyed 0", "resume_p99"} {
		if !strings.Contains(all, "chaos sqlite "+what) {
			t.Errorf("the report lacks %s:\n%s", what, all)
		}
	}
}

// Without a journal it fails, or else what it says of one with a journal is nothing.
func TestAServerThatKeepsNoJournalIsFoundOut(t *testing.T) {
	t.Parallel()
	last, all, err := chaos(t, "-cycles", "3", "-database", "sqlite", "-moment", "done", "-naive")
	if !errors.Is(err, errBroken) || strings.Contains(last, " duplicated=0 ") || !strings.Contains(all, "duplicated: ") {
		t.Errorf("the last line is %q and the error %v, want effects that were had twice, or asked for so that they could be; all of it:\n%s", last, err, all)
	}
}

func TestOptionsThatMakeNoSenseAreRefused(t *testing.T) {
	t.Parallel()
	if _, _, err := chaos(t, "-database", "oracle"); err == nil || !strings.Contains(err.Error(), `"oracle"`) {
		t.Errorf("got %v, want an error that names the database", err)
	}
	if _, _, err := chaos(t, "-cycles", "many"); err == nil {
		t.Error("a number that is none was taken")
	}
	if _, _, err := chaos(t, "-moment", "noon"); err == nil || !strings.Contains(err.Error(), "appending") {
		t.Errorf("got %v, want an error that names the moments", err)
	}
}

// sleeping is a process to kill.
func sleeping(t *testing.T) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, "sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Skipf("there is no sleep to kill: %v", err)
	}
	return cmd
}

func TestHunterKillsOnceAtTheMoment(t *testing.T) {
	t.Parallel()
	prey := sleeping(t)
	h := &hunter{}
	h.happened(asked) // There is nobody to kill yet.
	h.hunt(prey.Process)
	h.wait(done, 0)
	h.happened(asked)
	if at, _ := h.last(); !at.IsZero() {
		t.Error("it was killed at another moment")
	}
	h.happened(done)
	first, by := h.last()
	h.kill()
	if again, _ := h.last(); first.IsZero() || by != done || !again.Equal(first) {
		t.Errorf("it was killed at %s by %s, and again at %s", first, by, again)
	}
	if err := prey.Wait(); err == nil {
		t.Error("it lives")
	}
}

func TestPulseMeasuresWhatTheNextServerResumes(t *testing.T) {
	t.Parallel()
	p := newPulse(&hunter{})
	epoch := time.Unix(1000, 0)
	at := func(ms int, words ...string) line {
		return line{at: epoch.Add(time.Duration(ms) * time.Millisecond), words: words}
	}
	for _, l := range []line{at(0, "claimed", "a", "1"), at(1, "claimed", "b", "1"), at(2, "claimed", "c", "1"), at(3, "begun", "a", "1"), at(5, "completed", "c", "1")} {
		p.hear(l)
	}
	p.stops(epoch.Add(10 * time.Millisecond))
	for _, l := range []line{at(110, "claimed", "a", "2"), at(120, "begun", "a", "2")} {
		p.hear(l)
	}
	p.stops(epoch.Add(200 * time.Millisecond)) // Nobody has come to b.
	p.hear(at(900, "claimed", "b", "2"))
	p.hear(at(901, "begun", "b", "2"))
	var r report
	p.results(&r)
	want := []time.Duration{110 * time.Millisecond}
	if diff := cmp.Diff(want, r.resumed); diff != "" || r.late != 1 || r.claims != 5 {
		t.Errorf("resumed (-want +got):\n%s\nlate %d, claims %d; want 1 and 5", diff, r.late, r.claims)
	}
	if want := []time.Duration{100 * time.Millisecond}; !cmp.Equal(want, r.claimed) {
		t.Errorf("claimed again after %v, want %v", r.claimed, want)
	}
}

func TestQuantiles(t *testing.T) {
	t.Parallel()
	var hundred []time.Duration
	for i := range 100 {
		hundred = append(hundred, time.Duration(i+1))
	}
	for _, tt := range []struct {
		of   []time.Duration
		q    float64
		want time.Duration
	}{{nil, 0.5, 0}, {hundred[:1], 0.99, 1}, {hundred[:3], 0.5, 2}, {hundred, 0.5, 50}, {hundred, 0.99, 99}, {hundred, 1, 100}} {
		if got := quantile(tt.of, tt.q); got != tt.want {
			t.Errorf("the quantile %g of %d values is %d, want %d", tt.q, len(tt.of), got, tt.want)
		}
	}
}

func TestAReportAddsUpWhatCounts(t *testing.T) {
	t.Parallel()
	total := report{}
	total.add(&report{cycles: 2, lost: 1, keyed: 2})
	total.add(&report{cycles: 3, plain: 3, state: 1})
	if total.cycles != 5 || total.lost != 1 || total.duplicated() != 6 || !total.broken() {
		t.Errorf("it comes to %+v", total)
	}
	r := report{succeeded: 5, ambiguous: 2}
	r.resolve(&report{succeeded: 6, ambiguous: 1})
	if r.resolved != 1 || r.lost != 1 || len(r.evidence) != 1 {
		t.Errorf("one that is not resolved gives %+v", r)
	}
}

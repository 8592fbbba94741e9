package golden

import (
	"context"

	"github.com/cofferdam-run/cofferdam/cmd/cofferdam/internal/trial"
)

// Update gives the test that the plugin passes as it is: what it expects, and what it
// says of requests, are those of a run. The answers are the test's still, for nobody
// else has any. A test that cannot be run so far, or that lacks an answer, has
// Problems in the Result, and comes back as it was.
func Update(ctx context.Context, b *trial.Bench, s Subject) (Test, *Result, error) {
	r, err := run(ctx, b, s, true)
	if err != nil || r.Report == nil {
		return s.Test, r, err
	}
	t := s.Test
	if len(r.world.asked) > len(t.HTTP) || len(r.world.called) > len(t.Functions) {
		r.Problems = r.world.problems
		return t, r, nil
	}
	r.Problems = nil
	exchanges := make([]Exchange, len(r.world.asked))
	for i, asked := range r.world.asked {
		now := shownOf(asked, t.HTTP[i].Request)
		exchanges[i] = t.HTTP[i]
		exchanges[i].Request = &now
	}
	answers := make([]Answer, len(r.world.called))
	for i, called := range r.world.called {
		answers[i] = t.Functions[i]
		answers[i].Function, answers[i].Request = called.Function, called.Request
	}
	if signed := r.world.recorded(); signed != nil || t.Sign != nil {
		t.Sign = append([]Signature{}, signed...)
	}
	logged := t.Expect.Logs != nil
	t.HTTP, t.Functions, t.Expect = exchanges, answers, actual(r.Report, t.State)
	if !logged {
		t.Expect.Logs = nil
	}
	return t, r, nil
}

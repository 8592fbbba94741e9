package replay

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"unicode/utf8"

	"github.com/cofferdam-run/cofferdam/hostfns"
	"github.com/cofferdam-run/cofferdam/runtime"
	"github.com/cofferdam-run/cofferdam/runtime/wasm"
)

// Options say what a Recording is run on.
type Options struct {
	// Module is the digest of the module that is run, as DigestOf gives it. Defaults
	// to that of the Recording's own, which the caller then vouches for.
	Module string
	// Functions are an embedder's own. What they compute is computed; what they would
	// ask outside for is answered by the Recording, so that nothing is called but their
	// summaries. Defaults to none.
	Functions []hostfns.Func
	// Share says whose CPU the run uses. Defaults to everybody's.
	Share runtime.Share
}

// Run runs a Recording, on its own module or on another, and reports how the two
// compare. Nothing can be reached by it. An error is the host's: the context has
// ended, or the Recording is none.
func Run(ctx context.Context, m *runtime.Module, r Recording, o Options) (*Report, error) {
	if err := r.Check(); err != nil {
		return nil, fmt.Errorf("replay recording: %w", err)
	}
	p := newPlayer(r, m.Imports(), o.Functions)
	result, err := m.Call(ctx, runtime.Call{
		Export: r.Export, Input: r.Input, Host: p.gate,
		World:  runtime.World{Seed: r.World.Seed, Start: p.journal.Start(), Config: ConfigStrings(r.World.Config)},
		Limits: callLimits(r), Share: o.Share,
	})
	failure, failed := errors.AsType[*runtime.Failure](err)
	if err != nil && !failed && p.differs == nil && p.open == nil && p.lacks == nil {
		return nil, fmt.Errorf("replay recording: %w", err)
	}
	report := p.report(result)
	report.Module = o.Module
	if report.Module == "" {
		report.Module = r.World.Module
	}
	report.Image = m.Facts().ImageDigest
	switch {
	case p.open != nil && r.Outcome == Suspended:
		report.Outcome = Suspended
	case p.open != nil, p.differs != nil, p.lacks != nil:
		report.Outcome = Interrupted
	case failed:
		report.Outcome, report.Failure = Failed, failure
		report.Error = &Error{Code: string(failure.Code), Message: failure.Message}
	default:
		report.Outcome, report.Output = Succeeded, result.Output
	}
	report.compare(&r, p)
	return report, nil
}

// report is what the run came to, but for how it ended.
func (p *player) report(result runtime.Result) *Report {
	changes := p.state.Changes()
	return &Report{
		Usage: result.Usage, Steps: p.steps(), Logs: p.log.Lines(), LostLines: result.LostLines,
		Reads: changes.Reads, Left: LeftOf(p.kept.Records(), p.kept.Tags(), changes.Writes),
		Asked: p.next - 1, Divergence: p.differs, Open: p.open, Lacks: p.lacks,
	}
}

// Functions gives the names that a Runtime has to offer for a module to be run, as
// an embedder's own functions are not known here.
func Functions(module []byte) ([]string, error) {
	m, err := wasm.Decode(module, wasm.Limits{})
	if err != nil {
		return nil, fmt.Errorf("read module: %w", err)
	}
	names := []string{}
	for i := range m.Imports {
		if imp := &m.Imports[i]; imp.Module == userModule && imp.Name != "" {
			names = append(names, imp.Name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// userModule is where guests import a host's own functions from.
const userModule = "extism:host/user"

// Kept gives an output as executions keep it: itself if it is JSON, else a JSON
// string of its base64.
func Kept(output []byte) []byte {
	if len(output) == 0 {
		return nil
	}
	if utf8.Valid(output) && json.Valid(output) {
		return output
	}
	return []byte(`"` + base64.StdEncoding.EncodeToString(output) + `"`)
}

package spectest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/experimental"

	"github.com/cofferdam-run/cofferdam/runtime/meter"
	"github.com/cofferdam-run/cofferdam/runtime/wasm"
)

// run is one script on three engines at a time.
type run struct {
	script  *script
	root    string
	options Options
	report  *Report
	cache   wazero.CompilationCache

	// plain has the modules as they are, metered and stingy the rewritten ones, with
	// the real account and with the shortest slices.
	plain, metered, stingy *engine
	// done has what each command that was invoked did, by its place in the script.
	done map[int]outcome
}

// Run runs one script.
func Run(ctx context.Context, root, path string, o Options) (report *Report, err error) {
	s, err := readScript(path)
	if err != nil {
		return nil, err
	}
	r := &run{script: s, root: root, options: o, report: &Report{Total: len(s.Commands)}, done: map[int]outcome{}}
	r.cache = wazero.NewCompilationCache()
	defer func() { err = errors.Join(err, r.cache.Close(ctx)) }()
	for _, e := range []struct {
		engine **engine
		ledger func() ledger
	}{{&r.plain, nil}, {&r.metered, newAccount}, {&r.stingy, newStingy(o.Seed)}} {
		if *e.engine, err = newEngine(ctx, r.cache, e.ledger, root); err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, (*e.engine).runtime.Close(ctx)) }()
	}
	for i := range s.Commands {
		r.command(ctx, i)
	}
	r.compareState("the end")
	if err := r.steps(ctx); err != nil {
		return nil, err
	}
	return r.report, nil
}

func (r *run) differ(c *command, format string, args ...any) {
	r.report.Differences = append(r.report.Differences,
		fmt.Sprintf("%s:%d %s: ", r.script.name, c.Line, c.Type)+fmt.Sprintf(format, args...))
}

// command does one command and counts it.
func (r *run) command(ctx context.Context, i int) {
	c := &r.script.Commands[i]
	switch c.Type {
	case typeModule:
		r.compareState(c.Filename)
		r.module(ctx, i)
	case typeRegister:
		// Done with the module, which is the command before.
		r.count(r.metered.last)
	case typeAction, typeReturn, typeTrap, typeExhaustion:
		r.action(ctx, i)
	case typeInvalid, typeMalformed, typeUnlinkable, typeUninstantiable:
		r.refusal(ctx, c)
	default:
		r.report.exclude("unknown command "+c.Type, 1)
	}
}

// count counts a command on an instance that agreed, unless it was not rewritten.
func (r *run) count(i *instance) {
	if i == nil || i.of.refused == nil {
		r.report.Agreed++
		return
	}
	r.report.exclude(reason(i.of.refused), 1)
}

// reason is why a module was not rewritten, without what differs each time.
func reason(err error) string {
	if limit := (*wasm.LimitError)(nil); errors.As(err, &limit) {
		return "a module over the limit " + limit.Limit
	}
	if feature := (*wasm.FeatureError)(nil); errors.As(err, &feature) {
		return "a module that uses " + feature.Feature
	}
	if strings.Contains(err.Error(), "NUL") {
		return "a module with names that are reserved"
	}
	return "a module refused: " + err.Error()
}

func (r *run) path(c *command) string { return filepath.Join(r.script.folder, c.Filename) }

// registered is the name that the next command gives the module.
func (s *script) registered(i int) string {
	if i+1 < len(s.Commands) && s.Commands[i+1].Type == typeRegister {
		return s.Commands[i+1].As
	}
	return ""
}

// load does a module command on one engine.
func (e *engine) load(ctx context.Context, s *script, i int) error {
	c := &s.Commands[i]
	instance, err := e.instantiate(ctx, filepath.Join(s.folder, c.Filename), s.registered(i))
	if err != nil {
		e.last = nil
		return err
	}
	e.last = instance
	if c.Name != "" {
		e.named[c.Name] = instance
	}
	return nil
}

func (r *run) module(ctx context.Context, i int) {
	c := &r.script.Commands[i]
	var errs []error
	for _, e := range []*engine{r.plain, r.metered, r.stingy} {
		errs = append(errs, e.load(ctx, r.script, i))
	}
	if errs[0] != nil || errs[1] != nil || errs[2] != nil {
		r.differ(c, "the original gives %v, the rewritten one %v, in short slices %v", errs[0], errs[1], errs[2])
		return
	}
	r.count(r.metered.last)
}

func (r *run) action(ctx context.Context, i int) {
	c := &r.script.Commands[i]
	want := r.plain.perform(ctx, &c.Action, plenty)
	got := r.metered.perform(ctx, &c.Action, plenty)
	short := r.stingy.perform(ctx, &c.Action, plenty)
	if trapped, should := want.err != "", c.Type == typeTrap || c.Type == typeExhaustion; trapped != should && !r.script.older {
		r.differ(c, "the original gives %q", want.err)
		return
	}
	if c.Type == typeExhaustion && errors.Is(got.ended, meter.ErrStack) && errors.Is(short.ended, meter.ErrStack) {
		// The compiler's limit is on its own stack, ours on what the code says.
		want.err = got.err
	}
	for _, o := range []outcome{got, short} {
		if problem := c.compare(want, o); problem != "" {
			r.differ(c, "%s", problem)
			return
		}
	}
	target := r.metered.target(&c.Action)
	if got.used != short.used {
		r.differ(c, "it used %d, and %d in short slices", got.used, short.used)
		return
	}
	if target.ledger != nil && c.invokes() && c.Type != typeExhaustion {
		r.done[i] = got
	}
	r.count(target)
}

// refusal does a command whose module must not come to be, but for one kind:
// wazero keeps a module whose table does not hold its elements.
func (r *run) refusal(ctx context.Context, c *command) {
	if c.ModuleType == "text" {
		r.report.exclude("a module in the text format", 1)
		return
	}
	var errs []error
	for _, e := range []*engine{r.plain, r.metered, r.stingy} {
		errs = append(errs, e.refuse(ctx, r.path(c), c.Type))
	}
	if (errs[0] == nil) != (errs[1] == nil) || (errs[0] == nil) != (errs[2] == nil) {
		r.differ(c, "the original gives %v, the rewritten one %v, in short slices %v", errs[0], errs[1], errs[2])
		return
	}
	if errs[0] == nil && c.Type != typeUninstantiable && !r.script.older {
		r.differ(c, "the original is accepted")
		return
	}
	r.report.Agreed++
}

// refuse returns why a module does not come to be.
func (e *engine) refuse(ctx context.Context, path, how string) error {
	c := e.compile(ctx, path, how == typeInvalid || how == typeMalformed)
	if c.refused != nil {
		return c.refused
	}
	if c.err != nil || c.asIs && c.info.start {
		return c.err
	}
	_, err := e.instantiate(ctx, path, "")
	return err
}

// compareState compares the memories and globals of the last instances, and of
// those with names.
func (r *run) compareState(at string) {
	r.compareInstances(at, r.plain.last, r.metered.last)
	r.compareInstances(at, r.plain.last, r.stingy.last)
	for name, i := range r.plain.named {
		r.compareInstances(at, i, r.metered.named[name])
		r.compareInstances(at, i, r.stingy.named[name])
	}
}

func (r *run) compareInstances(at string, want, got *instance) {
	if want == nil || got == nil || got.ledger == nil {
		return
	}
	problem := ""
	if got.of.info.memory {
		a, b := want.module.Memory(), got.module.Memory()
		x, _ := a.Read(0, a.Size())
		y, _ := b.Read(0, b.Size())
		if !bytes.Equal(x, y) {
			problem = "memories differ"
		}
	}
	x, y := want.module.(experimental.InternalModule), got.module.(experimental.InternalModule)
	for i := range x.NumGlobal() {
		kind := x.Global(i).Type()
		// References are addresses, and a NaN may be any.
		if !isReference(kind) && !isFloat(kind) && x.Global(i).Get() != y.Global(i).Get() {
			problem = fmt.Sprintf("globals %d differ", i)
		}
	}
	if problem != "" {
		r.report.Differences = append(r.report.Differences, fmt.Sprintf("%s: before %s: %s", r.script.name, at, problem))
	}
}

// String is an outcome in a difference.
func (o outcome) String() string {
	if o.err != "" {
		return o.err
	}
	return strings.TrimSpace(fmt.Sprintln("results", o.results))
}

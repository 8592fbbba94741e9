package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cofferdam-run/cofferdam/cmd/cofferdam/internal/fixture"
	"github.com/cofferdam-run/cofferdam/host/fault"
	sdk "github.com/cofferdam-run/cofferdam/sdk/build"
)

// once builds and sends every fixture. What fails is the verb's failure.
func (s *devSession) once(ctx context.Context) error {
	if !s.rebuild(ctx) {
		return errors.New("nothing was run")
	}
	failed, sent := s.sendAll(ctx, nil)
	problems, err := s.builder.Check(ctx)
	s.showTypes(problems)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return err
	case sent == 0:
		return errors.New("nothing was run: fixtures/ has no sample payload\n  hint: put the input of an action into fixtures/action.NAME.json")
	case failed > 0:
		return fmt.Errorf("%d of %d did not succeed", failed, sent)
	case len(problems) > 0:
		return fmt.Errorf("the types of %d places are wrong", len(problems))
	}
	return nil
}

// rebuild builds the project and swaps it in. It says so, or why not.
func (s *devSession) rebuild(ctx context.Context) bool {
	begun := time.Now()
	plugin, err := s.builder.Build(ctx)
	built := time.Since(begun)
	if err == nil {
		err = s.swap(ctx, plugin)
	}
	if ctx.Err() != nil {
		return false
	}
	if err != nil {
		s.showFailure(err)
		return false
	}
	ready := time.Since(begun)
	s.show.say("%s  %s", s.show.paint(green, fmt.Sprintf("%s %s", s.manifest.Name, plugin.Manifest.Version)),
		s.show.paint(dim, fmt.Sprintf("%s, ready in %s (build %s)", byteCount(int64(len(plugin.Wasm))), duration(ready), duration(built))))
	for _, p := range plugin.Warnings {
		s.show.say("%s %s", s.show.paint(yellow, "warning:"), p)
	}
	s.showSurroundings()
	return true
}

// showFailure shows why a build is not used.
func (s *devSession) showFailure(err error) {
	text := err.Error()
	if f, ok := errors.AsType[*fault.Error](err); ok {
		text = message(f)
		for _, p := range f.Problems {
			text += fmt.Sprintf("\n  at %s: %s", p.Where, p.Message)
		}
		if f.Hint != "" {
			text += "\n  hint: " + f.Hint
		}
		if f.Code == "config_invalid" {
			text += "\n  hint: give it in dev.json, under \"config\", or with --config KEY=VALUE"
		}
	}
	kept := ""
	if s.installed.ID != "" {
		kept = "\n" + s.show.paint(dim, "the version before it goes on")
	}
	s.show.say("\n%s\n%s%s", s.show.paint(red, "not built"), text, kept)
}

// showSurroundings says what is missing for the plugin, and where vendors can deliver.
func (s *devSession) showSurroundings() {
	for _, name := range s.accounts.names() {
		if one := s.accounts[name]; one.missing {
			s.show.say("  %s", s.show.paint(yellow, fmt.Sprintf("connection %s has no credential: set %s, or --connection %s=VARIABLE", name, one.from, name)))
		}
	}
	if s.builds > 1 || s.base == "" {
		return
	}
	for _, w := range s.manifest.Webhooks {
		e := s.endpoints[w.Name]
		s.show.say("  %s", s.show.paint(dim, fmt.Sprintf("webhook %s is taken at %s/hooks/%s, signed by %s with %s", w.Name, s.base, e.ID, e.Scheme, e.secret)))
	}
}

func (s *devSession) showTypes(problems []sdk.Problem) {
	for _, p := range problems {
		s.show.say("\n%s %s", s.show.paint(red, "types:"), p)
	}
}

// sendAll sends the fixtures of files, or only those that are named.
func (s *devSession) sendAll(ctx context.Context, only []string) (failed, sent int) {
	all, files, err := s.fixtures()
	if err != nil {
		s.show.say("\n%s", s.show.paint(red, err.Error()))
		failed, sent = failed+1, sent+1
	}
	for _, f := range all[:files] {
		if only != nil && !slices.Contains(only, fixture.Folder+"/"+f.File) {
			continue
		}
		if ctx.Err() != nil {
			break
		}
		sent++
		if !s.sendOne(ctx, f) {
			failed++
		}
	}
	return failed, sent
}

// sendOne sends a fixture, and says whether all went well.
func (s *devSession) sendOne(ctx context.Context, f fixture.Fixture) bool {
	well, id, err := s.send(ctx, f)
	if id != "" {
		s.seen.latest(id)
	}
	if err != nil && ctx.Err() == nil {
		s.showFailure(err)
	}
	return well && err == nil
}

// seenExecutions are those that were shown to their end. The last that was sent can be
// saved.
type seenExecutions struct {
	mu   sync.Mutex
	ids  map[string]bool
	last string
}

func (s *seenExecutions) add(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ids == nil {
		s.ids = map[string]bool{}
	}
	s.ids[id] = true
}

func (s *seenExecutions) has(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ids[id]
}

func (s *seenExecutions) latest(id string) (before string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before = s.last
	if id != "" {
		s.last = id
	}
	return before
}

// loop builds and runs at each change and key, until ctx ends or q is pressed.
func (s *devSession) loop(ctx context.Context) error {
	changed, stopWatching, err := watchProject(ctx, s.project)
	if err != nil {
		return err
	}
	defer func() { _ = stopWatching() }() // What it cannot close ends with the process.
	keys, stopKeys := s.keys()
	defer stopKeys()
	j := &devJob{session: s}
	defer j.stop()
	following, stopFollowing := context.WithCancel(ctx)
	var aside sync.WaitGroup
	aside.Go(func() { _ = s.follow(following, s.seen.has) }) // It ends with the session.
	defer func() {
		stopFollowing()
		aside.Wait()
	}()
	s.show.say("%s", s.show.paint(dim, fmt.Sprintf("building %s", s.builder.Language())))
	j.run(ctx, func(ctx context.Context) { s.afresh(ctx, keys != nil) })
	for {
		select {
		case <-ctx.Done():
			return nil
		case c := <-changed:
			s.changed(ctx, j, c)
		case key, ok := <-keys:
			if !ok {
				keys = nil
				continue
			}
			if key == 'q' || key == 3 || key == 4 { // Ctrl-C and Ctrl-D.
				return nil
			}
			s.pressed(ctx, j, key)
		}
	}
}

// afresh builds, and sends all fixtures.
func (s *devSession) afresh(ctx context.Context, keys bool) {
	if !s.rebuild(ctx) {
		return
	}
	if _, sent := s.sendAll(ctx, nil); sent == 0 {
		s.show.say("  no sample payloads yet: put the input of an action into fixtures/action.NAME.json")
	}
	if ctx.Err() != nil {
		return
	}
	if keys {
		s.help()
	}
	problems, err := s.builder.Check(ctx)
	if ctx.Err() == nil && err == nil {
		s.showTypes(problems)
	}
}

// changed does what a change asks for.
func (s *devSession) changed(ctx context.Context, j *devJob, c changes) {
	j.stop()
	s.forsake(ctx)
	s.show.say("\n%s", s.show.paint(dim, "--- "+c.text(s.project)))
	switch {
	case s.installed.ID != "" && c.only(fixture.Folder+"/http"):
		j.run(ctx, func(ctx context.Context) { s.sendAll(ctx, nil) })
	case s.installed.ID != "" && c.only(fixture.Folder):
		j.run(ctx, func(ctx context.Context) { s.sendAll(ctx, c) })
	default:
		j.run(ctx, func(ctx context.Context) { s.afresh(ctx, false) })
	}
}

// pressed does what a key asks for.
func (s *devSession) pressed(ctx context.Context, j *devJob, key byte) {
	switch {
	case key == 'r':
		j.stop()
		s.forsake(ctx)
		if s.installed.ID == "" {
			j.run(ctx, func(ctx context.Context) { s.afresh(ctx, true) })
			return
		}
		j.run(ctx, func(ctx context.Context) { s.sendAll(ctx, nil) })
	case key == 's':
		s.saveLast(ctx)
	case key >= '1' && key <= '9':
		all, _, _ := s.fixtures() // What is wrong with others has been said.
		if n := int(key - '1'); n < len(all) {
			j.stop()
			j.run(ctx, func(ctx context.Context) { s.sendOne(ctx, all[n]) })
		}
	case key == 'h' || key == '?' || key == '\n':
		s.help()
	}
}

// help lists the keys.
func (s *devSession) help() {
	all, _, _ := s.fixtures() // What is wrong with them has been said.
	s.show.say("")
	for i, f := range all[:min(len(all), 9)] {
		s.show.say("  %d  %s  %s", i+1, f.Title(), s.show.paint(dim, f.File))
	}
	s.show.say("  %s", s.show.paint(dim, "r run all again, s save the last as a test, q quit"))
}

// saveLast writes the last execution among the project's tests.
func (s *devSession) saveLast(ctx context.Context) {
	id := s.seen.latest("")
	if id == "" {
		s.show.say("nothing has run yet")
		return
	}
	x, err := s.host.Executions.Get(ctx, s.tenant, id)
	if err != nil {
		s.showFailure(err)
		return
	}
	written, err := s.save(ctx, id, strings.Join([]string{string(x.Kind), x.Name, strings.ToLower(id[len(id)-6:])}, "-"))
	for _, path := range written {
		s.show.say("wrote %s", relative(s.project, path))
	}
	if err != nil {
		s.showFailure(err)
	}
}

// devJob is what is done at the moment: one thing at a time.
type devJob struct {
	session *devSession
	cancel  context.CancelFunc
	done    chan struct{}
}

// run does something, in the background.
func (j *devJob) run(ctx context.Context, do func(context.Context)) {
	working, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	j.cancel, j.done = cancel, done
	go func() {
		defer close(done)
		do(working)
	}()
}

// stop ends what is done, and waits for that.
func (j *devJob) stop() {
	if j.cancel == nil {
		return
	}
	j.cancel()
	<-j.done
	j.cancel = nil
}

// keys reads keys where there is a terminal; else there are none.
func (s *devSession) keys() (<-chan byte, func()) {
	f, ok := s.in.(*os.File)
	if !ok || !isKeyboard(f) || !isTerminal(s.out) {
		return nil, func() {}
	}
	restore, err := rawTerminal(f)
	if err != nil {
		return nil, func() {}
	}
	keys := make(chan byte)
	gone := make(chan struct{})
	go func() { // It ends with the process: a read of a terminal cannot be ended.
		defer close(keys)
		for b := make([]byte, 1); ; {
			if n, err := f.Read(b); err != nil || n == 0 {
				return
			}
			select {
			case keys <- b[0]:
			case <-gone:
				return
			}
		}
	}()
	return keys, func() {
		close(gone)
		restore()
	}
}

package main

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/cofferdam-run/cofferdam/cmd/cofferdam/internal/fixture"
	"github.com/cofferdam-run/cofferdam/cmd/cofferdam/internal/golden"
	"github.com/cofferdam-run/cofferdam/host/endpoint"
	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/webhook"
	"github.com/cofferdam-run/cofferdam/host/webhook/signature"
)

// longWait is what an execution that waits is waited for: it is shown again when it
// goes on.
const longWait = 2 * time.Second

// fixtures are those of the project, and then each poll and test that has none, which
// need no payload. How many are of files is said too: those are sent by themselves.
func (s *devSession) fixtures() (all []fixture.Fixture, files int, err error) {
	all, err = fixture.Load(s.project, golden.Names(s.manifest))
	files = len(all)
	missing := func(kind event.Kind, name string) {
		for _, f := range all {
			if f.Kind == kind && f.Name == name {
				return
			}
		}
		all = append(all, fixture.Fixture{Kind: kind, Name: name})
	}
	for _, p := range s.manifest.Polls {
		missing(event.Poll, p.Name)
	}
	if s.manifest.Test {
		missing(event.Test, "")
	}
	return all, files, err
}

// send sends a fixture and shows what comes of it, which was well if it succeeded. The
// error is that of ctx, or the host's.
func (s *devSession) send(ctx context.Context, f fixture.Fixture) (well bool, id string, err error) {
	title := f.Title()
	if f.File != "" {
		title += "  " + s.show.paint(dim, fixture.Folder+"/"+f.File)
	}
	id, err = s.accept(ctx, f)
	if refused, ok := errors.AsType[*fault.Error](err); ok && ctx.Err() == nil {
		s.show.say("\n%s", s.show.paint(bold, title))
		s.show.fault(refused)
		s.show.say("  %s", s.show.paint(red, "refused"))
		return false, "", nil
	}
	if err != nil {
		return false, "", err
	}
	if id == "" {
		s.show.say("\n%s\n  taken as a ping, which runs nothing", s.show.paint(bold, title))
		return true, "", nil
	}
	s.show.begin(id, title)
	defer s.show.end()
	x, err := s.await(ctx, id)
	if err != nil {
		return false, id, err
	}
	if x.State.Done() {
		s.seen.add(id)
	}
	return x.State == execution.Succeeded, id, s.finish(ctx, x)
}

// forsake ends what waits still: it was for the version before, or is to be run again.
func (s *devSession) forsake(ctx context.Context) {
	waiting, err := s.host.Executions.List(ctx, s.tenant, execution.Filter{State: execution.Waiting})
	if err != nil {
		return // It is shown when it goes on.
	}
	for _, x := range waiting {
		_, _ = s.host.Executions.Cancel(ctx, s.tenant, x.ID) // As above.
	}
}

// accept hands a fixture in, and returns the execution.
func (s *devSession) accept(ctx context.Context, f fixture.Fixture) (string, error) {
	if f.Kind == event.Webhook {
		return s.deliver(ctx, f)
	}
	start := execution.Start{Installation: s.installed.ID, Kind: f.Kind, Name: f.Name, Lane: event.Interactive}
	switch f.Kind {
	case event.Action:
		start.Input = f.Payload
	case event.Test:
		start.Name = "test"
	default: // A poll goes on from its cursor.
	}
	accepted, err := s.host.Executions.Start(ctx, s.tenant, start)
	return accepted.Execution, err
}

// deliver signs a delivery as the vendor does.
func (s *devSession) deliver(ctx context.Context, f fixture.Fixture) (string, error) {
	e := s.endpoints[f.Name]
	plugins := e.Scheme == webhook.ByPlugin && len(e.Descriptor) == 0
	if plugins && f.Secret != "" && f.Secret != e.fixtures {
		// The secret that was printed counts on: others may deliver with it.
		if _, _, err := s.host.Endpoints.Rotate(ctx, s.tenant, e.ID, f.Secret, endpoint.MaxKeep); err != nil {
			return "", err
		}
		e.fixtures = f.Secret
		s.endpoints[f.Name] = e
	}
	header := http.Header{"Content-Type": {"application/json"}}
	if e.Scheme == "github" {
		header.Set("X-GitHub-Event", f.Name)
	}
	for name, value := range f.Headers {
		header.Set(name, value)
	}
	r := signature.Request{Method: http.MethodPost, URL: s.base + "/hooks/" + e.ID, Query: f.Query, Header: header, Body: f.Payload}
	if !plugins { // Of those the fixture has the vendor's headers.
		var err error
		r, err = webhook.NewCatalog().Sign(e.Scheme, e.Descriptor, signature.Outgoing{
			Request: r, Secret: e.secret, ID: rand.Text(), At: time.Now(), Parameters: e.Parameters,
		})
		if err != nil {
			return "", err
		}
	}
	for name, value := range f.Headers { // Those of the fixture count.
		r.Header.Set(name, value)
	}
	accepted, err := s.host.Webhooks.Receive(ctx, webhook.Delivery{
		Endpoint: e.ID, Method: http.MethodPost, Path: "/hooks/" + e.ID, Query: r.Query, Header: r.Header, Body: r.Body,
	})
	return accepted.Execution, err
}

// await waits for the end of an execution, or for a wait that is long. One that nobody
// waits for any more is cancelled.
func (s *devSession) await(ctx context.Context, id string) (execution.Execution, error) {
	for {
		x, err := s.host.Executions.Get(ctx, s.tenant, id)
		switch {
		case ctx.Err() != nil:
			_, err := s.host.Executions.Cancel(context.WithoutCancel(ctx), s.tenant, id)
			return x, errors.Join(ctx.Err(), err)
		case err != nil:
			return x, err
		case x.State.Done(), x.State == execution.Waiting && (x.Until.IsZero() || time.Until(x.Until) > longWait):
			return x, nil
		}
		select {
		case <-ctx.Done():
		case <-time.After(3 * time.Millisecond):
		}
	}
}

// finish shows how an execution ended.
func (s *devSession) finish(ctx context.Context, x execution.Execution) error {
	trace, err := s.host.Executions.Trace(ctx, s.tenant, x.ID)
	if err != nil {
		return err
	}
	var last execution.Attempt
	if n := len(trace.Attempts); n > 0 {
		last = trace.Attempts[n-1]
	}
	var records []event.Event
	for _, id := range trace.Emitted {
		r, err := s.host.Store.Event(ctx, s.tenant, id)
		if err != nil {
			return err
		}
		records = append(records, r)
	}
	s.show.left(x, last, records)
	s.show.done(x, trace.Attempts)
	return nil
}

// follow shows the executions that nobody here has sent, such as a vendor's deliveries,
// and those that went on after a wait, once they are done.
func (s *devSession) follow(ctx context.Context, mine func(id string) bool) error {
	return s.host.Executions.Tail(ctx, s.tenant, func(x execution.Execution) error {
		if x.State != execution.Succeeded && x.State != execution.Dead || mine(x.ID) {
			return nil
		}
		trace, err := s.host.Executions.Trace(ctx, s.tenant, x.ID)
		if err != nil {
			return err
		}
		s.show.say("\n%s", s.show.paint(bold, strings.TrimSpace(string(x.Kind)+" "+x.Name)+"  "+x.ID))
		for _, a := range trace.Attempts[max(0, len(trace.Attempts)-1):] {
			s.show.attempt(a)
		}
		return s.finish(ctx, x)
	})
}

// save writes an execution among the project's tests.
func (s *devSession) save(ctx context.Context, id, name string) ([]string, error) {
	recording, err := s.host.Recording(ctx, s.tenant, id, false)
	if err != nil {
		return nil, err
	}
	return writeRecordedTest(s.project, name, recording)
}

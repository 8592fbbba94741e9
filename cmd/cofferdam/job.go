package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/job"
)

// jobKind is a kind of jobs of a tenant's: the group of its verbs, where they are in the
// API, and what makes a request there and shows the job that is the answer.
type jobKind struct {
	group, path string
	show        func(c *cobra.Command, method, path string) error
}

// jobVerb shows or steers a job.
func (a *app) jobVerb(k jobKind, verb, short string) *cobra.Command {
	name := strings.ToUpper(k.group[strings.LastIndex(k.group, " ")+1:])
	return a.tenantFlag(&cobra.Command{
		Use:     verb + " " + name,
		Short:   short,
		Example: "  cofferdam " + k.group + " " + verb + " job_01J9ZK7V5Q8W3E6R1T0Y2U4I8O --tenant acme",
		Args:    exactly(name),
		RunE: func(c *cobra.Command, args []string) error {
			method, path := http.MethodPost, a.inTenant(k.path+"/%s/%s", escape(args[0]), verb)
			if verb == "show" {
				method, path = http.MethodGet, strings.TrimSuffix(path, "/show")
			}
			return k.show(c, method, path)
		},
	})
}

// awaited is how a kind of jobs is waited for.
type awaited[T any] struct {
	// noun is what one is called, group the group of its verbs, path where it is in the API.
	noun, group, path string
	look              func(T) (id string, s job.State, progress string)
	print             func(w io.Writer, v T)
}

// awaitJob shows a job each second until it goes on no more. It fails if the job has, or
// was stopped.
func awaitJob[T any](ctx context.Context, a *app, k awaited[T], v T) error {
	id, state, progress := k.look(v)
	for !state.Ended() && state != job.Paused {
		if a.Output != "json" {
			fmt.Fprintf(a.err, "%s  %s\n", state, progress)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for the %s %s, which goes on: %w", k.noun, id, ctx.Err())
		case <-time.After(time.Second):
		}
		var next T
		if err := a.client().call(ctx, http.MethodGet, a.inTenant(k.path+"/%s", escape(id)), nil, &next); err != nil {
			return err
		}
		v = next
		id, state, progress = k.look(v)
	}
	if err := a.show(v, func(w io.Writer) { k.print(w, v) }); err != nil {
		return err
	}
	if state != job.Done {
		return fault.New(fault.Conflict, k.noun+"_"+string(state), "the %s %s is %s", k.noun, id, state).
			WithHint("'cofferdam %s resume %s' has it go on, unless it was cancelled", k.group, id)
	}
	return nil
}

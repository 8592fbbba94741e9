package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/pace"
)

func (a *app) connectionPace() *cobra.Command {
	return a.tenantFlag(&cobra.Command{
		Use:     "pace NAME",
		Short:   "Show a connection's rate and breaker, whether it is paused, and what waits",
		Example: "  cofferdam connection pace github --tenant acme",
		Args:    exactly("NAME"),
		RunE: func(c *cobra.Command, args []string) error {
			var at pace.Standing
			if err := a.client().call(c.Context(), http.MethodGet, a.inTenant("/connections/%s/pace", escape(args[0])), nil, &at); err != nil {
				return err
			}
			return a.show(at, func(w io.Writer) { printPace(w, args[0], at) })
		},
	})
}

func (a *app) connectionPause() *cobra.Command {
	var drain bool
	c := a.tenantFlag(&cobra.Command{
		Use:   "pause NAME",
		Short: "Have nothing more be sent with a connection; what asks for it waits",
		Long: "Have nothing more be sent with a connection: what asks for it waits, which counts as no attempt, and goes\n" +
			"on once it is resumed. With --drain, wait until nothing is in flight with it on any server.",
		Example: "  cofferdam connection pause github --drain --tenant acme",
		Args:    exactly("NAME"),
		RunE: func(c *cobra.Command, args []string) error {
			var at pace.Standing
			path := a.inTenant("/connections/%s", escape(args[0]))
			if err := a.client().call(c.Context(), http.MethodPost, path+"/pause", nil, &at); err != nil {
				return err
			}
			if drain {
				if err := a.drained(c.Context(), path, &at); err != nil {
					return err
				}
			}
			return a.show(at, func(w io.Writer) { printPace(w, args[0], at) })
		},
	})
	c.Flags().BoolVar(&drain, "drain", false, "wait until nothing is in flight with it any more")
	return c
}

// drained waits until a connection that is paused has nothing in flight, and says on
// standard error what it waits for, whenever that changes.
func (a *app) drained(ctx context.Context, path string, at *pace.Standing) error {
	said := ""
	for at.Drain != nil && !at.Drain.Done {
		if line := drainLine(*at.Drain); line != said {
			said = line
			fmt.Fprintln(a.err, line)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Second):
		}
		if err := a.client().call(ctx, http.MethodGet, path+"/pace", nil, at); err != nil {
			return err
		}
	}
	return nil
}

func drainLine(d pace.Drain) string {
	switch {
	case d.Done:
		return "nothing is in flight"
	case d.Requests > 0:
		return fmt.Sprintf("%d requests are in flight still, of %s", d.Requests, strings.Join(d.Executions, ", "))
	default:
		return fmt.Sprintf("%d servers have not said yet what they have in flight", d.Silent)
	}
}

func (a *app) paceVerb(verb, suffix, short string) *cobra.Command {
	return a.tenantFlag(&cobra.Command{
		Use:     verb + " NAME",
		Short:   short,
		Example: "  cofferdam connection " + verb + " github --tenant acme",
		Args:    exactly("NAME"),
		RunE: func(c *cobra.Command, args []string) error {
			var at pace.Standing
			path := a.inTenant("/connections/%s%s", escape(args[0]), suffix)
			if err := a.client().call(c.Context(), http.MethodPost, path, nil, &at); err != nil {
				return err
			}
			return a.show(at, func(w io.Writer) { printPace(w, args[0], at) })
		},
	})
}

// rateFlags are those that say how many requests there may be.
type rateFlags struct {
	rate  string
	burst int
}

func (r *rateFlags) add(c *cobra.Command) {
	c.Flags().StringVar(&r.rate, "rate", "", "how many requests are made with it, such as 10/s, 600/m or 5000/h; none to leave that to plugins' manifests")
	c.Flags().IntVar(&r.burst, "burst", 0, "how many that were not made can be made up for at once, with --rate")
}

// body is what the API is told.
func (r *rateFlags) body() (pace.Rate, error) {
	switch {
	case r.rate == "" && r.burst != 0:
		return pace.Rate{}, usagef("--burst goes with --rate")
	case r.rate == "none" && r.burst != 0:
		return pace.Rate{}, usagef("--rate none has no --burst")
	case r.rate == "none":
		return pace.Rate{}, nil
	}
	rate, err := pace.ParseRate(r.rate)
	if f, ok := errors.AsType[*fault.Error](err); ok {
		return rate, usagef("--rate: %s. %s", f.Message, f.Hint)
	}
	rate.Burst = r.burst
	return rate, nil
}

// setRate sets a connection's rate.
func (a *app) setRate(ctx context.Context, name string, flags rateFlags) error {
	rate, err := flags.body()
	if err != nil {
		return err
	}
	body := map[string]any{}
	if !rate.IsZero() {
		body["per_second"], body["burst"] = rate.PerSecond, rate.Burst
	}
	var at pace.Standing
	if err := a.client().call(ctx, http.MethodPut, a.inTenant("/connections/%s/rate", escape(name)), body, &at); err != nil {
		return err
	}
	return a.show(at, func(w io.Writer) { printPace(w, name, at) })
}

func printPace(w io.Writer, name string, at pace.Standing) {
	waiting := func(reason string) string { return strconv.Itoa(at.Waiting[reason]) }
	rows := [][]string{
		{"rate", at.Rate.String(), waiting(execution.ReasonRateLimited)},
		{"breaker", breakerLine(at.Breaker), waiting(execution.ReasonCircuitOpen)},
		{"paused", pausedLine(at), waiting(execution.ReasonConnectionPaused)},
	}
	table(w, []string{strings.ToUpper(name), "IS", "WAITING"}, rows)
}

func breakerLine(b pace.Breaker) string {
	if b.State == pace.Closed {
		return string(b.State)
	}
	return fmt.Sprintf("%s since %s: %s; it is tried at %s", b.State, stamp(b.Since), b.Why, stamp(b.RetryAt))
}

func pausedLine(at pace.Standing) string {
	if at.PausedAt.IsZero() {
		return "no"
	}
	line := "since " + stamp(at.PausedAt)
	if at.Drain != nil {
		line += "; " + drainLine(*at.Drain)
	}
	return line
}

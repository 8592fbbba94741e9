package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/registry"
)

// drain is the flags of a verb that pauses something.
type drain struct {
	wanted bool
	within time.Duration
}

func (d *drain) flags(c *cobra.Command) {
	c.Flags().BoolVar(&d.wanted, "drain", false, "wait until nothing of it runs any more, and say what still does")
	c.Flags().DurationVar(&d.within, "within", 5*time.Minute, "how long --drain waits")
}

// lookFor is how long one look of a drain waits: after each, it is said what still runs.
const lookFor = 10 * time.Second

// wait waits for what was paused. Path lists what is in flight of it.
func (d *drain) wait(ctx context.Context, a *app, path string, query url.Values) error {
	if !d.wanted {
		return nil
	}
	until := time.Now().Add(d.within)
	for {
		left := max(min(time.Until(until), lookFor), 0)
		query.Set("wait", left.Round(time.Millisecond).String())
		var p page[execution.Flight]
		if err := a.client().call(ctx, http.MethodGet, path+"?"+query.Encode(), nil, &p); err != nil {
			return err
		}
		if len(p.Items) == 0 {
			fmt.Fprintln(a.err, "drained: nothing of it runs any more")
			return nil
		}
		for _, f := range p.Items {
			fmt.Fprintf(a.err, "still runs: %s  %s %s of %s in %s, since %s\n",
				f.Execution, f.Kind, f.Name, f.Installation, f.Tenant, f.Since.Local().Format(time.TimeOnly))
		}
		if !time.Now().Before(until) {
			return fault.New(fault.Conflict, "not_drained", "%d still run after %s", len(p.Items), d.within).
				WithHint("It stays paused: run this again to go on waiting, or cancel them with `cofferdam execution cancel`.")
		}
	}
}

func (a *app) pluginPause() *cobra.Command {
	var d drain
	c := &cobra.Command{
		Use:     "pause NAME",
		Short:   "Have nothing of a plugin run, in any tenant; events are kept (operators only)",
		Example: "  cofferdam plugin pause hello-go\n  cofferdam plugin pause hello-go --drain",
		Args:    exactly("NAME"),
		RunE: func(c *cobra.Command, args []string) error {
			p, err := a.changePlugin(c.Context(), args[0], "/pause")
			if err != nil {
				return err
			}
			if err := a.show(p, func(w io.Writer) {
				fmt.Fprintf(w, "%s is paused since %s\n", p.Name, p.PausedAt.Local().Format(time.DateTime))
			}); err != nil {
				return err
			}
			return d.wait(c.Context(), a, "/v1/in-flight", url.Values{"plugin": {p.ID}})
		},
	}
	d.flags(c)
	return c
}

func (a *app) pluginResume() *cobra.Command {
	return &cobra.Command{
		Use:     "resume NAME",
		Short:   "Run what has gathered while a plugin was paused (operators only)",
		Example: "  cofferdam plugin resume hello-go",
		Args:    exactly("NAME"),
		RunE: func(c *cobra.Command, args []string) error {
			p, err := a.changePlugin(c.Context(), args[0], "/resume")
			if err != nil {
				return err
			}
			return a.show(p, func(w io.Writer) { fmt.Fprintf(w, "%s runs again\n", p.Name) })
		},
	}
}

func (a *app) changePlugin(ctx context.Context, name, verb string) (registry.Plugin, error) {
	var p registry.Plugin
	err := a.client().call(ctx, http.MethodPost, "/v1/plugins/"+escape(name)+verb, nil, &p)
	return p, err
}

// draining adds --drain to a verb that pauses something by its name. Path lists what is in
// flight of it.
func (a *app) draining(c *cobra.Command, path func(name string) (string, url.Values)) *cobra.Command {
	var d drain
	d.flags(c)
	pause := c.RunE
	c.RunE = func(c *cobra.Command, args []string) error {
		if err := pause(c, args); err != nil {
			return err
		}
		where, query := path(args[0])
		return d.wait(c.Context(), a, where, query)
	}
	return c
}

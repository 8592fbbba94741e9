package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/cofferdam-run/cofferdam/host/execution"
)

// queueState is the queue at an instant.
type queueState struct {
	Items []execution.Depth `json:"items"`
	At    time.Time         `json:"at"`
}

func depth(d execution.Depth) int { return d.Queued.Interactive + d.Queued.Live + d.Queued.Backfill }

// whose is the id of what a Depth is of.
func whose(d execution.Depth) string { return cmp.Or(d.Installation, d.Tenant) }

func (a *app) queueCommand() *cobra.Command {
	return group("queue", "See what waits for its turn", a.queueTop())
}

func (a *app) queueTop() *cobra.Command {
	var once bool
	var every time.Duration
	var most int
	var of string
	c := &cobra.Command{
		Use:   "top",
		Short: "Watch the tenants' queues, the deepest first, until Ctrl-C",
		Long: "Watch the tenants' queues, the deepest first, until Ctrl-C. With -o json, or where nobody watches, it is shown once.\n\n" +
			"DEPTH is what could run now, by lane: I interactive, L live, B backfill. OLDEST is for how long the oldest of it could\n" +
			"have. CHANGE is of the depth, per second. RUNNING is of the cap. WAITING is for a time or for somebody. More than 10000 of\n" +
			"a lane or a reason are not counted. With --tenant it is that tenant's installations.",
		Example: "  cofferdam queue top\n  cofferdam queue top --once -o json\n  cofferdam queue top --tenant acme",
		Args:    exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			if every < 100*time.Millisecond {
				return usagef("--every is %s: 100ms are the least", every)
			}
			path := "/v1/queue"
			if of != "" {
				path = "/v1/tenants/" + escape(of) + "/queue"
			}
			before, err := a.queueState(c.Context(), path)
			if err != nil {
				return err
			}
			if once || a.Output == "json" || !isTerminal(a.out) {
				return a.show(before, func(w io.Writer) { printQueue(w, before, queueState{}, most) })
			}
			return a.watchQueue(c.Context(), path, before, every, most)
		},
	}
	c.Flags().StringVarP(&of, "tenant", "t", "", "show this tenant's installations")
	c.Flags().BoolVar(&once, "once", false, "show it once")
	c.Flags().DurationVar(&every, "every", 2*time.Second, "how often it is shown anew")
	c.Flags().IntVar(&most, "most", 30, "how many tenants are shown")
	return c
}

// queueState reads all pages, the deepest first.
func (a *app) queueState(ctx context.Context, path string) (queueState, error) {
	all := queueState{Items: []execution.Depth{}}
	for cursor := ""; ; {
		var p struct {
			page[execution.Depth]
			At time.Time `json:"at"`
		}
		if err := a.client().call(ctx, http.MethodGet, path+"?limit=100&cursor="+url.QueryEscape(cursor), nil, &p); err != nil {
			return all, err
		}
		all.Items, all.At = append(all.Items, p.Items...), p.At
		if cursor = p.Next; cursor == "" {
			break
		}
	}
	slices.SortStableFunc(all.Items, func(x, y execution.Depth) int {
		return cmp.Or(cmp.Compare(depth(y), depth(x)), cmp.Compare(y.Running, x.Running), strings.Compare(x.Name, y.Name))
	})
	return all, nil
}

// watchQueue shows it anew, in place.
func (a *app) watchQueue(ctx context.Context, path string, before queueState, every time.Duration, most int) error {
	const home, below = "\x1b[H", "\x1b[J"
	fmt.Fprint(a.out, home+below)
	printQueue(a.out, before, queueState{}, most)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(every):
		}
		now, err := a.queueState(ctx, path)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // Whoever watches has seen enough.
		}
		if err != nil {
			return err
		}
		fmt.Fprint(a.out, home+below)
		printQueue(a.out, now, before, most)
		before = now
	}
}

func printQueue(w io.Writer, now, before queueState, most int) {
	total, running := 0, 0
	heading := "TENANT"
	for _, d := range now.Items {
		total, running = total+depth(d), running+d.Running
		if d.Installation != "" {
			heading = "INSTALLATION"
		}
	}
	fmt.Fprintf(w, "%s  %d queued, %d running\n", now.At.Local().Format(time.DateTime), total, running)
	was := map[string]int{}
	for _, d := range before.Items {
		was[whose(d)] = depth(d)
	}
	var rows [][]string
	for _, d := range now.Items[:min(most, len(now.Items))] {
		change := "-"
		if s := now.At.Sub(before.At).Seconds(); !before.At.IsZero() && s > 0 {
			change = fmt.Sprintf("%+.1f/s", float64(depth(d)-was[whose(d)])/s)
		}
		oldest := "-"
		if !d.OldestDueAt.IsZero() {
			oldest = duration(max(0, now.At.Sub(d.OldestDueAt)))
		}
		rows = append(rows, []string{
			cmp.Or(d.Name, whose(d)), strconv.Itoa(depth(d)), fmt.Sprintf("I%d L%d B%d", d.Queued.Interactive, d.Queued.Live, d.Queued.Backfill),
			oldest, change, ofCap(d.Running, d.Cap), d.State, waitingText(d.Waiting),
		})
	}
	table(w, []string{heading, "DEPTH", "LANES", "OLDEST", "CHANGE", "RUNNING", "STATE", "WAITING"}, rows)
	if more := len(now.Items) - most; more > 0 {
		fmt.Fprintf(w, "and %d more: --most shows them\n", more)
	}
}

func ofCap(running, limit int) string {
	if limit <= 0 {
		return strconv.Itoa(running)
	}
	return fmt.Sprintf("%d/%d", running, limit)
}

func waitingText(reasons map[string]int) string {
	var all []string
	for _, reason := range slices.Sorted(maps.Keys(reasons)) {
		all = append(all, fmt.Sprintf("%s %d", reason, reasons[reason]))
	}
	if len(all) == 0 {
		return "-"
	}
	return strings.Join(all, ", ")
}

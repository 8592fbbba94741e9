package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// queueView is what the queue holds of one tenant, or of one of its installations.
type queueView struct {
	Tenant string `json:"tenant"`
	Name   string `json:"name"`
	Weight int    `json:"weight"`
	Cap    int    `json:"cap"`
	Queued struct {
		Interactive int `json:"interactive"`
		Live        int `json:"live"`
		Backfill    int `json:"backfill"`
	} `json:"queued"`
	Running     int            `json:"running"`
	Waiting     map[string]int `json:"waiting"`
	OldestDueAt *time.Time     `json:"oldest_due_at"`
}

func (q queueView) depth() int { return q.Queued.Interactive + q.Queued.Live + q.Queued.Backfill }

// age is for how long the oldest could have run.
func (q queueView) age(now time.Time) time.Duration {
	if q.OldestDueAt == nil {
		return 0
	}
	return max(0, now.Sub(*q.OldestDueAt))
}

// queueState is the queue at an instant.
type queueState struct {
	Items []queueView `json:"items"`
	At    time.Time   `json:"at"`
}

func (a *app) queueCommand() *cobra.Command {
	return group("queue", "See what waits for its turn", a.queueTop())
}

func (a *app) queueTop() *cobra.Command {
	var once bool
	var every time.Duration
	var most int
	c := &cobra.Command{
		Use:   "top",
		Short: "Watch the tenants' queues, the deepest first, until Ctrl-C",
		Long: "Watch the tenants' queues, the deepest first, until Ctrl-C. With -o json, or where nobody watches, it is shown once.\n\n" +
			"DEPTH is what could run now, by lane: I interactive, L live, B backfill. OLDEST is for how long the oldest of it could\n" +
			"have. CHANGE is of the depth, per second. RUNNING is of the tenant's cap. WAITING is for a time or for somebody.",
		Example: "  cofferdam queue top\n  cofferdam queue top --once -o json",
		Args:    exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			if every < 100*time.Millisecond {
				return usagef("--every is %s: 100ms are the least", every)
			}
			before, err := a.queueState(c.Context())
			if err != nil {
				return err
			}
			if once || a.Output == "json" || !isTerminal(a.out) {
				return a.show(before, func(w io.Writer) { printQueue(w, before, queueState{}, most) })
			}
			return a.watchQueue(c.Context(), before, every, most)
		},
	}
	c.Flags().BoolVar(&once, "once", false, "show it once")
	c.Flags().DurationVar(&every, "every", 2*time.Second, "how often it is shown anew")
	c.Flags().IntVar(&most, "most", 30, "how many tenants are shown")
	return c
}

func (a *app) queueState(ctx context.Context) (queueState, error) {
	var s queueState
	var raw json.RawMessage
	if err := a.client().call(ctx, http.MethodGet, "/v1/queue", nil, &raw); err != nil {
		return s, err
	}
	if err := json.Unmarshal(raw, &s); err != nil {
		return s, fmt.Errorf("read the queue: %w", err)
	}
	slices.SortStableFunc(s.Items, func(x, y queueView) int {
		return cmp.Or(cmp.Compare(y.depth(), x.depth()), cmp.Compare(y.Running, x.Running), strings.Compare(x.Name, y.Name))
	})
	return s, nil
}

// watchQueue shows it anew, in place.
func (a *app) watchQueue(ctx context.Context, before queueState, every time.Duration, most int) error {
	const home, below = "\x1b[H", "\x1b[J"
	fmt.Fprint(a.out, home+below)
	printQueue(a.out, before, queueState{}, most)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(every):
		}
		now, err := a.queueState(ctx)
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
	depth, running := 0, 0
	for _, q := range now.Items {
		depth, running = depth+q.depth(), running+q.Running
	}
	fmt.Fprintf(w, "%s  %d queued, %d running, of %d tenants\n", now.At.Local().Format(time.DateTime), depth, running, len(now.Items))
	was := map[string]int{}
	for _, q := range before.Items {
		was[q.Tenant] = q.depth()
	}
	var rows [][]string
	for _, q := range now.Items[:min(most, len(now.Items))] {
		change := "-"
		if s := now.At.Sub(before.At).Seconds(); !before.At.IsZero() && s > 0 {
			change = fmt.Sprintf("%+.1f/s", float64(q.depth()-was[q.Tenant])/s)
		}
		oldest := "-"
		if q.depth() > 0 && q.OldestDueAt != nil {
			oldest = duration(q.age(now.At))
		}
		rows = append(rows, []string{
			cmp.Or(q.Name, q.Tenant), strconv.Itoa(q.depth()),
			fmt.Sprintf("I%d L%d B%d", q.Queued.Interactive, q.Queued.Live, q.Queued.Backfill),
			oldest, change, ofCap(q.Running, q.Cap), strconv.Itoa(max(1, q.Weight)), waitingText(q.Waiting),
		})
	}
	table(w, []string{"TENANT", "DEPTH", "LANES", "OLDEST", "CHANGE", "RUNNING", "WEIGHT", "WAITING"}, rows)
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

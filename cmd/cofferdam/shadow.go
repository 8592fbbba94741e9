package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/cofferdam-run/cofferdam/host/job"
	"github.com/cofferdam-run/cofferdam/host/shadow"
)

const (
	// lookAgain is how often a run is asked how far it has come.
	lookAgain = 300 * time.Millisecond
	// farewell is how long a server may take to hear that nobody waits any more.
	farewell = 5 * time.Second
)

// shadowing is a call of the verb.
type shadowing struct {
	*app
	against, last, tenant string
	limit                 int
	allowFuel             string
}

func (a *app) pluginShadow() *cobra.Command {
	s := shadowing{app: a}
	c := &cobra.Command{
		Use:   "shadow NAME@NEW --against OLD",
		Short: "Try a version against what another one has done, with the network off",
		Long: "Try a version against what another one has done. The server replays the recorded executions of OLD on\n" +
			"NEW: each call is answered with what was recorded, nothing is sent, and the executions stay as they\n" +
			"are. NEW has to be published; nobody need have installed it.\n\n" +
			"The report counts what would have been the same, and groups what would not by what differs: the first\n" +
			"call, the output, what was left behind, a failure. Up to three executions of each group are named:\n" +
			"'cofferdam execution export' has the rest of the story.\n\n" +
			"The exit code is 0 if all that could be compared is the same, or failed and succeeds now, and 1 if not.\n" +
			"Fuel may differ, unless --allow-fuel says by how much.",
		Example: "  cofferdam plugin shadow hello-go@0.2.0 --against 0.1.0\n" +
			"  cofferdam plugin shadow hello-go@0.2.0 --against 0.1.0 --last 12h --tenant acme --limit 1000\n" +
			"  cofferdam plugin shadow hello-go@0.2.0 --against 0.1.0 --allow-fuel 10% --json",
		Args: exactly("NAME@NEW"),
		RunE: func(c *cobra.Command, args []string) error { return s.run(c.Context(), args[0]) },
	}
	a.jsonFlag(c)
	flags := c.Flags()
	flags.StringVar(&s.against, "against", "", "the version whose executions are replayed")
	flags.StringVar(&s.last, "last", "7d", "how far back to look, such as 7d or 12h")
	// Without one it is all tenants', whatever COFFERDAM_TENANT says.
	flags.StringVarP(&s.tenant, "tenant", "t", "", "only a tenant's executions, by its name or id")
	flags.IntVar(&s.limit, "limit", 0, "how many to replay at the most, the newest first, of each tenant a like part")
	flags.StringVar(&s.allowFuel, "allow-fuel", "", "fail if the fuel in total grows by more, such as 10%")
	return c
}

func (s *shadowing) run(ctx context.Context, ref string) error {
	name, version, ok := strings.Cut(ref, "@")
	switch {
	case !ok || name == "" || version == "":
		return usagef("%q names no version: write NAME@NEW", ref)
	case s.against == "":
		return usagef("--against is missing: it is the version whose executions are replayed; for example --against 0.1.0")
	case s.limit < 0:
		return usagef("--limit is %d: it is 1 or more, or left out", s.limit)
	}
	most, err := growth(s.allowFuel)
	if err != nil {
		return err
	}
	body := map[string]any{"plugin": name, "version": version, "against": s.against, "last": s.last}
	if s.tenant != "" {
		body["tenant"] = s.tenant
	}
	if s.limit > 0 {
		body["limit"] = s.limit
	}
	var r shadow.Run
	if err := s.client().call(ctx, http.MethodPost, "/v1/shadow-runs", body, &r); err != nil {
		return err
	}
	if err := s.follow(ctx, &r); err != nil {
		return err
	}
	if err := s.show(r, func(w io.Writer) { printShadow(w, &r) }); err != nil {
		return err
	}
	return shadowVerdict(&r, most)
}

// growth reads by how much fuel may grow, as a ratio; 0 if that does not matter.
func growth(text string) (float64, error) {
	if text == "" {
		return 0, nil
	}
	percent, err := strconv.ParseFloat(strings.TrimSuffix(text, "%"), 64)
	if err != nil || !(percent >= 0 && percent <= 1e6) || !strings.HasSuffix(text, "%") {
		return 0, usagef("--allow-fuel is %q: write it like 10%%", text)
	}
	return 1 + percent/100, nil
}

// follow waits for a run's end, and shows how far it is if somebody watches. A run
// that nobody waits for any more is cancelled.
func (s *shadowing) follow(ctx context.Context, r *shadow.Run) error {
	q := url.Values{}
	if r.Tenant != "" {
		q.Set("tenant", r.Tenant)
	}
	path := "/v1/shadow-runs/" + escape(r.ID)
	watched := isTerminal(s.err)
	for !r.State.Ended() {
		select {
		case <-ctx.Done():
			return s.abandon(ctx, path+"/cancel?"+q.Encode(), r.ID)
		case <-time.After(lookAgain):
		}
		if err := s.client().call(ctx, http.MethodGet, path+"?"+q.Encode(), nil, r); err != nil && ctx.Err() == nil {
			return err
		}
		if watched {
			fmt.Fprintf(s.err, "\r\x1b[K%s", shadowProgress(&r.Report))
		}
	}
	if watched {
		fmt.Fprint(s.err, "\r\x1b[K")
	}
	return nil
}

// abandon cancels a run after ctx has ended.
func (s *shadowing) abandon(ctx context.Context, path, id string) error {
	late, cancel := context.WithTimeout(context.WithoutCancel(ctx), farewell)
	defer cancel()
	if err := s.client().call(late, http.MethodPost, path, nil, nil); err != nil {
		return fmt.Errorf("%w; the run %s goes on: %w", ctx.Err(), id, err)
	}
	return fmt.Errorf("%w: the run %s was cancelled", ctx.Err(), id)
}

// isTerminal says whether a person may be watching.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

func shadowProgress(r *shadow.Report) string {
	if r.Total == 0 {
		return "counting..."
	}
	return fmt.Sprintf("%d of %d replayed, %d differ", r.Done, r.Total, r.Differs())
}

// shadowVerdict is what the exit code says.
func shadowVerdict(r *shadow.Run, most float64) error {
	switch p := &r.Report; {
	case r.State == job.Failed && r.Error != nil:
		return fmt.Errorf("the run has failed after %d executions: %w", p.Done, r.Error)
	case r.State != job.Done:
		return fmt.Errorf("the run is %s after %d executions", r.State, p.Done)
	case p.Differs() > 0:
		return fmt.Errorf("%d of %d executions would not have been the same", p.Differs(), p.Done)
	case most > 0 && p.Fuel.Total > most:
		return fmt.Errorf("the fuel in total is %s, and %s is allowed", percent(p.Fuel.Total), percent(most))
	default:
		return nil
	}
}

// printShadow prints a report for people.
func printShadow(w io.Writer, r *shadow.Run) {
	p, of := &r.Report, "all tenants"
	if r.Tenant != "" {
		of = "one tenant"
	}
	fmt.Fprintf(w, "%s@%s against %s: %d executions of %s since %s\n",
		r.Spec.Plugin, r.Spec.Version, r.Spec.Against, p.Done, of, r.Spec.Since.Local().Format(time.DateTime))
	for _, line := range []struct {
		n    int
		what string
	}{
		{p.Same, "the same"},
		{p.Mended, "failed, and succeed now"},
		{p.OutputDiffers, "output differs"},
		{p.LeftDiffers, "records, tags or state differ"},
		{p.CallsDiffer, "calls differ"},
		{p.AsksBeyond, "ask beyond what was recorded"},
		{p.Fails, "fail"},
		{p.OutcomeDiffers, "end in another way"},
		{p.FuelDiffers, "fuel differs on one module: a bug of cofferdam's"},
		{p.NotComparable, "not comparable"},
		{p.Skipped, "skipped"},
	} {
		if line.n > 0 || line.what == "the same" {
			fmt.Fprintf(w, "  %7d  %s\n", line.n, line.what)
		}
	}
	if f := p.Fuel; f.Compared > 0 {
		fmt.Fprintf(w, "  fuel     %s in total, %s in the median, %s at the 95th percentile, of %d\n",
			percent(f.Total), percent(f.Median), percent(f.P95), f.Compared)
	}
	if p.Seconds > 0 && p.RecordedSeconds > 0 {
		times, digits := p.RecordedSeconds/p.Seconds, 0
		if times < 10 {
			digits = 1
		}
		fmt.Fprintf(w, "  time     %s, %.*f times as fast as it ran\n", seconds(p.Seconds), digits, times)
	}
	if p.Done == p.Skipped {
		fmt.Fprintf(w, "nothing was compared: no execution of %s that ended since then is recorded\n", r.Spec.Against)
	}
	for _, g := range p.Groups {
		printShadowGroup(w, g)
	}
	if p.Other > 0 {
		fmt.Fprintf(w, "\n%d more are in further groups\n", p.Other)
	}
}

func printShadowGroup(w io.Writer, g shadow.Group) {
	fmt.Fprintf(w, "\n%s  %d  %s\n", strings.ReplaceAll(string(g.Verdict), "_", " "), g.Count, g.Key)
	for _, x := range g.Samples {
		fmt.Fprintf(w, "  %s of %s\n", x.Execution, x.Tenant)
		for _, c := range x.Changes {
			where := c.Where
			if where == "" {
				where = "the whole"
			}
			fmt.Fprintf(w, "    %s: %s becomes %s\n", where, orNothing(c.Recorded), orNothing(c.Now))
		}
		if len(x.Changes) == 0 && x.Recorded+x.Now != "" {
			fmt.Fprintf(w, "    recorded %s\n    now      %s\n", orNothing(x.Recorded), orNothing(x.Now))
		}
	}
}

func orNothing(s string) string {
	if s == "" {
		return "nothing"
	}
	return s
}

// percent writes a ratio as a change.
func percent(ratio float64) string { return fmt.Sprintf("%+.1f%%", (ratio-1)*100) }

func seconds(s float64) string { return duration(time.Duration(s * float64(time.Second))) }

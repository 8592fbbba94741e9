// Command chaos kills a server with SIGKILL while it works, starts it again, and
// looks at the end whether anything was lost or done twice.
//
//	go run ./chaos -cycles 200 -database both
//
// This process is everybody else: the vendor who delivers webhooks, signed, until
// they are accepted and sometimes again; the third party that has the effects
// (package ledger); and the killer. The server is a child, this program again, that
// embeds a Host. Its store tells this process what it is about to do, so that a kill
// falls into the middle of it: see moment.
//
// Each delivery has a guest (folder guest) read, make effects with and without
// idempotency keys, change state, sleep and emit a record. In the end each accepted
// delivery must have one execution, which has succeeded with all of that exactly
// once, or is dead because nobody can know whether an effect was had that has no
// key: with all of it at most once. See verdict.
//
// With -trouble nobody is killed: the database is restarted, its connections are ended,
// or taken, it freezes, or its disk is full, for a while, beneath a server that works on;
// and the report says what was done in a second before, meanwhile and after:
//
//	go run ./chaos -database postgres -trouble freeze -during 30s
//
// The last line is
//
//	chaos lost=0 duplicated=0 cycles=400
//
// and the exit code is 1 if something was lost or done twice; what, and how that is
// known, is printed before. It is 1, too, if the work is not back to 95 % within 10 s
// after a trouble.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/cofferdam-run/cofferdam/host/store/postgres/postgrestest"
)

// errBroken is a promise that was not kept.
var errBroken = errors.New("what was promised does not hold: see above")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		stop()
		os.Exit(1)
	}
}

// backWithin is how soon after a trouble the work is what it was before.
const backWithin = 10 * time.Second

// options are what the flags say.
type options struct {
	cycles   int
	database string
	lease    time.Duration
	// long is the share of servers that live for longer than a lease.
	long     float64
	p99      time.Duration
	seed     uint64
	duration time.Duration
	rate     float64
	// moment is when each server is killed, or empty for a moment drawn at each.
	moment moment
	// trouble is what the database has in place of kills, for how long, and how long
	// the work is watched before and after.
	trouble        trouble
	during, around time.Duration
	// naive has the servers keep no journal.
	naive   bool
	verbose bool
}

func run(ctx context.Context, args []string, out io.Writer) error {
	if len(args) > 0 && args[0] == childCommand {
		return live(ctx, args[1:], os.Stdin, out)
	}
	o := options{}
	flags := flag.NewFlagSet("chaos", flag.ContinueOnError)
	flags.IntVar(&o.cycles, "cycles", 200, "how often the server is killed, on each database")
	flags.StringVar(&o.database, "database", "both", "sqlite, postgres or both")
	flags.DurationVar(&o.lease, "lease", time.Second, "how long a dead server keeps its executions")
	flags.Float64Var(&o.long, "long", 0.2, "the share of servers that live for long enough to take up what another has left")
	flags.DurationVar(&o.p99, "p99", 0, "fail if the 99th percentile of the times to resume is longer; 0 is never")
	flags.Uint64Var(&o.seed, "seed", 0, "what chance begins with; 0 draws and prints one")
	flags.DurationVar(&o.duration, "duration", time.Hour, "begin no further cycle after this time, on each database")
	flags.Float64Var(&o.rate, "rate", 15, "deliveries per second")
	flags.Func("moment", "kill only at this moment: "+strings.Join(momentNames(), ", "), o.moment.set)
	flags.Func("trouble", "kill nobody, and give the database trouble: "+strings.Trim(fmt.Sprint(troubles()), "[]"), o.trouble.set)
	flags.DurationVar(&o.during, "during", 30*time.Second, "how long the trouble lasts")
	flags.DurationVar(&o.around, "around", 20*time.Second, "how long the work is watched before the trouble and after it")
	flags.BoolVar(&o.naive, "naive", false, "keep no journal, to see that the ledger notices")
	flags.BoolVar(&o.verbose, "v", false, "print each cycle")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if o.trouble != "" && o.trouble != full && o.database != "postgres" {
		return fmt.Errorf("the trouble %q is Postgres's: say -database postgres", o.trouble)
	}
	if o.seed == 0 {
		o.seed = rand.Uint64() //nolint:gosec // Chance, not a secret.
	}
	return o.run(ctx, out)
}

// run prints a report per database, and the line that counts.
func (o options) run(ctx context.Context, out io.Writer) error {
	names := map[string][]string{"sqlite": {"sqlite"}, "postgres": {"postgres"}, "both": {"sqlite", "postgres"}}[o.database]
	if names == nil {
		return fmt.Errorf("the database is %q: it may be sqlite, postgres or both", o.database)
	}
	wasm, err := buildGuest(ctx)
	if err != nil {
		return err
	}
	total := report{}
	var slow error
	for _, name := range names {
		r, err := o.on(ctx, out, name, wasm)
		if errors.Is(err, postgrestest.ErrNoServer) {
			fmt.Fprintf(out, "THE CYCLES ON POSTGRES DID NOT RUN: %v\n", err)
			continue
		}
		if errors.Is(err, errNotHere) {
			fmt.Fprintf(out, "THE TROUBLE %q DID NOT COME: %v\n", o.trouble, err)
			continue
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		r.print(out, name)
		total.add(r)
		if p99 := quantile(r.resumed, 0.99); o.p99 > 0 && p99 > o.p99 {
			slow = fmt.Errorf("%s: the 99th percentile of the times to resume is %s, and %s is what was promised", name, p99, o.p99)
		}
		if s := r.suffered; s.trouble != "" && (!s.well || s.back > backWithin) {
			slow = fmt.Errorf("%s: the work was not what it was before within %s after the trouble %q", name, backWithin, s.trouble)
		}
	}
	fmt.Fprintf(out, "chaos lost=%d duplicated=%d cycles=%d\n", total.lost, total.duplicated(), total.cycles)
	if total.broken() {
		return errBroken
	}
	return slow
}

package audit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/mod/sumdb/note"

	"github.com/cofferdam-run/cofferdam/host/audit/transcript"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/retention"
)

const (
	// batch is how many leaves one transaction adds: at some 50 us each it takes
	// 10 ms, which others wait for where there is one writer.
	batch = 256
	// hold is how long a process that has died keeps others from going on.
	hold = 30 * time.Second
	// forgetEvery is how often old texts are looked for, and forgetRows how many one
	// transaction takes away.
	forgetEvery = time.Hour
	forgetRows  = 500
	// lastWords is how long the end of Run may take.
	lastWords = 5 * time.Second
	turnName  = "audit"
)

// Config configures a Log.
type Config struct {
	Store Store
	// Signer signs checkpoints: all processes of a cluster have the same. Defaults to
	// none: then the log is kept, and nobody can show what it was.
	Signer note.Signer
	// Public is the key that verifies what Signer signs, and prints as name+hash+key. It
	// is needed with it.
	Public note.Verifier
	// Before are the keys that Signer replaces. They sign along, so that those who verify
	// have the time to learn of the new one. Defaults to none.
	Before []*Key
	// Sinks get checkpoints, the newest first. Defaults to none.
	Sinks []Sink
	// Holder names this process among those of a cluster.
	Holder string
	// Every is how often pending entries are given numbers. Defaults to 1 s.
	Every time.Duration
	// SignEvery is how often a log that has grown is signed. Defaults to 1 min.
	SignEvery time.Duration
	// Keep is how long leaves keep their text. Defaults to 400 days: a year, and time
	// to look back at it.
	Keep time.Duration
	// Registerer is where metrics go. Defaults to none.
	Registerer prometheus.Registerer
	// Logger hears what went wrong. Defaults to none.
	Logger *slog.Logger
	Now    func() time.Time
	After  func(d time.Duration) <-chan time.Time
}

func (c Config) withDefaults() Config {
	if c.Every == 0 {
		c.Every = time.Second
	}
	if c.SignEvery == 0 {
		c.SignEvery = time.Minute
	}
	if c.Keep == 0 {
		c.Keep = 400 * 24 * time.Hour
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// Log is the audit log. Run may be called once; the rest at any time.
type Log struct {
	c       Config
	metrics *metrics
	uses    uses
	notes   notes
	senders []*sender
	// what Run alone looks at.
	run running
}

// running is what Run remembers.
type running struct {
	// asked is when the turn was asked for, and mine whether it was given.
	asked  time.Time
	mine   bool
	signed time.Time
	forgot time.Time
	noted  time.Time
	// last is the checkpoint that was signed or seen last.
	last transcript.Checkpoint
}

// New returns a Log, which gives no numbers until it is run.
func New(c Config) *Log {
	c = c.withDefaults()
	l := &Log{c: c, metrics: newMetrics(c.Registerer), notes: notes{counted: map[Entry]Entry{}, seen: map[string]time.Time{}}}
	l.uses.turn = make(chan struct{}, 1)
	for _, s := range c.Sinks {
		l.senders = append(l.senders, newSender(s))
	}
	return l
}

// Check returns a fault if the log was signed with another key.
func (l *Log) Check(ctx context.Context) error {
	if l.c.Signer == nil {
		return nil
	}
	last, err := l.stored(ctx)
	if err != nil || last == nil {
		return err
	}
	if _, err := transcript.Open(last.Note, l.keys()...); err != nil {
		return fault.New(fault.Platform, "wrong_audit_key", "the audit log was signed with another key than %s", l.c.Public.Name()).
			WithHint("Start with the key file that signed it: restore it from a backup. Every server of one database has the same.").
			Because(err)
	}
	return nil
}

// Run gives numbers to what is pending, signs, sends and forgets, when it is this
// process's turn, until ctx ends.
func (l *Log) Run(ctx context.Context) {
	var sending sync.WaitGroup
	for i, s := range l.senders {
		sending.Go(func() { l.deliver(ctx, s, strconv.Itoa(i)) })
	}
	for {
		select {
		case <-ctx.Done():
			sending.Wait()
			l.end(ctx)
			return
		case <-l.c.After(l.c.Every):
		}
		if err := l.step(ctx); err != nil && ctx.Err() == nil {
			l.metrics.failures.Inc()
			l.c.Logger.ErrorContext(ctx, "the audit log did not grow", slog.Any("error", err))
		}
	}
}

// end writes what was only counted, has it signed and sent, and gives the turn to
// whoever goes on.
func (l *Log) end(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWords)
	defer cancel()
	err := errors.Join(l.flush(ctx), l.flushLater(ctx))
	if l.run.asked.IsZero() { // It was a short life, and may be the only one for now.
		err = errors.Join(err, l.takeTurn(ctx, l.c.Now()))
	}
	if l.run.mine {
		err = errors.Join(err, l.sequence(ctx), l.sign(ctx), l.sendLast(ctx))
		_, given := l.c.Store.TakeTurn(ctx, retention.Turn{Name: turnName, Holder: l.c.Holder})
		err = errors.Join(err, given)
	}
	if err != nil {
		l.c.Logger.ErrorContext(ctx, "not all was written to the audit log", slog.Any("error", err))
	}
}

// step does what is due.
func (l *Log) step(ctx context.Context) error {
	now := l.c.Now()
	if err := l.flushLater(ctx); err != nil {
		return err
	}
	if now.Sub(l.run.noted) >= noteEvery {
		l.run.noted = now
		if err := l.flush(ctx); err != nil {
			return err
		}
	}
	if l.run.asked.IsZero() || now.Sub(l.run.asked) >= hold/4 {
		if err := l.takeTurn(ctx, now); err != nil {
			return err
		}
	}
	if !l.run.mine {
		return nil
	}
	if err := l.sequence(ctx); err != nil {
		return err
	}
	if now.Sub(l.run.signed) >= l.c.SignEvery {
		l.run.signed = now
		if err := l.sign(ctx); err != nil {
			return err
		}
	}
	return l.forget(ctx, now)
}

func (l *Log) takeTurn(ctx context.Context, now time.Time) error {
	mine, err := l.c.Store.TakeTurn(ctx, retention.Turn{Name: turnName, Holder: l.c.Holder, For: hold})
	if err != nil {
		return fmt.Errorf("take the turn: %w", err)
	}
	l.run.asked, l.run.mine = now, mine
	return nil
}

// sequence gives numbers to all that is pending.
func (l *Log) sequence(ctx context.Context) error {
	for {
		n, tree, err := l.c.Store.SequenceActs(ctx, batch)
		if err != nil {
			return fmt.Errorf("give numbers: %w", err)
		}
		l.metrics.leaves.Add(float64(n))
		l.metrics.size.Set(float64(tree.Size))
		if n < batch {
			return nil
		}
	}
}

// forget takes away the texts of what was kept for long enough.
func (l *Log) forget(ctx context.Context, now time.Time) error {
	if now.Sub(l.run.forgot) < forgetEvery {
		return nil
	}
	total := 0
	for {
		n, err := l.c.Store.ForgetActs(ctx, now.Add(-l.c.Keep), forgetRows)
		if err != nil {
			return fmt.Errorf("forget texts: %w", err)
		}
		total += n
		if n < forgetRows {
			break
		}
	}
	l.run.forgot = now
	if total == 0 {
		return nil
	}
	return l.Use(ctx, Entry{Who: Host, Action: "audit.forget", Result: Done, Count: int64(total)})
}

// metrics are the log's.
type metrics struct {
	leaves, failures, unsent prometheus.Counter
	size                     prometheus.Gauge
	behind                   *prometheus.GaugeVec
}

func newMetrics(r prometheus.Registerer) *metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	m := &metrics{
		leaves:   counter("cofferdam_audit_leaves_total", "Entries that this process has added to the audit log."),
		failures: counter("cofferdam_audit_failures_total", "Times that the audit log could not be added to, signed or read."),
		unsent:   counter("cofferdam_audit_unsent_total", "Checkpoints that a sink did not take."),
		size:     prometheus.NewGauge(prometheus.GaugeOpts{Name: "cofferdam_audit_size", Help: "Leaves of the audit log, where this process adds them."}),
		behind: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "cofferdam_audit_sink_behind", Help: "Whether a sink, by its place among them, has not taken the newest checkpoint.",
		}, []string{"sink"}),
	}
	if r != nil {
		r.MustRegister(m.leaves, m.failures, m.unsent, m.size, m.behind)
	}
	return m
}

package audit_test

import (
	"context"
	"errors"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/cofferdam-run/cofferdam/host/audit"
	"github.com/cofferdam-run/cofferdam/host/audit/transcript"
	"github.com/cofferdam-run/cofferdam/host/retention"
)

// growing is a log that has nothing but checkpoints, of as many empty leaves as there
// were entries.
type growing struct {
	audit.Store

	mu     sync.Mutex
	hashes []tlog.Hash
	size   int64
	signed []audit.Signed
}

func (s *growing) AddActs(_ context.Context, es []audit.Entry) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for range es {
		more, err := tlog.StoredHashes(s.size, []byte("x"), s.reader())
		if err != nil {
			return err
		}
		s.hashes = append(s.hashes, more...)
		s.size++
	}
	return nil
}

func (s *growing) SequenceActs(context.Context, int) (int, audit.Tree, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, err := s.tree()
	return 0, t, err
}

func (s *growing) ActTree(context.Context) (audit.Tree, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tree()
}

func (s *growing) ActTile(_ context.Context, level int, n int64) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	width := int(min(s.size>>(8*level)-n<<8, 256))
	return tlog.ReadTileData(tlog.Tile{H: 8, L: level, N: n, W: width}, s.reader())
}

func (s *growing) AddCheckpoint(_ context.Context, c audit.Signed) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.signed = append(s.signed, c)
	return nil
}

func (s *growing) ActCheckpoints(context.Context, int64, int64, int) ([]audit.Signed, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.signed[max(0, len(s.signed)-1):], nil
}

func (*growing) TakeTurn(context.Context, retention.Turn) (bool, error) { return true, nil }

func (*growing) ForgetActs(context.Context, time.Time, int) (int, error) { return 0, nil }

func (s *growing) reader() tlog.HashReader {
	return tlog.HashReaderFunc(func(at []int64) ([]tlog.Hash, error) {
		var out []tlog.Hash
		for _, i := range at {
			out = append(out, s.hashes[i])
		}
		return out, nil
	})
}

func (s *growing) tree() (audit.Tree, error) {
	root, err := tlog.TreeHash(s.size, s.reader())
	return audit.Tree{Size: s.size, Root: root}, err
}

// ticking is a clock whose waits are over when the test says so, each after its time.
type ticking struct {
	mu    sync.Mutex
	asked *sync.Cond
	at    time.Time
	waits map[time.Duration]chan time.Time
}

func newTicking() *ticking {
	c := &ticking{at: now(), waits: map[time.Duration]chan time.Time{}}
	c.asked = sync.NewCond(&c.mu)
	return c
}

func (c *ticking) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *ticking) after(d time.Duration) <-chan time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waits[d] = make(chan time.Time, 1)
	c.asked.Broadcast()
	return c.waits[d]
}

// over ends a wait of a length, once there is one.
func (c *ticking) over(d time.Duration) {
	c.await(d)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
	c.waits[d] <- c.at
	delete(c.waits, d)
}

// await returns once there is a wait of a length.
func (c *ticking) await(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.waits[d] == nil {
		c.asked.Wait()
	}
}

// moody is a sink that takes nothing until it is told to.
type moody struct {
	mu    sync.Mutex
	fails bool
	took  [][]byte
	taken chan struct{}
}

func (m *moody) Send(_ context.Context, note []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fails {
		return errors.New("not now")
	}
	m.took = append(m.took, note)
	m.taken <- struct{}{}
	return nil
}

// gauges are a metric's values by label.
func gauges(t *testing.T, from prometheus.Gatherer, name string) map[string]float64 {
	t.Helper()
	families, err := from.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]float64{}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			all[m.GetLabel()[0].GetValue()] = m.GetGauge().GetValue()
		}
	}
	return all
}

// TestASinkThatFailsIsTriedAgainAndHoldsUpNothing: the log grows and the other sink gets
// each checkpoint meanwhile; the one that failed gets the newest in the end.
func TestASinkThatFailsIsTriedAgainAndHoldsUpNothing(t *testing.T) {
	t.Parallel()
	k, err := audit.CreateKey(filepath.Join(t.TempDir(), "audit-key"))
	if err != nil {
		t.Fatal(err)
	}
	s := &growing{}
	c := newTicking()
	bad, good := &moody{fails: true, taken: make(chan struct{}, 9)}, &moody{taken: make(chan struct{}, 9)}
	metrics := prometheus.NewRegistry()
	const every = 2 * time.Minute // Longer than the log is not signed for.
	l := audit.New(audit.Config{
		Store: s, Signer: k, Public: k.Public(), Sinks: []audit.Sink{bad, good}, Every: every, Now: c.now, After: c.after, Registerer: metrics,
	})
	ctx, stop := context.WithCancel(t.Context())
	ran := make(chan struct{})
	go func() { defer close(ran); l.Run(ctx) }()
	for n := range 3 {
		if err := l.Use(t.Context(), audit.Entry{Who: "host", Action: "a", Result: audit.Done}); err != nil {
			t.Fatal(err)
		}
		c.over(every)
		<-good.taken
		if n == 0 {
			c.over(time.Second)
			c.await(2 * time.Second)
		}
	}
	if got := gauges(t, metrics, "cofferdam_audit_sink_behind"); got["0"] != 1 || got["1"] != 0 || len(got) != 2 {
		t.Errorf("behind are %v, want the first", got)
	}
	bad.mu.Lock()
	bad.fails = false
	bad.mu.Unlock()
	c.over(2 * time.Second)
	<-bad.taken
	stop()
	<-ran
	newest := s.signed[len(s.signed)-1].Note
	if len(bad.took) != 1 || string(bad.took[0]) != string(newest) {
		t.Errorf("the sink got %q, want the newest checkpoint alone", bad.took)
	}
	if len(good.took) != 3 {
		t.Errorf("the other sink got %d checkpoints, want 3", len(good.took))
	}
	if got, err := transcript.Open(newest, k.Public()); err != nil || got.Size != 3 {
		t.Errorf("got %+v, %v", got, err)
	}
}

// TestTheEndIsSignedAndSent: what was done before a stop is not left to the next start.
func TestTheEndIsSignedAndSent(t *testing.T) {
	t.Parallel()
	k, err := audit.CreateKey(filepath.Join(t.TempDir(), "audit-key"))
	if err != nil {
		t.Fatal(err)
	}
	sink := &moody{taken: make(chan struct{}, 9)}
	c := newTicking()
	l := audit.New(audit.Config{Store: &growing{}, Signer: k, Public: k.Public(), Sinks: []audit.Sink{sink}, Now: c.now, After: c.after})
	l.Later(audit.Entry{Who: "host", Action: "a", Result: audit.Done})
	ctx, stop := context.WithCancel(t.Context())
	stop()
	l.Run(ctx)
	if len(sink.took) != 1 {
		t.Fatalf("the sink got %d checkpoints, want 1", len(sink.took))
	}
	if got, err := transcript.Open(sink.took[0], k.Public()); err != nil || got.Size != 1 {
		t.Errorf("got %+v, %v", got, err)
	}
}

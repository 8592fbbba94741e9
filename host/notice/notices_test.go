package notice_test

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdam-run/cofferdam/host/notice"
	"github.com/cofferdam-run/cofferdam/host/retention"
)

// shelf keeps notices in memory, by the contract of notice.Store.
type shelf struct {
	mu     sync.Mutex
	all    []notice.Notice
	holder string
	until  time.Time
	fails  error
}

func (s *shelf) InsertNotice(_ context.Context, n notice.Notice) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fails != nil || slices.ContainsFunc(s.all, func(o notice.Notice) bool { return o.Tenant == n.Tenant && o.Subject == n.Subject }) {
		return false, s.fails
	}
	s.all = append(s.all, n)
	return true, nil
}

func (s *shelf) Notices(_ context.Context, tenant, _ string, limit int) ([]notice.Notice, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var some []notice.Notice
	for _, n := range slices.Backward(s.all) {
		if (tenant == "" || n.Tenant == tenant) && len(some) < limit {
			some = append(some, n)
		}
	}
	return some, s.fails
}

func (s *shelf) Notice(context.Context, string, string) (notice.Notice, error) {
	return notice.Notice{}, errors.New("nobody asks")
}

func (s *shelf) UntoldNotices(_ context.Context, since time.Time, after notice.Notice, limit int) ([]notice.Notice, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var some []notice.Notice
	past := after.ID == ""
	for _, n := range s.all { // In the order in which they came.
		if past && n.ToldAt.IsZero() && !n.CreatedAt.Before(since) && len(some) < limit {
			some = append(some, n)
		}
		past = past || n.ID == after.ID
	}
	return some, nil
}

func (s *shelf) NoticeTold(_ context.Context, tenant, id string, at time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.all {
		if s.all[i].Tenant == tenant && s.all[i].ID == id {
			s.all[i].ToldAt = at
		}
	}
	return nil
}

func (s *shelf) TakeTurn(_ context.Context, t retention.Turn) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := time.Now(); s.holder == t.Holder || !s.until.After(now) {
		s.holder, s.until = t.Holder, now.Add(t.For)
		return true, nil
	}
	return false, nil
}

// ear takes what is passed on.
type ear struct {
	mu    sync.Mutex
	heard []string
	// refuses says which subjects are not taken now.
	refuses map[string]bool
}

func (e *ear) notify(_ context.Context, n notice.Notice) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.refuses[n.Subject] {
		return errors.New("not now")
	}
	e.heard = append(e.heard, n.Subject)
	return nil
}

func (e *ear) got() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.heard)
}

func running(t *testing.T, s *shelf, holder string, notify func(context.Context, notice.Notice) error) *notice.Notices {
	t.Helper()
	n := notice.New(notice.Config{Store: s, Notify: notify, Holder: holder, Now: time.Now, After: time.After})
	go n.Run(t.Context())
	return n
}

func tell(t *testing.T, s *notice.Notices, subject string) bool {
	t.Helper()
	first, err := s.Tell(t.Context(), notice.Notice{Tenant: "ten_a", Kind: notice.ConnectionBroken, Subject: subject, Connection: "con_1"})
	if err != nil {
		t.Fatal(err)
	}
	return first
}

func TestEachIsToldOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, e := &shelf{}, &ear{}
		one, other := running(t, s, "wrk_1", e.notify), running(t, s, "wrk_2", e.notify)
		if first, again := tell(t, one, "a"), tell(t, other, "a"); !first || again {
			t.Errorf("it was the first: %v, and again: %v", first, again)
		}
		synctest.Wait()
		if diff := cmp.Diff([]string{"a"}, e.got()); diff != "" {
			t.Errorf("without waiting for a round (-want +got):\n%s", diff)
		}
		time.Sleep(10 * time.Minute)
		all, err := one.List(t.Context(), "ten_a", "", 10)
		if err != nil || len(all) != 1 || all[0].ToldAt.IsZero() || all[0].At.IsZero() || all[0].ID == "" || len(e.got()) != 1 {
			t.Errorf("got %+v, %v, and %v was told", all, err, e.got())
		}
	})
}

func TestOneThatIsNotTakenIsToldAgainAndHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, e := &shelf{}, &ear{refuses: map[string]bool{"a": true}}
		n := running(t, s, "wrk_1", e.notify)
		tell(t, n, "a")
		tell(t, n, "b")
		synctest.Wait()
		if diff := cmp.Diff([]string{"b"}, e.got()); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		e.mu.Lock()
		e.refuses = nil
		e.mu.Unlock()
		time.Sleep(time.Minute)
		if diff := cmp.Diff([]string{"b", "a"}, e.got()); diff != "" {
			t.Errorf("later (-want +got):\n%s", diff)
		}
	})
}

// Many that are refused for good hold up what comes behind them as little as one does.
func TestManyThatAreNotTakenHoldUpNoOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, e := &shelf{}, &ear{refuses: map[string]bool{}}
		n := notice.New(notice.Config{Store: s, Notify: e.notify, Holder: "wrk_1", Now: time.Now, After: time.After})
		for i := range 250 {
			e.refuses[strconv.Itoa(i)] = true
			tell(t, n, strconv.Itoa(i))
		}
		tell(t, n, "last")
		go n.Run(t.Context())
		synctest.Wait()
		if diff := cmp.Diff([]string{"last"}, e.got()); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

func TestWhatADeadProcessLeftIsToldByAnother(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, e := &shelf{}, &ear{}
		dead := notice.New(notice.Config{Store: s, Holder: "wrk_dead", Now: time.Now, After: time.After})
		tell(t, dead, "a")
		if taken, err := s.TakeTurn(t.Context(), retention.Turn{Name: "notices", Holder: "wrk_dead", For: time.Minute}); !taken || err != nil {
			t.Fatal(taken, err)
		}
		running(t, s, "wrk_1", e.notify)
		time.Sleep(30 * time.Second)
		if got := e.got(); len(got) > 0 {
			t.Errorf("%v was told out of turn", got)
		}
		time.Sleep(time.Minute)
		if diff := cmp.Diff([]string{"a"}, e.got()); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

// Whoever takes nothing for long is asked less and less often, and not for ever.
func TestNobodyIsToldOldNews(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &shelf{}
		var asked int
		n := running(t, s, "wrk_1", func(context.Context, notice.Notice) error {
			asked++
			return errors.New("no")
		})
		tell(t, n, "a")
		time.Sleep(time.Hour)
		synctest.Wait()
		if asked < 5 || asked > 15 {
			t.Errorf("it was told %d times within an hour, want it less and less often", asked)
		}
		time.Sleep(4 * 24 * time.Hour)
		synctest.Wait()
		before := asked
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		if asked != before {
			t.Errorf("it was told %d times on the fifth day, want none", asked-before)
		}
	})
}

func TestWithoutAnEarNoticesAreKept(t *testing.T) {
	t.Parallel()
	s := &shelf{}
	n := notice.New(notice.Config{Store: s, Now: time.Now, After: time.After})
	n.Run(t.Context()) // It returns.
	for i := range 3 {
		tell(t, n, strconv.Itoa(i))
	}
	if all, err := n.List(t.Context(), "", "", 10); err != nil || len(all) != 3 {
		t.Errorf("got %v, %v", all, err)
	}
	s.fails = errors.New("the database is away")
	if _, err := n.Tell(t.Context(), notice.Notice{Tenant: "ten_a"}); !errors.Is(err, s.fails) {
		t.Errorf("got %v", err)
	}
	if _, err := n.List(t.Context(), "", "", 10); !errors.Is(err, s.fails) {
		t.Errorf("got %v", err)
	}
}

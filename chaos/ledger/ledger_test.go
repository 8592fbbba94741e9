package ledger_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdam-run/cofferdam/chaos/ledger"
)

// soon lets nobody wait.
func soon(time.Duration) <-chan time.Time {
	c := make(chan time.Time)
	close(c)
	return c
}

func post(l *ledger.Ledger, path, key, effect string) int {
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(`{"effect":"`+effect+`"}`))
	if key != "" {
		r.Header.Set(ledger.KeyHeader, key)
	}
	w := httptest.NewRecorder()
	l.ServeHTTP(w, r)
	return w.Code
}

func calm() *ledger.Ledger {
	l := ledger.New(ledger.Config{After: soon})
	l.Calm()
	return l
}

func TestCountsWhatIsHad(t *testing.T) {
	t.Parallel()
	type request struct{ path, key, effect string }
	for name, tt := range map[string]struct {
		requests []request
		want     []ledger.Effect
		wrong    int
	}{
		"once":                        {[]request{{"/plain", "", "a"}}, []ledger.Effect{{ID: "a", Asked: 1, Had: 1}}, 0},
		"twice without a key":         {[]request{{"/plain", "", "a"}, {"/plain", "", "a"}}, []ledger.Effect{{ID: "a", Asked: 2, Had: 2}}, 0},
		"twice where keys count less": {[]request{{"/plain", "k", "a"}, {"/plain", "k", "a"}}, []ledger.Effect{{ID: "a", Asked: 2, Had: 2}}, 0},
		"twice with a key":            {[]request{{"/keyed", "k", "a"}, {"/keyed", "k", "a"}}, []ledger.Effect{{ID: "a", Keyed: true, Asked: 2, Had: 1}}, 0},
		"twice with two keys":         {[]request{{"/keyed", "k", "a"}, {"/keyed", "l", "a"}}, []ledger.Effect{{ID: "a", Keyed: true, Asked: 2, Had: 2}}, 0},
		"without the key":             {[]request{{"/keyed", "", "a"}}, []ledger.Effect{{ID: "a", Keyed: true, Asked: 1, Had: 1}}, 1},
		"a key with another body": {
			[]request{{"/keyed", "k", "a"}, {"/keyed", "k", "b"}},
			[]ledger.Effect{{ID: "a", Keyed: true, Asked: 1, Had: 1}, {ID: "b", Keyed: true, Asked: 1}},
			1,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := calm()
			for _, r := range tt.requests {
				if got := post(l, r.path, r.key, r.effect); got != http.StatusOK {
					t.Errorf("the answer is %d, want 200", got)
				}
			}
			if diff := cmp.Diff(tt.want, l.Effects()); diff != "" {
				t.Errorf("effects (-want +got):\n%s", diff)
			}
			if got := l.Wrong(); len(got) != tt.wrong {
				t.Errorf("%q is wrong, want %d mistakes", got, tt.wrong)
			}
		})
	}
}

func TestRefusesWhatItCannotRead(t *testing.T) {
	t.Parallel()
	l := calm()
	if got := post(l, "/plain", "", ""); got != http.StatusBadRequest || len(l.Effects()) != 0 {
		t.Errorf("the answer is %d with %v, want 400 and no effects", got, l.Effects())
	}
}

func TestTellsTheStagesInTheirOrder(t *testing.T) {
	t.Parallel()
	var got []ledger.Stage
	l := ledger.New(ledger.Config{After: soon, Happened: func(s ledger.Stage) { got = append(got, s) }})
	l.Calm()
	post(l, "/plain", "", "a")
	l.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/read", nil))
	if diff := cmp.Diff([]ledger.Stage{ledger.Asked, ledger.Done, ledger.Asked}, got); diff != "" {
		t.Errorf("stages (-want +got):\n%s", diff)
	}
}

// Whatever an answer says, an effect was had exactly if it was not turned away.
func TestMishapsAreOfEachKindAndKeepTheCount(t *testing.T) {
	t.Parallel()
	l := ledger.New(ledger.Config{Seed: 7, After: soon})
	answers := map[int]int{}
	for i := range 2000 {
		answers[post(l, "/keyed", "k"+string(rune('a'+i%26))+time.Duration(i).String(), "e"+time.Duration(i).String())]++
	}
	had := 0
	for _, e := range l.Effects() {
		had += e.Had
	}
	if want := answers[200] + answers[500]; had != want {
		t.Errorf("%d effects were had, want %d", had, want)
	}
	c := l.Counts()
	if c.Posts != 2000 || c.Busy != answers[503] || c.Limited != answers[429] || c.Failed != answers[500] {
		t.Errorf("the counts are %+v, the answers %v", c, answers)
	}
	if min(c.Busy, c.Limited, c.Failed, c.Held) == 0 {
		t.Errorf("the mishaps are %+v, want some of each", c)
	}
}

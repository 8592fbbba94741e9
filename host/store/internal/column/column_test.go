package column_test

import (
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/store/internal/column"
)

func TestTimesComeBackAsTheyWent(t *testing.T) {
	t.Parallel()
	for _, want := range []time.Time{{}, time.UnixMicro(1).UTC(), time.Date(2026, 11, 20, 1, 2, 3, 456789000, time.UTC)} {
		if got := column.Time(column.Micros(want)); got != want {
			t.Errorf("got %v, want %v", got, want)
		}
	}
}

func TestStatesComeBackAsTheyWent(t *testing.T) {
	t.Parallel()
	seen := map[int]bool{}
	for _, want := range []execution.State{
		execution.Queued, execution.Running, execution.Waiting, execution.Succeeded, execution.Dead, execution.Cancelled,
	} {
		n, err := column.State(want)
		if err != nil || seen[n] {
			t.Errorf("%s: got %d and %v", want, n, err)
		}
		seen[n] = true
		if got := column.StateOf(n); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	if _, err := column.State("finished"); err == nil {
		t.Error("got no error for a state that is none")
	}
	if got := column.StateOf(9); got.Done() {
		t.Errorf("an unknown number is %s, which is done", got)
	}
}

func TestFromJSON(t *testing.T) {
	t.Parallel()
	got := []string{"kept"}
	if err := column.FromJSON(nil, &got); err != nil || len(got) != 1 {
		t.Errorf("an empty column: got %v and %v", got, err)
	}
	if err := column.FromJSON([]byte(`{`), &got); err == nil {
		t.Error("broken JSON: got no error")
	}
}

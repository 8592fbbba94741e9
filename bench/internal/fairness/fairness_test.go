package fairness_test

import (
	"context"
	"io"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/bench/internal/database"
	"github.com/cofferdam-run/cofferdam/bench/internal/fairness"
)

func TestMeasureHasEveryFigure(t *testing.T) {
	t.Parallel()
	size := fairness.Size{Tenants: 9, Flood: 200, Turns: 1, Turn: 300 * time.Millisecond, Shares: 8, Rounds: 20, Many: 40, Capped: 100, Claims: 8}
	err := database.Measure(t.Context(), io.Discard, database.Only{Database: database.SQLite}, database.Figure{
		Name: "fairness", Measure: func(ctx context.Context, d *database.Database) error {
			all, err := fairness.Measure(ctx, d, size)
			if err != nil {
				return err
			}
			names := map[string]fairness.Figure{}
			for _, f := range all {
				names[f.Name] = f
				if f.Value <= 0 {
					t.Errorf("%s is %v", f.Name, f.Value)
				}
			}
			for _, name := range []string{"fair_p99_ratio", "jain", "claim_p99_ms_10k", "claim_p99_ms_capped"} {
				if _, ok := names[name]; !ok {
					t.Errorf("there is no figure %s", name)
				}
			}
			if f := names["jain"]; !f.Met() {
				t.Errorf("the index is %v, want at least %v", f.Value, f.Goal)
			}
			return nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
}

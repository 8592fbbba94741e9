package database_test

import (
	"context"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/cofferdam-run/cofferdam/bench/internal/database"
)

// noting is a figure that notes that it was measured.
func noting(name string, measured *[]string) database.Figure {
	return database.Figure{Name: name, Measure: func(_ context.Context, d *database.Database) error {
		*measured = append(*measured, d.Name+" "+name)
		return nil
	}}
}

func TestOnlyWhatWasAskedForIsMeasured(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		figure string
		want   []string
	}{{"", []string{"sqlite a", "sqlite b"}}, {"b", []string{"sqlite b"}}} {
		var measured []string
		only := database.Only{Database: database.SQLite, Figure: tt.figure}
		if err := database.Measure(t.Context(), io.Discard, only, noting("a", &measured), noting("b", &measured)); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(measured, tt.want) {
			t.Errorf("of %q measured %q, want %q", tt.figure, measured, tt.want)
		}
	}
}

func TestWhatIsNotThereIsRefused(t *testing.T) {
	t.Parallel()
	for _, only := range []database.Only{{Database: "oracle"}, {Figure: "c"}} {
		var measured []string
		err := database.Measure(t.Context(), io.Discard, only, noting("a", &measured))
		if err == nil || !strings.Contains(err.Error(), `"`+only.Database+only.Figure+`"`) || len(measured) > 0 {
			t.Errorf("of %+v measured %q and got %v, want an error that names it", only, measured, err)
		}
	}
}

func TestEachStoreHasADatabaseOfItsOwn(t *testing.T) {
	t.Parallel()
	var addresses []string
	figure := database.Figure{Name: "a", Measure: func(ctx context.Context, d *database.Database) error {
		for range 2 {
			address, err := d.Create(ctx)
			if err != nil {
				return err
			}
			addresses = append(addresses, address)
			db, err := d.Store(ctx, address)
			if err != nil {
				return err
			}
			defer db.Close()
			if _, _, err := db.Migrate(ctx); err != nil {
				return err
			}
			look, err := d.Plain(address, "mode=ro")
			if err != nil {
				return err
			}
			defer look.Close()
			var n int
			if err := look.QueryRowContext(ctx, "SELECT COUNT(*) FROM executions").Scan(&n); err != nil || n != 0 {
				t.Errorf("there are %d executions and the error %v, want none", n, err)
			}
		}
		return nil
	}}
	if err := database.Measure(t.Context(), io.Discard, database.Only{Database: database.SQLite}, figure); err != nil {
		t.Fatal(err)
	}
	if len(addresses) != 2 || addresses[0] == addresses[1] {
		t.Errorf("the addresses are %q, want two", addresses)
	}
}

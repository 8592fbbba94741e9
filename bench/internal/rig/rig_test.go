package rig_test

import (
	"context"
	"io"
	"os"
	"testing"

	"github.com/cofferdam-run/cofferdam/bench/internal/command"
	"github.com/cofferdam-run/cofferdam/bench/internal/database"
	"github.com/cofferdam-run/cofferdam/bench/internal/guest"
	"github.com/cofferdam-run/cofferdam/bench/internal/rig"
	"github.com/cofferdam-run/cofferdam/bench/internal/vendor"
	"github.com/cofferdam-run/cofferdam/host"
	"github.com/cofferdam-run/cofferdam/host/execution"
)

// TestMain is the vendor's process, too.
func TestMain(m *testing.M) {
	if vendor.Asked(os.Args) {
		command.Main(vendor.Serve)
		return
	}
	os.Exit(m.Run())
}

// onSQLite gives a test an empty SQLite.
func onSQLite(t *testing.T, test func(ctx context.Context, d *database.Database) error) {
	t.Helper()
	figure := database.Figure{Name: "test", Measure: test}
	if err := database.Measure(t.Context(), io.Discard, database.Only{Database: database.SQLite}, figure); err != nil {
		t.Fatal(err)
	}
}

func TestSidesDifferInWhatIsMeasured(t *testing.T) {
	t.Parallel()
	v, err := vendor.Start(t.Context(), vendor.Large)
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	onSQLite(t, func(ctx context.Context, d *database.Database) error {
		c := rig.Config{
			Name: "on", Cache: t.TempDir(), Plugins: [][]byte{guest.BuildBare(v.URL, vendor.Note())}, Installed: []string{guest.Bare},
			Vendor: v.URL, Tenants: 2,
		}
		on, err := rig.New(ctx, d, c)
		if err != nil {
			return err
		}
		defer on.Close()
		c.Name, c.Unjournaled, c.Unsealed = "off", true, true
		off, err := rig.New(ctx, d, c)
		if err != nil {
			return err
		}
		defer off.Close()
		load := rig.Load{Plugin: guest.Bare, N: 20, Warm: 2, Slots: 4, Note: vendor.Note()}
		with, without, err := rig.Versus(ctx, 2, on, off, load)
		if err != nil {
			return err
		}
		for side, all := range map[string][][]rig.Cost{"on": with, "off": without} {
			if len(all) != 1 || len(all[0]) != 2 || rig.ByWall(all[0][0]) <= 0 || all[0][0].Accepted.Wall <= 0 {
				t.Errorf("%s: got %+v, want two rounds of one load", side, all)
			}
		}
		if with[0][0].Writes <= 0 || without[0][0].Writes != 0 {
			t.Errorf("got %v and %v writes to the journal", with[0][0].Writes, without[0][0].Writes)
		}
		for r, want := range map[*rig.Rig]bool{on: true, off: false} {
			var body []byte
			if err := r.Look.QueryRowContext(ctx, `SELECT body FROM events LIMIT 1`).Scan(&body); err != nil {
				return err
			}
			if sealed := body[0] != '{'; sealed != want {
				t.Errorf("it is %t that an event is sealed, want %t", sealed, want)
			}
		}
		return nil
	})
}

func TestWhatCannotRunIsAnError(t *testing.T) {
	t.Parallel()
	onSQLite(t, func(ctx context.Context, d *database.Database) error {
		nobody := guest.Assemble("lost", guest.Asked{Function: "no_such", Request: "{}", Times: 1})
		_, err := rig.New(ctx, d, rig.Config{Name: "on", Cache: t.TempDir(), Plugins: [][]byte{nobody}, Tenants: 1})
		if err == nil {
			t.Error("a plugin was published that asks for what is not there")
		}
		r, err := rig.New(ctx, d, rig.Config{
			Name: "on", Cache: t.TempDir(), Plugins: [][]byte{guest.Assemble("silent")}, Installed: []string{"silent"}, Tenants: 1,
		})
		if err != nil {
			return err
		}
		defer r.Close()
		var ran []execution.Execution
		_, err = r.Turn(ctx, rig.Load{Plugin: "silent", N: 8, Warm: 1, Slots: 2}, func(ctx context.Context, h *host.Host) error {
			ran, err = h.Executions.List(ctx, r.Tenants[0], execution.Filter{})
			return err
		})
		if err != nil || len(ran) != 8 {
			t.Errorf("got %d executions, %v, want 8", len(ran), err)
		}
		if _, err := r.Turn(ctx, rig.Load{Plugin: "absent", N: 8, Warm: 1, Slots: 2}, nil); err == nil {
			t.Error("what is not installed was run")
		}
		return nil
	})
}

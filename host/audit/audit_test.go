package audit_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/host/audit"
	"github.com/cofferdam-run/cofferdam/host/audit/transcript"
)

// store takes entries, and holds up the first that are written.
type store struct {
	audit.Store

	mu      sync.Mutex
	entries []audit.Entry
	writes  int
	gate    chan struct{}
	fails   error
}

func (s *store) AddActs(_ context.Context, es []audit.Entry) error {
	if s.gate != nil {
		<-s.gate
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writes++
	s.entries = append(s.entries, es...)
	return s.fails
}

func now() time.Time { return time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC) }

func TestUsesShareATransaction(t *testing.T) {
	t.Parallel()
	s := &store{gate: make(chan struct{})}
	l := audit.New(audit.Config{Store: s, Now: now})
	var done sync.WaitGroup
	const uses = 200
	for i := range uses {
		done.Go(func() {
			if err := l.Use(t.Context(), audit.Entry{Who: "host", Action: "credential.open", Object: fmt.Sprint("con_", i%2), Result: audit.Done}); err != nil {
				t.Error(err)
			}
		})
	}
	close(s.gate)
	done.Wait()
	total := int64(0)
	for _, e := range s.entries {
		total += max(e.Count, 1)
		if e.ID == "" || e.At.IsZero() {
			t.Errorf("an entry without an id or a time: %+v", e)
		}
	}
	if total != uses {
		t.Errorf("%d uses are written, want %d", total, uses)
	}
}

func TestAUseThatIsNotWrittenIsAnError(t *testing.T) {
	t.Parallel()
	want := errors.New("no room")
	l := audit.New(audit.Config{Store: &store{fails: want}, Now: now})
	if err := l.Use(t.Context(), audit.Entry{Action: "credential.open"}); !errors.Is(err, want) {
		t.Errorf("got %v, want %v", err, want)
	}
}

func TestKeys(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "new", "audit-key")
	made, err := audit.CreateKey(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := audit.CreateKey(path); err == nil {
		t.Error("a key was replaced")
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("got %v, %v, want a file for its owner", info.Mode(), err)
	}
	again, err := audit.OpenKey(path)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := transcript.Checkpoint{Size: 3}.Sign(made)
	if err != nil {
		t.Fatal(err)
	}
	public, err := audit.ParsePublic(fmt.Sprint(again.Public()))
	if err != nil {
		t.Fatal(err)
	}
	if c, err := transcript.Open(signed, public); err != nil || c.Size != 3 {
		t.Errorf("got %+v, %v", c, err)
	}
	for _, shown := range []string{fmt.Sprint(made), fmt.Sprintf("%v %+v %#v", made, made, made)} {
		if strings.Contains(shown, "PRIVATE") {
			t.Errorf("the key shows as %s", shown)
		}
	}
	for name, text := range map[string]string{"nothing": "", "one line": "x", "nonsense": "x\ny"} {
		bad := filepath.Join(t.TempDir(), "bad")
		if err := os.WriteFile(bad, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := audit.OpenKey(bad); err == nil || strings.Contains(err.Error(), "PRIVATE") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestSinks(t *testing.T) {
	t.Parallel()
	file := audit.FileSink{Path: filepath.Join(t.TempDir(), "checkpoints.txt")}
	for _, n := range []string{"a\n\n— x y\n", "b\n\n— x z\n"} {
		if err := file.Send(t.Context(), []byte(n)); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(file.Path)
	if notes := transcript.Split(data); err != nil || len(notes) != 2 || string(notes[1]) != "b\n\n— x z\n" {
		t.Errorf("got %q, %v", notes, err)
	}
	var got []byte
	status := http.StatusNoContent
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got, _ = io.ReadAll(r.Body)
		w.WriteHeader(status)
	}))
	defer srv.Close()
	sink := audit.HTTPSink{URL: srv.URL, Client: srv.Client()}
	if err := sink.Send(t.Context(), []byte("note")); err != nil || string(got) != "note" {
		t.Errorf("got %q, %v", got, err)
	}
	status = http.StatusInternalServerError
	if err := sink.Send(t.Context(), []byte("note")); err == nil {
		t.Error("a sink that failed is believed")
	}
}

func TestAKeyIsReplaced(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "audit-key")
	first, err := audit.CreateKey(path)
	if err != nil {
		t.Fatal(err)
	}
	second, err := audit.ReplaceKey(path)
	if err != nil || second.Name() != first.Name() || second.KeyHash() == first.KeyHash() {
		t.Fatalf("got %v, %v, want another key of the same name", second, err)
	}
	if before := second.Before(); len(before) != 1 || before[0].KeyHash() != first.KeyHash() {
		t.Errorf("before it was %v, want the first", before)
	}
	if _, err := audit.ReplaceKey(path); err == nil {
		t.Error("a third one is made while the first is being replaced")
	}
	// A log that the first has signed goes on with the second, and says so in a leaf.
	s := &growing{}
	log := func(k *audit.Key) *audit.Log {
		return audit.New(audit.Config{Store: s, Signer: k, Public: k.Public(), Before: k.Before(), Now: now})
	}
	for i, k := range []*audit.Key{first, second, second} {
		signed, err := log(k).Checkpoint(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for j, key := range []*audit.Key{first, second} {
			if _, err := transcript.Open(signed.Note, key.Public()); (err == nil) != (i >= j) {
				t.Errorf("checkpoint %d, key %d: %v", i, j, err)
			}
		}
		if want := int64(min(i, 1)); signed.Size != want {
			t.Errorf("checkpoint %d is of %d leaves, want %d: the change of the key is one", i, signed.Size, want)
		}
	}
	retired, err := audit.RetireKeys(path)
	if err != nil || retired.KeyHash() != second.KeyHash() || len(retired.Before()) != 0 {
		t.Fatalf("got %v, %v, want the second alone", retired, err)
	}
	if err := log(retired).Check(t.Context()); err != nil {
		t.Errorf("with the second alone: %v", err)
	}
	if err := log(first).Check(t.Context()); err != nil {
		t.Errorf("with the first, which has signed along: %v", err)
	}
	stranger, err := audit.CreateKey(filepath.Join(t.TempDir(), "audit-key"))
	if err != nil {
		t.Fatal(err)
	}
	if err := log(stranger).Check(t.Context()); err == nil {
		t.Error("with the key of another log, nothing is said")
	}
}

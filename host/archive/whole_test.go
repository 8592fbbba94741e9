package archive_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/host/alert"
	"github.com/cofferdam-run/cofferdam/host/app"
	"github.com/cofferdam-run/cofferdam/host/archive"
	"github.com/cofferdam-run/cofferdam/host/audit"
	"github.com/cofferdam-run/cofferdam/host/connection"
	"github.com/cofferdam-run/cofferdam/host/destination"
	"github.com/cofferdam-run/cofferdam/host/endpoint"
	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/job"
	"github.com/cofferdam-run/cofferdam/host/notice"
	"github.com/cofferdam-run/cofferdam/host/pace"
	"github.com/cofferdam-run/cofferdam/host/schedule"
	"github.com/cofferdam-run/cofferdam/host/tenant"
	"github.com/cofferdam-run/cofferdam/host/token"
	"github.com/cofferdam-run/cofferdam/registry"
)

var noon = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

// shelf is a Source of a tenant that has nothing but events, each with a body of a size.
// All tests that the real ones can have are in host/store/storetest.
type shelf struct {
	archive.Source

	events, size int
	// fails is the event at which reading fails.
	fails int
}

var errAway = errors.New("the database is away")

func (*shelf) Paces(context.Context, string) ([]pace.Pace, error) { return nil, nil }

func (*shelf) Tenant(context.Context, string) (tenant.Tenant, error) {
	return tenant.Tenant{ID: "ten_1", Name: "acme", CreatedAt: noon.Add(-time.Hour)}, nil
}

func (s *shelf) Events(_ context.Context, _ string, f event.Filter) ([]event.Event, error) {
	var all []event.Event
	for n := s.events; n > 0 && len(all) < f.Limit; n-- {
		id := fmt.Sprintf("evt_%026d", n)
		if id >= f.Before {
			continue
		}
		if n == s.fails {
			return nil, errAway
		}
		all = append(all, event.Event{ID: id, Tenant: "ten_1", Body: []byte(strings.Repeat("a<\n", s.size/3)), ReceivedAt: noon})
	}
	return all, nil
}

func (*shelf) InstallationIDs(context.Context, string, string, int) ([]string, error) {
	return nil, nil
}

func (*shelf) Connections(context.Context, string) ([]connection.Connection, error) { return nil, nil }

func (*shelf) Apps(context.Context, string) ([]app.App, error) { return nil, nil }

func (*shelf) Notices(context.Context, string, string, int) ([]notice.Notice, error) { return nil, nil }

func (*shelf) Destinations(context.Context, string, string, int) ([]destination.Destination, error) {
	return nil, nil
}

func (*shelf) Watches(context.Context, string) ([]alert.Watch, error) { return nil, nil }

func (*shelf) Schedules(context.Context, string, schedule.Filter) ([]schedule.Schedule, error) {
	return nil, nil
}

func (*shelf) Endpoints(context.Context, string) ([]endpoint.Endpoint, error) { return nil, nil }

func (*shelf) Tokens(context.Context, string) ([]token.Token, error) { return nil, nil }

func (*shelf) Publishers(context.Context) ([]registry.Publisher, error) { return nil, nil }

func (*shelf) Acts(context.Context, audit.Filter) ([]audit.Leaf, error) { return nil, nil }

func (*shelf) Plugins(context.Context, registry.Viewer) ([]registry.Plugin, error) { return nil, nil }

func (*shelf) Jobs(context.Context, string, job.Filter) ([]job.Job, error) { return nil, nil }

func (*shelf) Executions(context.Context, string, execution.Filter) ([]execution.Execution, error) {
	return nil, nil
}

func write(tb testing.TB, s archive.Source, cursor string) (*bytes.Buffer, error) {
	tb.Helper()
	a := archive.New(archive.Config{Source: s, Now: func() time.Time { return noon }})
	plan, err := a.Check(tb.Context(), archive.Request{Tenant: "acme", Cursor: cursor})
	if err != nil {
		tb.Fatal(err)
	}
	var p bytes.Buffer
	return &p, a.Write(tb.Context(), &p, plan)
}

func TestPartsAreSmallAndGoneOnWith(t *testing.T) {
	t.Parallel()
	s := &shelf{events: 300, size: 60_000}
	whole, err := write(t, s, "")
	if err != nil {
		t.Fatal(err)
	}
	m, err := archive.Verify(bytes.NewReader(whole.Bytes()))
	if err != nil || m.Counts["events"] != 300 || m.Bytes < 300*60_000 || m.Files < 5 {
		t.Fatalf("got %+v, %v", m, err)
	}
	// One whose source fails has whole parts before, from which it goes on.
	s.fails = 40
	broken, err := write(t, s, "")
	if !errors.Is(err, errAway) {
		t.Fatalf("got %v", err)
	}
	part := archive.Whole(bytes.NewReader(broken.Bytes()))
	if part.Bytes != int64(broken.Len()) || part.Cursor == "" {
		t.Errorf("%+v is whole of %d bytes", part, broken.Len())
	}
	s.fails = 0
	rest, err := write(t, s, part.Cursor)
	if err != nil || !bytes.Equal(append(broken.Bytes(), rest.Bytes()...), whole.Bytes()) {
		t.Errorf("what was gone on with is another: %v", err)
	}
	if rest.Len() > whole.Len()/2 {
		t.Errorf("%d bytes of %d were written again", rest.Len(), whole.Len())
	}
}

func TestVerifyFindsWhatIsWrong(t *testing.T) {
	t.Parallel()
	whole, err := write(t, &shelf{events: 3, size: 300}, "")
	if err != nil {
		t.Fatal(err)
	}
	type entry struct{ name, text string }
	zip, _ := gzip.NewReader(bytes.NewReader(whole.Bytes()))
	files := tar.NewReader(zip)
	var entries []entry
	for {
		h, err := files.Next()
		if err != nil {
			break
		}
		var b bytes.Buffer
		_, _ = b.ReadFrom(files)
		entries = append(entries, entry{h.Name, b.String()})
	}
	pack := func(change func(es []entry) []entry) []byte {
		var b bytes.Buffer
		zip := gzip.NewWriter(&b)
		out := tar.NewWriter(zip)
		for _, e := range change(append([]entry(nil), entries...)) {
			_ = out.WriteHeader(&tar.Header{Name: e.name, Size: int64(len(e.text)), Mode: 0o600})
			_, _ = out.Write([]byte(e.text))
		}
		_ = errors.Join(out.Close(), zip.Close())
		return b.Bytes()
	}
	if _, err := archive.Verify(bytes.NewReader(pack(func(es []entry) []entry { return es }))); err != nil {
		t.Fatalf("packed anew: %v", err)
	}
	for what, change := range map[string]func(es []entry) []entry{
		"a file is gone":    func(es []entry) []entry { return append(es[:1], es[2:]...) },
		"files are moved":   func(es []entry) []entry { es[0], es[1] = es[1], es[0]; return es },
		"a file is renamed": func(es []entry) []entry { es[1].name = "state/000001.ndjson"; return es },
		"a byte is another": func(es []entry) []entry { es[0].text = "X" + es[0].text[1:]; return es },
		"a line is added":   func(es []entry) []entry { es[1].text += "{}\n"; return es },
		"a file follows":    func(es []entry) []entry { return append(es, entry{"more.ndjson", "{}\n"}) },
		"no manifest":       func(es []entry) []entry { return es[:len(es)-1] },
		"a broken manifest": func(es []entry) []entry { es[len(es)-1].text = "{"; return es },
		"of another format": func(es []entry) []entry {
			es[len(es)-1].text = strings.Replace(es[len(es)-1].text, "export/1", "export/9", 1)
			return es
		},
		"with another count": func(es []entry) []entry {
			es[len(es)-1].text = strings.Replace(es[len(es)-1].text, `"events": 3`, `"events": 4`, 1)
			return es
		},
	} {
		if _, err := archive.Verify(bytes.NewReader(pack(change))); !errors.Is(err, archive.ErrDamaged) {
			t.Errorf("%s: got %v, want that it is damaged", what, err)
		}
	}
}

func FuzzArchives(f *testing.F) {
	var whole bytes.Buffer
	a := archive.New(archive.Config{Source: &shelf{events: 2, size: 30}, Now: func() time.Time { return noon }})
	plan, err := a.Check(f.Context(), archive.Request{Tenant: "acme"})
	if err != nil {
		f.Fatal(err)
	}
	if err := a.Write(f.Context(), &whole, plan); err != nil {
		f.Fatal(err)
	}
	f.Add(whole.Bytes(), "")
	f.Add(whole.Bytes()[:whole.Len()/2], "eyJ0ZW5hbnQiOiJ0ZW5fMSIsImtpbmQiOiJzdGF0ZSIsInBvcyI6Ii8vIiwiZmlsZXMiOjF9")
	f.Fuzz(func(t *testing.T, b []byte, cursor string) {
		part := archive.Whole(bytes.NewReader(b))
		if part.Bytes > int64(len(b)) {
			t.Errorf("%d bytes of %d are whole", part.Bytes, len(b))
		}
		if _, err := archive.Verify(bytes.NewReader(b)); err == nil && !bytes.Equal(b, whole.Bytes()) && part.Bytes == 0 {
			t.Error("something that has no whole member is an archive")
		}
		// Whatever cursor somebody makes up is refused or gone on with.
		plan, err := a.Check(t.Context(), archive.Request{Tenant: "acme", Cursor: cursor})
		if err == nil {
			_ = a.Write(t.Context(), &bytes.Buffer{}, plan)
		}
	})
}

func ExampleVerify() {
	_, err := archive.Verify(strings.NewReader("no archive"))
	fmt.Println(err)
	// Output: read the archive: gzip: invalid header
}

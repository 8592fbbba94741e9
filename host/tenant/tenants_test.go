package tenant_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/tenant"
)

// memory is a Store in a slice.
type memory struct {
	tenants   []tenant.Tenant
	deletions map[string]tenant.Deletion
	writes    int
	fail      error
	// race is what others do to a tenant between its being read and changed; it
	// happens races times.
	race  func(*tenant.Tenant)
	races int
}

func (m *memory) InsertTenant(_ context.Context, t tenant.Tenant) error {
	if slices.ContainsFunc(m.tenants, func(o tenant.Tenant) bool { return o.Name == t.Name }) {
		return fault.New(fault.Conflict, "name_taken", "there is a tenant %q", t.Name)
	}
	m.tenants = append(m.tenants, t)
	return m.fail
}

func (m *memory) Tenant(_ context.Context, idOrName string) (tenant.Tenant, error) {
	for _, t := range m.tenants {
		if t.ID == idOrName || t.Name == idOrName {
			return t, m.fail
		}
	}
	return tenant.Tenant{}, fault.NotFound("tenant", idOrName)
}

func (m *memory) Tenants(_ context.Context, after string, limit int) ([]tenant.Tenant, error) {
	all := slices.DeleteFunc(slices.Clone(m.tenants), func(t tenant.Tenant) bool { return t.ID <= after })
	slices.SortFunc(all, func(a, b tenant.Tenant) int { return cmp.Compare(a.ID, b.ID) })
	return all[:min(limit, len(all))], m.fail
}

func (m *memory) UpdateTenant(_ context.Context, t, was tenant.Tenant) error {
	m.writes++
	i := slices.IndexFunc(m.tenants, func(o tenant.Tenant) bool { return o.ID == t.ID })
	if m.races > 0 {
		m.races--
		m.race(&m.tenants[i])
	}
	if m.tenants[i] != was {
		return fault.New(fault.Conflict, tenant.CodeChanged, "it has been changed")
	}
	m.tenants[i] = t
	return m.fail
}

func (m *memory) AskDeletion(_ context.Context, was tenant.Tenant, grace time.Duration) (tenant.Deletion, error) {
	m.writes++
	i := slices.IndexFunc(m.tenants, func(o tenant.Tenant) bool { return o.ID == was.ID })
	if m.races > 0 {
		m.races--
		m.race(&m.tenants[i])
	}
	if m.tenants[i] != was {
		return tenant.Deletion{}, fault.New(fault.Conflict, tenant.CodeChanged, "it has been changed")
	}
	d, ok := m.deletions[was.ID]
	if !ok {
		d = tenant.Deletion{Tenant: was.ID, Name: was.Name, State: tenant.DeletionAsked, AskedAt: noon, Was: was.State}
	}
	d.DueAt = noon.Add(grace)
	m.deletions[was.ID], m.tenants[i].State, m.tenants[i].DeleteAt = d, tenant.Paused, d.DueAt
	return d, m.fail
}

func (m *memory) RestoreTenant(_ context.Context, id string) error {
	i := slices.IndexFunc(m.tenants, func(o tenant.Tenant) bool { return o.ID == id })
	d, ok := m.deletions[id]
	if ok && d.State == tenant.DeletionAsked {
		m.tenants[i].State, m.tenants[i].DeleteAt = d.Was, time.Time{}
		delete(m.deletions, id)
	}
	return m.fail
}

func (m *memory) DestroyKey(_ context.Context, id string) (bool, error) {
	m.writes++
	d := m.deletions[id]
	d.State = tenant.DeletionErasing
	m.deletions[id] = d
	m.tenants[slices.IndexFunc(m.tenants, func(o tenant.Tenant) bool { return o.ID == id })].State = tenant.Deleting
	return true, m.fail
}

func (m *memory) Deletion(_ context.Context, idOrName string) (tenant.Deletion, error) {
	for _, d := range m.deletions {
		if d.Tenant == idOrName || d.Name == idOrName {
			return d, m.fail
		}
	}
	return tenant.Deletion{}, fault.NotFound("deletion of tenant", idOrName)
}

func (m *memory) Deletions(context.Context, string, int) ([]tenant.Deletion, error) {
	return slices.Collect(maps.Values(m.deletions)), m.fail
}

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

type testBundle struct {
	*tenant.Tenants
	store    *memory
	released []string
	deleted  []string
}

func setup(t *testing.T) *testBundle {
	t.Helper()
	b := &testBundle{store: &memory{deletions: map[string]tenant.Deletion{}}}
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	b.Tenants = tenant.New(tenant.Config{
		Store:   b.store,
		Deleted: func(id string) { b.deleted = append(b.deleted, id) },
		Now: func() time.Time {
			now = now.Add(time.Millisecond)
			return now
		},
		Release: func(ctx context.Context, id string) error {
			got, err := b.store.Tenant(ctx, id)
			if err != nil || got.State != tenant.Active {
				return fmt.Errorf("released while %s: %w", got.State, err)
			}
			b.released = append(b.released, id)
			return nil
		},
	})
	return b
}

func TestCreate(t *testing.T) {
	t.Parallel()
	b := setup(t)
	got, err := b.Create(t.Context(), "acme", "Acme Inc", tenant.Limits{Running: 4})
	if err != nil {
		t.Fatal(err)
	}
	want := tenant.Tenant{
		ID: got.ID, Name: "acme", Title: "Acme Inc", Limits: tenant.Limits{Running: 4, Weight: 1},
		State: tenant.Active, CreatedAt: got.CreatedAt,
	}
	if diff := gocmp.Diff(want, got); diff != "" || !strings.HasPrefix(got.ID, "ten_") || len(got.ID) != 30 {
		t.Errorf("tenant %s (-want +got):\n%s", got.ID, diff)
	}
	for _, ref := range []string{got.ID, "acme"} {
		if found, err := b.Get(t.Context(), ref); err != nil || found != got {
			t.Errorf("%s: got %+v, %v", ref, found, err)
		}
	}
	if other, err := b.Create(t.Context(), "other", "", tenant.Limits{}); err != nil || other.Limits != (tenant.Limits{Running: 16, Weight: 1}) {
		t.Errorf("got limits %+v, %v, want the defaults", other.Limits, err)
	}
}

func TestCreateRefuses(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, tenant, title string
		limits              tenant.Limits
		code, where         string
	}{
		{"no name", "", "", tenant.Limits{}, "name_invalid", "/name"},
		{"capitals", "Acme", "", tenant.Limits{}, "name_invalid", "/name"},
		{"an id for a name", "ten_01", "", tenant.Limits{}, "name_invalid", "/name"},
		{"a long name", strings.Repeat("a", 64), "", tenant.Limits{}, "name_invalid", "/name"},
		{"a long title", "acme2", strings.Repeat("a", 201), tenant.Limits{}, "title_invalid", "/title"},
		{"a title of two lines", "acme2", "a\nb", tenant.Limits{}, "title_invalid", "/title"},
		{"a title that is no text", "acme2", "\xff", tenant.Limits{}, "title_invalid", "/title"},
		{"negative running", "acme2", "", tenant.Limits{Running: -1}, "limits_invalid", "/limits/running"},
		{"too much running", "acme2", "", tenant.Limits{Running: 10_001}, "limits_invalid", "/limits/running"},
		{"too much weight", "acme2", "", tenant.Limits{Weight: 101}, "limits_invalid", "/limits/weight"},
		{"a name that is taken", "acme", "", tenant.Limits{}, "name_taken", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			if _, err := b.Create(t.Context(), "acme", "", tenant.Limits{}); err != nil {
				t.Fatal(err)
			}
			_, err := b.Create(t.Context(), tt.tenant, tt.title, tt.limits)
			checkFault(t, err, tt.code, tt.where)
		})
	}
}

// checkFault wants a code, and a place in the fault or in its first problem.
func checkFault(t *testing.T, err error, code, where string) {
	t.Helper()
	var got *fault.Error
	if !errors.As(err, &got) {
		t.Fatalf("got %v, want a fault", err)
	}
	at := got.Where
	if len(got.Problems) > 0 {
		at = got.Problems[0].Where
	}
	if got.Code != code || at != where {
		t.Errorf("got %s at %q, want %s at %q", got.Code, at, code, where)
	}
}

func TestUpdateOfLimits(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if _, err := b.Create(t.Context(), "acme", "", tenant.Limits{}); err != nil {
		t.Fatal(err)
	}
	got, err := b.Update(t.Context(), "acme", tenant.Change{Limits: &tenant.Limits{Weight: 5}})
	if want := (tenant.Limits{Running: 16, Weight: 5}); err != nil || got.Limits != want {
		t.Errorf("got %+v, %v, want %+v", got.Limits, err, want)
	}
	_, err = b.Update(t.Context(), "acme", tenant.Change{Limits: &tenant.Limits{Running: -3, Weight: 1000}})
	var refused *fault.Error
	if !errors.As(err, &refused) || len(refused.Problems) != 2 {
		t.Errorf("got %v, want both limits named", err)
	}
	if found, err := b.Get(t.Context(), "acme"); err != nil || found != got {
		t.Errorf("got %+v, %v, want it unchanged", found, err)
	}
	_, err = b.Update(t.Context(), "nobody", tenant.Change{Limits: &tenant.Limits{}})
	checkFault(t, err, fault.CodeNotFound, "")
}

func TestPauseAndResume(t *testing.T) {
	t.Parallel()
	b := setup(t)
	created, err := b.Create(t.Context(), "acme", "", tenant.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // Pausing twice writes once.
		if got, err := b.Pause(t.Context(), "acme"); err != nil || got.State != tenant.Paused || b.store.writes != 1 {
			t.Fatalf("got %s, %v after %d writes", got.State, err, b.store.writes)
		}
	}
	if len(b.released) != 0 {
		t.Fatal("pausing released executions")
	}
	for i := range 2 { // Resuming twice releases twice: the first may have failed there.
		got, err := b.Resume(t.Context(), "acme")
		if err != nil || got.State != tenant.Active || len(b.released) != i+1 || b.released[i] != created.ID {
			t.Fatalf("got %s, %v, released %v", got.State, err, b.released)
		}
	}
}

func TestUpdateDoesNotUndoAPauseThatComesBetween(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if _, err := b.Create(t.Context(), "acme", "", tenant.Limits{}); err != nil {
		t.Fatal(err)
	}
	b.store.races, b.store.race = 1, func(o *tenant.Tenant) { o.State = tenant.Paused }
	got, err := b.Update(t.Context(), "acme", tenant.Change{Limits: &tenant.Limits{Weight: 5}})
	if err != nil || got.State != tenant.Paused || got.Limits.Weight != 5 {
		t.Errorf("got %s with weight %d, %v, want it paused with weight 5", got.State, got.Limits.Weight, err)
	}
	b.store.races, b.store.race = 3, func(o *tenant.Tenant) { o.Limits.Running++ }
	_, err = b.Resume(t.Context(), "acme")
	checkFault(t, err, tenant.CodeChanged, "")
	if len(b.released) != 0 {
		t.Error("what waits for a tenant that is paused still was released")
	}
}

func TestUpdate(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if _, err := b.Create(t.Context(), "acme", "", tenant.Limits{}); err != nil {
		t.Fatal(err)
	}
	week := tenant.Retention{Days: 7, Bytes: 1 << 30}
	for _, change := range []tenant.Change{
		{Limits: &tenant.Limits{Running: 3}}, {Days: &week.Days}, {Bytes: &week.Bytes}, {}, {Limits: &tenant.Limits{Weight: 2}},
	} {
		if _, err := b.Update(t.Context(), "acme", change); err != nil {
			t.Fatal(err)
		}
	}
	got, err := b.Get(t.Context(), "acme")
	if err != nil || got.Limits != (tenant.Limits{Running: 3, Weight: 2}) || got.Retention != week {
		t.Errorf("got %+v, %v", got, err)
	}
	back, err := b.Update(t.Context(), "acme", tenant.Change{Bytes: new(int64)})
	if err != nil || back.Retention != (tenant.Retention{Days: 7}) {
		t.Errorf("got %+v, %v, want the host's default of bytes again", back.Retention, err)
	}
	for _, bad := range []struct {
		keep  tenant.Retention
		where string
	}{
		{tenant.Retention{Days: -1}, "/retention/days"},
		{tenant.Retention{Days: 3651}, "/retention/days"},
		{tenant.Retention{Bytes: -1}, "/retention/bytes"},
		{tenant.Retention{Bytes: 1<<20 - 1}, "/retention/bytes"},
		{tenant.Retention{Bytes: 1<<50 + 1}, "/retention/bytes"},
	} {
		_, err := b.Update(t.Context(), "acme", tenant.Change{Limits: &tenant.Limits{Running: 9}, Days: &bad.keep.Days, Bytes: &bad.keep.Bytes})
		checkFault(t, err, "retention_invalid", bad.where)
	}
	if after, err := b.Get(t.Context(), "acme"); err != nil || after != back {
		t.Errorf("got %+v, %v, want nothing changed by what was refused", after, err)
	}
}

func TestRetentionOr(t *testing.T) {
	t.Parallel()
	standard := tenant.Retention{Days: 30, Bytes: 10}
	for want, r := range map[tenant.Retention]tenant.Retention{
		standard: {}, {Days: 1, Bytes: 10}: {Days: 1}, {Days: 30, Bytes: 2}: {Bytes: 2},
	} {
		if got := r.Or(standard); got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
	if got := standard.Age(); got != 720*time.Hour {
		t.Errorf("got %v for 30 days", got)
	}
}

func TestDelete(t *testing.T) {
	t.Parallel()
	b := setup(t)
	created, err := b.Create(t.Context(), "acme", "", tenant.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	for _, grace := range []time.Duration{-1, 91 * 24 * time.Hour} {
		_, err := b.Delete(t.Context(), "acme", &grace)
		checkFault(t, err, "grace_invalid", "grace")
	}
	for i := range 2 { // Deleting twice asks once, and says so again: the first may not have been heard.
		got, err := b.Delete(t.Context(), "acme", nil)
		if err != nil || got.State != tenant.DeletionAsked || got.DueAt.Sub(got.AskedAt) != 7*24*time.Hour || b.store.writes != 1 ||
			len(b.deleted) != i+1 || b.deleted[i] != created.ID {
			t.Fatalf("got %+v, %v after %d writes; told of %v", got, err, b.store.writes, b.deleted)
		}
	}
	_, err = b.Resume(t.Context(), "acme")
	checkFault(t, err, tenant.CodeLeaving, "")
	if _, err := b.Update(t.Context(), "acme", tenant.Change{Limits: &tenant.Limits{Running: 2}}); err != nil {
		t.Errorf("its limits could not be changed: %v", err)
	}
	for range 2 { // So does restoring.
		got, err := b.Restore(t.Context(), "acme")
		if err != nil || got.State != tenant.Active || !got.DeleteAt.IsZero() {
			t.Fatalf("got %+v, %v, want it back", got, err)
		}
	}
	if len(b.released) != 2 {
		t.Errorf("what has waited was released %d times", len(b.released))
	}
	_, err = b.Deletion(t.Context(), "acme")
	checkFault(t, err, fault.CodeNotFound, "")

	// Another change that comes between is met.
	b.store.races, b.store.race = 1, func(o *tenant.Tenant) { o.State = tenant.Paused }
	got, err := b.Delete(t.Context(), "acme", nil)
	if err != nil || got.Was != tenant.Paused {
		t.Errorf("got %+v, %v", got, err)
	}
	if back, err := b.Restore(t.Context(), "acme"); err != nil || back.State != tenant.Paused || len(b.released) != 2 {
		t.Errorf("got %+v, %v: it was paused before", back, err)
	}
}

func TestDeleteAtOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if _, err := b.Create(t.Context(), "acme", "", tenant.Limits{}); err != nil {
		t.Fatal(err)
	}
	none := time.Duration(0)
	for range 2 {
		got, err := b.Delete(t.Context(), "acme", &none)
		if err != nil || got.State != tenant.DeletionErasing || b.store.writes != 2 {
			t.Fatalf("got %+v, %v after %d writes, want its key gone", got, err, b.store.writes)
		}
	}
	_, resumed := b.Resume(t.Context(), "acme")
	_, limited := b.Update(t.Context(), "acme", tenant.Change{Limits: &tenant.Limits{Running: 2}})
	_, paused := b.Pause(t.Context(), "acme")
	for _, err := range []error{resumed, limited, paused} {
		checkFault(t, err, tenant.CodeDeleting, "")
	}
	if len(b.released) > 0 {
		t.Error("what waits for a tenant that is being deleted was released")
	}
	b.store.tenants = nil // It is gone.
	if got, err := b.Delete(t.Context(), "acme", nil); err != nil || got.Name != "acme" {
		t.Errorf("got %+v, %v, want what has become of it", got, err)
	}
	all, err := b.Deletions(t.Context(), "", 0)
	if err != nil || len(all) != 1 {
		t.Errorf("got %+v, %v", all, err)
	}
	_, err = b.Delete(t.Context(), "nobody", nil)
	checkFault(t, err, fault.CodeNotFound, "")
	_, err = b.Restore(t.Context(), "nobody")
	checkFault(t, err, fault.CodeNotFound, "")
}

func TestList(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for i := range 205 {
		if _, err := b.Create(t.Context(), fmt.Sprintf("t%03d", i), "", tenant.Limits{}); err != nil {
			t.Fatal(err)
		}
	}
	first, err := b.List(t.Context(), "", 1000)
	if err != nil || len(first) != 200 {
		t.Fatalf("got %d, %v, want 200", len(first), err)
	}
	rest, err := b.List(t.Context(), first[199].ID, 3)
	if err != nil || len(rest) != 3 || rest[0].Name != "t200" {
		t.Errorf("got %v, %v, want t200 and two more", rest, err)
	}
	if all, err := b.List(t.Context(), "", 0); err != nil || len(all) != 200 {
		t.Errorf("got %d, %v, want a whole page", len(all), err)
	}
}

func TestTenantsPassOnTheStoresErrors(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if _, err := b.Create(t.Context(), "acme", "", tenant.Limits{}); err != nil {
		t.Fatal(err)
	}
	b.store.fail = errors.New("disk full")
	_, listed := b.List(t.Context(), "", 1)
	_, created := b.Create(t.Context(), "other", "", tenant.Limits{})
	_, resumed := b.Resume(t.Context(), "acme")
	b.store.tenants[0].State = tenant.Paused
	_, deleted := b.Delete(t.Context(), "acme", nil)
	_, restored := b.Restore(t.Context(), "acme")
	_, ends := b.Deletions(t.Context(), "", 1)
	for name, err := range map[string]error{
		"list": listed, "create": created, "resume": resumed, "delete": deleted, "restore": restored, "deletions": ends,
	} {
		if !errors.Is(err, b.store.fail) {
			t.Errorf("%s: got %v, want %v", name, err, b.store.fail)
		}
	}
}

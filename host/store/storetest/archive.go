package storetest

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/host/archive"
	"github.com/cofferdam-run/cofferdam/host/audit"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/tenant"
)

// archived exports a tenant that has a row in every table, and looks for all of it.
func archived(t *testing.T, k *kept) {
	ctx := t.Context()
	k.sealedBy(t)
	k.owns(t, k.acme)
	k.owns(t, k.other)
	must(t, k.AddActs(ctx, []audit.Entry{{ID: "act_1", At: k.clock.now(), Who: "tok_1", Tenant: k.acme.tenant, Action: "tenant.limit", Result: audit.Done}}))
	must2(t)(sequenced(k.SequenceActs(ctx, 100)))
	k.covered(t)
	at := k.clock.now()
	whole := k.export(t, archive.Request{Tenant: "acme"})
	m, err := archive.Verify(bytes.NewReader(whole))
	must(t, err)
	in, out := archive.Tables()
	for _, kind := range slices.Sorted(maps.Values(in)) {
		if m.Counts[kind] == 0 {
			t.Errorf("nothing of the kind %s is in it", kind)
		}
	}
	equal(t, archive.Manifest{
		Format: archive.Format, Tenant: k.acme.tenant, Name: "acme", At: at.Truncate(time.Millisecond),
		Counts: m.Counts, Files: m.Files, Bytes: m.Bytes, SHA256: m.SHA256, LeftOut: out,
	}, m)
	text := unpacked(t, whole)
	rows := k.rows(t, k.acme.tenant)
	for kind, table := range map[string]string{
		"events": "events", "executions": "executions", "installations": "installations", "connections": "connections", "apps": "oauth_apps", "notices": "notices", "endpoints": "endpoints",
		"state": "state_values", "checkpoints": "checkpoints", "usage": "usage_days", "jobs": "jobs", "schedules": "schedules", "destinations": "destinations", "watches": "watches", "tokens": "tokens",
	} {
		if int(m.Counts[kind]) != rows[table] {
			t.Errorf("%d %s are in it, and there are %d rows in %s", m.Counts[kind], kind, rows[table], table)
		}
	}
	for _, want := range []string{`"body":{"n":1}`, `"attempts":[{`, `"name":"own"`, `"input":{"n":1}`, `"digest":"`} {
		if !strings.Contains(text, want) {
			t.Errorf("%s is not in it", want)
		}
	}
	for _, secret := range []string{k.other.tenant, "hash " + k.acme.tenant, `"sealed`, "wrapped"} {
		if strings.Contains(text, secret) {
			t.Errorf("%q is in it", secret)
		}
	}
	k.resumed(t, whole, at)
	k.ofAMoment(t, whole, at)
}

// covered holds that each table of the store that has a tenant's rows is in an archive, or
// is named as left out: one that is new cannot be forgotten.
func (k *kept) covered(t testing.TB) {
	t.Helper()
	in, out := archive.Tables()
	for table, columns := range k.tables(t) {
		_, exported := in[table]
		_, named := out[table]
		if owner(table, columns) != "" && !exported && !named {
			t.Errorf("the table %s has rows of tenants, and is in no export: add it to the kinds of host/archive, or say why it is left out", table)
		}
		if exported && named {
			t.Errorf("the table %s is both in an export and left out", table)
		}
		delete(in, table)
		delete(out, table)
	}
	if len(in)+len(out) > 0 {
		t.Errorf("tables that are not there are exported or left out: %v, %v", in, out)
	}
}

// resumed cuts an archive off at many places, and holds that it is gone on with to the
// same bytes.
func (k *kept) resumed(t *testing.T, whole []byte, at time.Time) {
	t.Helper()
	for cut := 0; cut <= len(whole); cut += 1 + len(whole)/40 {
		part := archive.Whole(bytes.NewReader(whole[:cut]))
		if part.Bytes > int64(cut) {
			t.Fatalf("%d bytes are whole of %d", part.Bytes, cut)
		}
		rest := k.export(t, archive.Request{Tenant: "acme", Cursor: part.Cursor, At: at.Truncate(time.Millisecond)})
		if !bytes.Equal(append(slices.Clone(whole[:part.Bytes]), rest...), whole) {
			t.Fatalf("cut off at %d and gone on with at %d it is another", cut, part.Bytes)
		}
	}
	all := archive.Whole(bytes.NewReader(whole))
	equal(t, archive.Part{Bytes: int64(len(whole))}, all)
	middle := archive.Whole(bytes.NewReader(whole[:len(whole)/2]))
	a := archive.New(archive.Config{Source: k.Store, Now: k.clock.now})
	for what, r := range map[string]archive.Request{
		"another tenant's": {Tenant: "other", Cursor: middle.Cursor}, "another time": {Tenant: "acme", Cursor: middle.Cursor, At: at.Add(-time.Second)},
		"none": {Tenant: "acme", Cursor: "x"}, "the future": {Tenant: "acme", At: at.Add(time.Hour)}, "before it was": {Tenant: "acme", At: at.Add(-time.Hour * 24 * 365)},
	} {
		_, err := a.Check(t.Context(), r)
		if f, ok := errors.AsType[*fault.Error](err); !ok || f.Class != fault.InvalidInput {
			t.Errorf("a cursor or time that is %s: got %v", what, err)
		}
	}
}

// ofAMoment holds that what is made later is not in an archive, and that one that is
// being deleted has none.
func (k *kept) ofAMoment(t *testing.T, whole []byte, at time.Time) {
	t.Helper()
	ctx := t.Context()
	k.clock.advance(time.Hour)
	must2(t)(k.Accept(ctx, k.event(k.acme), nil))
	k.insertJob(t, k.acme, "job_01ZZZZZZZZZZZZZZZZZZZZZZZZ")
	late := k.installation(k.acme.tenant, "late")
	must(t, k.InsertInstallation(ctx, late))
	again := k.export(t, archive.Request{Tenant: "acme", At: at})
	if !bytes.Equal(whole, again) {
		t.Errorf("of the same time it is another:\n%s", unpacked(t, again))
	}
	damaged := bytes.Replace(decompressed(t, whole), []byte(`"n":1`), []byte(`"n":2`), 1)
	if _, err := archive.Verify(bytes.NewReader(compressed(t, damaged))); !errors.Is(err, archive.ErrDamaged) {
		t.Errorf("got %v for one that was changed", err)
	}
	was, err := k.Tenant(ctx, "acme")
	must(t, err)
	must2(t)(k.AskDeletion(ctx, was, 0))
	k.export(t, archive.Request{Tenant: "acme"}) // Until its key is destroyed it can be had.
	must2(t)(k.DestroyKey(ctx, was.ID))
	_, err = archive.New(archive.Config{Source: k.Store, Now: k.clock.now}).Check(ctx, archive.Request{Tenant: "acme"})
	wantFault(t, err, fault.Conflict, tenant.CodeDeleting)
}

func (k *kept) export(t testing.TB, r archive.Request) []byte {
	t.Helper()
	a := archive.New(archive.Config{Source: k.Store, Now: k.clock.now})
	p, err := a.Check(t.Context(), r)
	must(t, err)
	var b bytes.Buffer
	must(t, a.Write(t.Context(), &b, p))
	return b.Bytes()
}

func decompressed(t testing.TB, whole []byte) []byte {
	t.Helper()
	zip, err := gzip.NewReader(bytes.NewReader(whole))
	must(t, err)
	b, err := io.ReadAll(zip)
	must(t, err)
	return b
}

func compressed(t testing.TB, b []byte) []byte {
	t.Helper()
	var packed bytes.Buffer
	zip := gzip.NewWriter(&packed)
	must2(t)(zip.Write(b))
	must(t, zip.Close())
	return packed.Bytes()
}

// unpacked is the text of all files, each line of which must be JSON.
func unpacked(t testing.TB, whole []byte) string {
	t.Helper()
	files := tar.NewReader(bytes.NewReader(decompressed(t, whole)))
	var text strings.Builder
	for {
		h, err := files.Next()
		if errors.Is(err, io.EOF) {
			return text.String()
		}
		must(t, err)
		b, err := io.ReadAll(files)
		must(t, err)
		if strings.HasSuffix(h.Name, ".ndjson") {
			for line := range bytes.Lines(b) {
				if !json.Valid(line) {
					t.Errorf("%s has a line that is no JSON: %s", h.Name, line)
				}
			}
		}
		text.Write(b)
	}
}

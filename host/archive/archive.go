// Package archive writes everything that a tenant has into one file that people and
// programs can read: a tar.gz of lines of JSON.
//
//	a := archive.New(archive.Config{Source: db, Now: time.Now})
//	err := a.Write(ctx, w, archive.Request{Tenant: id})
//
// # What is in it
//
// README.md says what is there and what was left out. After it come the parts, such as
// events/000001.ndjson, each of some mebibytes: an object on a line, the newest first
// where there are many. manifest.json is the last file; an archive without one is not
// whole. It has the version of the format, the time, the counts, and the SHA-256 of
// what sha256sum prints for all other files in their order:
//
//	tar -xzf acme.tar.gz && sha256sum $(tar -tzf acme.tar.gz | grep -v manifest.json) | sha256sum
//
// Bytes that are not ours, such as the body of an event, stand in "body" where they are
// JSON without spaces, in "body_text" where they are text, and else in "body_base64", so
// that they are always what they were.
//
// # What it guarantees
//
// An archive is of a time, Request.At: nothing is in it that was made later. What was there
// then and has changed since is in it as it was when it was read, and what was deleted
// since is not; each object is whole. An archive of a tenant that is paused, and of
// which no run is in flight, is of one moment. For the same data and time it has the same bytes.
//
// Nothing is kept in memory but a part: a few mebibytes, or the largest object.
//
// # Going on
//
// Each file is a gzip member of its own, with a cursor in the subfield CF of its header's
// extra field (RFC 1952): after
// the last member that is whole, [Whole] says how many bytes those are and with which
// cursor to ask for the rest, which has the bytes that it would have had.
//
// Credentials, secrets of endpoints, hashes of tokens and keys are never in it.
package archive

import (
	"context"
	"io"
	"time"

	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/tenant"
)

// Format is the version of the layout.
const Format = "cofferdam-tenant-export/1"

// Config configures an Archive.
type Config struct {
	// Source is the store, as those see it who may read what is sealed.
	Source Source
	Now    func() time.Time
}

// Archive writes archives. It is safe for concurrent use.
type Archive struct{ c Config }

// New returns an Archive.
func New(c Config) *Archive { return &Archive{c: c} }

// Request says what is wanted.
type Request struct {
	// Tenant is an id or a name.
	Tenant string
	// At is the time that the archive is of. Defaults to now.
	At time.Time
	// Cursor is where to go on, as Whole has found it. Defaults to the beginning.
	Cursor string
}

// Plan is a Request that was found to be one that can be served.
type Plan struct {
	tenant tenant.Tenant
	at     cursor
}

// Check says what is wrong with a request, before anything is written.
func (a *Archive) Check(ctx context.Context, r Request) (Plan, error) {
	t, err := a.c.Source.Tenant(ctx, r.Tenant)
	if err != nil {
		return Plan{}, err
	}
	if t.State == tenant.Deleting {
		return Plan{}, fault.New(fault.Conflict, tenant.CodeDeleting, "the tenant %q is being deleted, and its key is destroyed: nothing of it can be read", t.Name)
	}
	now := a.c.Now()
	if r.Cursor != "" {
		c, err := parseCursor(r.Cursor, t.ID, now)
		if err == nil && !r.At.IsZero() && !r.At.Equal(c.At) {
			err = fault.New(fault.InvalidInput, "at_invalid", "the archive that goes on is of %s, and not of %s",
				c.At.Format(time.RFC3339Nano), r.At.UTC().Format(time.RFC3339Nano)).At("at")
		}
		return Plan{tenant: t, at: c}, err
	}
	if r.At.IsZero() {
		r.At = now
	}
	if r.At.After(now) || r.At.Before(t.CreatedAt) {
		return Plan{}, fault.New(fault.InvalidInput, "at_invalid", "the archive must be of a time from %s, when the tenant was made, to now",
			t.CreatedAt.Format(time.RFC3339)).At("at")
	}
	// Ids are of milliseconds: what was made within one is in it or not as a whole.
	return Plan{tenant: t, at: cursor{Tenant: t.ID, At: r.At.UTC().Truncate(time.Millisecond)}}, nil
}

// Write writes an archive, or the rest of one.
func (a *Archive) Write(ctx context.Context, w io.Writer, p Plan) error {
	out := &writer{w: w, at: p.at, sum: newSum(p.at.Sum)}
	if out.at.Counts == nil {
		out.at.Counts = map[string]int64{}
	}
	r := &reading{s: a.c.Source, tenant: p.tenant, at: p.at.At}
	if out.at.Part == 0 && out.at.Kind == "" {
		if err := out.file("README.md", []byte(readme(p.tenant, p.at.At)), p.at.at(kinds()[0].name, "")); err != nil {
			return err
		}
	}
	for i, k := range kinds() {
		if out.at.Kind != k.name {
			continue
		}
		next := done
		if i+1 < len(kinds()) {
			next = kinds()[i+1].name
		}
		if err := out.kind(ctx, r, k, next); err != nil {
			return err
		}
	}
	return out.manifest(p.tenant)
}

package archive

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cofferdam-run/cofferdam/host/app"
	"github.com/cofferdam-run/cofferdam/host/audit"
	"github.com/cofferdam-run/cofferdam/host/connection"
	"github.com/cofferdam-run/cofferdam/host/endpoint"
	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/ident"
	"github.com/cofferdam-run/cofferdam/host/job"
	"github.com/cofferdam-run/cofferdam/host/tenant"
	"github.com/cofferdam-run/cofferdam/host/token"
	"github.com/cofferdam-run/cofferdam/host/usage"
	"github.com/cofferdam-run/cofferdam/registry"
	"github.com/cofferdam-run/cofferdam/registry/signature"
)

// page is how many objects are read at once; bodies are of a mebibyte at most.
const page = 50

// yield takes an object and its position.
type yield = func(v any, pos string) error

// reading is a tenant as it is read.
type reading struct {
	s      Source
	tenant tenant.Tenant
	at     time.Time
}

// before is the id that comes after all that were made at the archive's time.
func (r *reading) before(prefix, after string) string {
	if after != "" {
		return after
	}
	return ident.Bound(prefix, r.at.Add(time.Millisecond))
}

// made says that something was made by the archive's time.
func (r *reading) made(at time.Time) bool { return !at.Truncate(time.Millisecond).After(r.at) }

// isGone says that something was deleted since it was listed.
func isGone(err error) bool {
	f, ok := errors.AsType[*fault.Error](err)
	return ok && f.Code == fault.CodeNotFound
}

func (r *reading) tenants(_ context.Context, after string, give yield) error {
	if after != "" {
		return nil
	}
	return give(r.tenant, r.tenant.ID)
}

// eachInstallation calls f with the installations from one on, the removed ones too.
func (r *reading) eachInstallation(ctx context.Context, from string, f func(id string) error) error {
	if from != "" {
		if err := f(from); err != nil {
			return err
		}
	}
	for after := from; ; {
		ids, err := r.s.InstallationIDs(ctx, r.tenant.ID, after, page)
		if err != nil {
			return err
		}
		for _, id := range ids {
			if err := f(id); err != nil {
				return err
			}
			after = id
		}
		if len(ids) < page {
			return nil
		}
	}
}

func (r *reading) installations(ctx context.Context, after string, give yield) error {
	return r.eachInstallation(ctx, after, func(id string) error {
		if id == after {
			return nil
		}
		i, err := r.s.Installation(ctx, r.tenant.ID, id)
		if err != nil || !r.made(i.CreatedAt) {
			return err
		}
		return give(i, id)
	})
}

// those gives what is small enough to be read at once, after an id.
func those[T any](r *reading, all []T, after string, idOf func(T) (string, time.Time), give yield) error {
	slices.SortStableFunc(all, func(a, b T) int {
		left, _ := idOf(a)
		right, _ := idOf(b)
		return strings.Compare(left, right)
	})
	for _, v := range all {
		id, at := idOf(v)
		if id <= after || !r.made(at) {
			continue
		}
		if err := give(v, id); err != nil {
			return err
		}
	}
	return nil
}

func (r *reading) events(ctx context.Context, after string, give yield) error {
	f := event.Filter{Before: r.before(ident.Event, after), Limit: page}
	for {
		some, err := r.s.Events(ctx, r.tenant.ID, f)
		if err != nil {
			return err
		}
		for _, e := range some {
			line, err := with(e, anything("body", e.Body))
			if err != nil {
				return err
			}
			if err := give(line, e.ID); err != nil {
				return err
			}
			f.Before = e.ID
		}
		if len(some) < page {
			return nil
		}
	}
}

// eachExecution calls f with the executions after one.
func (r *reading) eachExecution(ctx context.Context, after string, f func(id string) error) error {
	filter := execution.Filter{Before: r.before(ident.Execution, after), Limit: page}
	for {
		some, err := r.s.Executions(ctx, r.tenant.ID, filter)
		if err != nil {
			return err
		}
		for _, e := range some {
			if err := f(e.ID); err != nil {
				return err
			}
			filter.Before = e.ID
		}
		if len(some) < page {
			return nil
		}
	}
}

func (r *reading) executions(ctx context.Context, after string, give yield) error {
	return r.eachExecution(ctx, after, func(id string) error {
		t, err := r.s.Trace(ctx, r.tenant.ID, id)
		if isGone(err) {
			return nil // It was purged since.
		}
		if err != nil {
			return err
		}
		line, err := with(t.Execution, map[string]any{"attempts": t.Attempts, "emitted": t.Emitted})
		if err != nil {
			return err
		}
		return give(line, id)
	})
}

// journal is what the runs of an execution have recorded.
type journal struct {
	Execution string    `json:"execution"`
	World     []byte    `json:"world,omitempty"`
	Segments  []segment `json:"segments"`
}

type segment struct {
	Seq  int    `json:"seq"`
	Data []byte `json:"data"`
	// Large are bodies by the SHA-256 of what was asked, in hexadecimal.
	Large map[string][]byte `json:"large,omitempty"`
}

func (r *reading) journals(ctx context.Context, after string, give yield) error {
	return r.eachExecution(ctx, after, func(id string) error {
		recorded, err := r.s.Journal(ctx, r.tenant.ID, id)
		if err != nil || recorded.World == nil && len(recorded.Segments) == 0 {
			return err
		}
		j := journal{Execution: id, World: recorded.World, Segments: []segment{}}
		for _, s := range recorded.Segments {
			plain := segment{Seq: s.Seq, Data: s.Data}
			for digest, b := range s.Large {
				if plain.Large == nil {
					plain.Large = map[string][]byte{}
				}
				plain.Large[hex.EncodeToString(digest[:])] = b
			}
			j.Segments = append(j.Segments, plain)
		}
		return give(j, id)
	})
}

// place is a position within an installation.
func place(installation, key string) string {
	return installation + "/" + base64.RawURLEncoding.EncodeToString([]byte(key))
}

// within reads a place; a part that somebody has made up is the beginning of the kind.
func within(pos string) (installation, key string) {
	installation, encoded, _ := strings.Cut(pos, "/")
	b, err := base64.RawURLEncoding.DecodeString(encoded)
	if err != nil {
		return "", ""
	}
	return installation, string(b)
}

func (r *reading) state(ctx context.Context, after string, give yield) error {
	from, last := within(after)
	return r.eachInstallation(ctx, from, func(id string) error {
		if id != from {
			last = ""
		}
		return r.values(ctx, id, last, give)
	})
}

// values gives the state of an installation after a key.
func (r *reading) values(ctx context.Context, installation, after string, give yield) error {
	reader := r.s.State(r.tenant.ID, installation)
	for {
		some, err := reader.List(ctx, "", after, page)
		if err != nil {
			return err
		}
		for _, e := range some {
			line, err := with(struct {
				Installation string `json:"installation"`
				Key          string `json:"key"`
				Version      int64  `json:"version"`
			}{installation, e.Key, e.Version}, anything("value", e.Value))
			if err != nil {
				return err
			}
			if err := give(line, place(installation, e.Key)); err != nil {
				return err
			}
			after = e.Key
		}
		if len(some) < page {
			return nil
		}
	}
}

func (r *reading) checkpoints(ctx context.Context, after string, give yield) error {
	from, last := within(after)
	return r.eachInstallation(ctx, from, func(id string) error {
		if id != from {
			last = ""
		}
		for {
			polls, err := r.s.Polls(ctx, r.tenant.ID, id, last, page)
			if err != nil {
				return err
			}
			for _, poll := range polls {
				if err := r.checkpoint(ctx, id, poll, give); err != nil {
					return err
				}
				last = poll
			}
			if len(polls) < page {
				return nil
			}
		}
	})
}

func (r *reading) checkpoint(ctx context.Context, installation, poll string, give yield) error {
	value, err := r.s.Cursor(ctx, r.tenant.ID, installation, poll)
	if err != nil {
		return err
	}
	line, err := with(struct {
		Installation string `json:"installation"`
		Poll         string `json:"poll"`
	}{installation, poll}, anything("value", value))
	if err != nil {
		return err
	}
	return give(line, place(installation, poll))
}

func (r *reading) usage(ctx context.Context, after string, give yield) error {
	from, last := within(after)
	all := usage.Range{From: "0000-01-01", To: usage.DateOf(r.at)}
	return r.eachInstallation(ctx, from, func(id string) error {
		days, err := r.s.UsageByDay(ctx, r.tenant.ID, id, all)
		if err != nil {
			return err
		}
		for _, day := range days {
			if id == from && string(day.Day) <= last {
				continue
			}
			day.Tenant, day.Installation = r.tenant.ID, id
			if err := give(day, place(id, string(day.Day))); err != nil {
				return err
			}
		}
		return nil
	})
}

func (r *reading) jobs(ctx context.Context, after string, give yield) error {
	f := job.Filter{Before: r.before(ident.Job, after), Limit: page}
	for {
		some, err := r.s.Jobs(ctx, r.tenant.ID, f)
		if err != nil {
			return err
		}
		for _, j := range some {
			if err := give(j, j.ID); err != nil {
				return err
			}
			f.Before = j.ID
		}
		if len(some) < page {
			return nil
		}
	}
}

// leaf is an entry of the audit log; the text of one that is old is not kept.
type leaf struct {
	N      int64     `json:"n"`
	At     time.Time `json:"at"`
	Action string    `json:"action"`
	Hash   string    `json:"hash"`
}

func (r *reading) audit(ctx context.Context, after string, give yield) error {
	f := audit.Filter{Tenant: r.tenant.ID, OfTenant: true, Limit: page}
	if n, err := strconv.ParseInt(after, 10, 64); err == nil {
		f.From = n + 1
	}
	for {
		some, err := r.s.Acts(ctx, f)
		if err != nil {
			return err
		}
		for _, l := range some {
			f.From = l.N + 1
			if !r.made(l.At) {
				continue
			}
			line, err := with(leaf{N: l.N, At: l.At, Action: l.Action, Hash: l.Hash.String()}, anything("leaf", l.Text))
			if err != nil {
				return err
			}
			if err := give(line, strconv.FormatInt(l.N, 10)); err != nil {
				return err
			}
		}
		if len(some) < page {
			return nil
		}
	}
}

// own are the tenant's publishers.
func (r *reading) own(ctx context.Context) ([]registry.Publisher, error) {
	all, err := r.s.Publishers(ctx)
	return slices.DeleteFunc(all, func(p registry.Publisher) bool { return p.Tenant != r.tenant.ID }), err
}

func (r *reading) publishers(ctx context.Context, after string, give yield) error {
	own, err := r.own(ctx)
	if err != nil {
		return err
	}
	return those(r, own, after, func(p registry.Publisher) (string, time.Time) { return p.ID, p.CreatedAt }, func(v any, pos string) error {
		keys, err := r.s.PublisherKeys(ctx, pos)
		if err != nil {
			return err
		}
		line, err := with(v, map[string]any{"keys": slices.DeleteFunc(keys, func(k signature.Key) bool { return !r.made(k.CreatedAt) })})
		if err != nil {
			return err
		}
		return give(line, pos)
	})
}

func (r *reading) plugins(ctx context.Context, after string, give yield) error {
	viewer := registry.Viewer{Tenant: r.tenant.ID}
	visible, err := r.s.Plugins(ctx, viewer)
	if err != nil {
		return err
	}
	publishers, err := r.own(ctx)
	if err != nil {
		return err
	}
	isOwn := func(p registry.Plugin) bool {
		return slices.ContainsFunc(publishers, func(o registry.Publisher) bool { return o.ID == p.Publisher || o.Name == p.Publisher })
	}
	mine := slices.DeleteFunc(visible, func(p registry.Plugin) bool { return !isOwn(p) && !slices.Contains(p.Shared, r.tenant.ID) })
	return those(r, mine, after, func(p registry.Plugin) (string, time.Time) { return p.ID, p.CreatedAt }, func(v any, pos string) error {
		p := v.(registry.Plugin) //nolint:forcetypeassert // It is one of those.
		if !isOwn(p) {
			// With whom else it is shared is not this tenant's.
			return give(map[string]any{"id": p.ID, "publisher": p.Publisher, "name": p.Name, "shared_with_it": true}, pos)
		}
		_, versions, err := r.s.Versions(ctx, viewer, p.ID)
		if err != nil {
			return err
		}
		versions = slices.DeleteFunc(versions, func(v registry.Version) bool { return !r.made(v.CreatedAt) })
		line, err := with(p, map[string]any{"versions": versions})
		if err != nil {
			return err
		}
		return give(line, pos)
	})
}

func (r *reading) connections(ctx context.Context, after string, give yield) error {
	all, err := r.s.Connections(ctx, r.tenant.ID)
	if err != nil {
		return err
	}
	return those(r, all, after, func(c connection.Connection) (string, time.Time) { return c.ID, c.CreatedAt }, give)
}

func (r *reading) apps(ctx context.Context, after string, give yield) error {
	all, err := r.s.Apps(ctx, r.tenant.ID)
	if err != nil {
		return err
	}
	return those(r, all, after, func(a app.App) (string, time.Time) { return a.ID, a.CreatedAt }, give)
}

func (r *reading) endpoints(ctx context.Context, after string, give yield) error {
	all, err := r.s.Endpoints(ctx, r.tenant.ID)
	if err != nil {
		return err
	}
	return those(r, all, after, func(e endpoint.Endpoint) (string, time.Time) { return e.ID, e.CreatedAt }, give)
}

func (r *reading) tokens(ctx context.Context, after string, give yield) error {
	all, err := r.s.Tokens(ctx, r.tenant.ID)
	if err != nil {
		return err
	}
	return those(r, all, after, func(t token.Token) (string, time.Time) { return t.ID, t.CreatedAt }, give)
}

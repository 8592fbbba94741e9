package installation

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"golang.org/x/mod/semver"

	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/registry"
)

const (
	// followEvery is how long it takes at most until a version reaches those who
	// follow its channel, if nobody says that there is one.
	followEvery = time.Minute
	// followPage is how many installations are read at once.
	followPage = 200
)

// Nudge says that a channel may offer something new. It never blocks.
func (s *Installations) Nudge() {
	select {
	case s.nudged <- struct{}{}:
	default: // It is told already.
	}
}

// Run has installations follow their channels, until ctx ends. Any number of
// processes may do it at once: of two who move one, the second finds it moved.
func (s *Installations) Run(ctx context.Context) {
	for {
		if err := s.Advance(ctx); err != nil && ctx.Err() == nil {
			s.c.Logger.WarnContext(ctx, "not all installations follow their channels", slog.Any("error", err))
		}
		select {
		case <-ctx.Done():
			return
		case <-s.nudged:
		case <-s.c.After(followEvery):
		}
	}
}

// Advance takes every installation that follows a channel to what the channel offers,
// if that is newer: a channel never leads back. One that cannot go says so in its
// Upgrade, and holds up no other.
func (s *Installations) Advance(ctx context.Context) error {
	heads := map[string]string{} // What channels offer, by plugin and channel.
	var failed []error
	for after := (Place{}); ; {
		page, err := s.c.Across.Following(ctx, after, followPage)
		if err != nil {
			return fmt.Errorf("list who follows a channel: %w", err)
		}
		for _, i := range page {
			after = Place{Tenant: i.Tenant, ID: i.ID}
			if err := s.advanceOne(ctx, i, heads); err != nil {
				failed = append(failed, fmt.Errorf("installation %s: %w", i.ID, err))
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
		}
		if len(page) < followPage {
			return errors.Join(failed...)
		}
	}
}

// advanceOne moves an installation as it was read, unless it has what its channel
// offers. A channel that offers nothing is looked up once.
func (s *Installations) advanceOne(ctx context.Context, i Installation, heads map[string]string) error {
	key := i.Plugin + "@" + string(i.Channel)
	head, known := heads[key]
	if !known {
		v, err := s.c.Registry.Resolve(ctx, registry.Viewer{Operator: true}, key)
		if _, refused := errors.AsType[*registry.Error](err); err != nil && !refused {
			return fmt.Errorf("find what the channel offers: %w", err)
		}
		head, heads[key] = v.ID, v.ID
	}
	if head == i.VersionID && i.Upgrade == nil {
		return nil
	}
	found := false
	_, err := s.update(ctx, i.Tenant, i.ID, func(i *Installation) error {
		found = true
		changed, err := s.advance(ctx, i)
		if err == nil && !changed {
			return errUnchanged
		}
		return err
	})
	if f, ok := errors.AsType[*fault.Error](err); ok && !found && (f.Code == codeRemoved || f.Code == fault.CodeNotFound) {
		return nil // Somebody was quicker.
	}
	return err
}

// advance takes i to what its channel offers, or says in it what that waits for. It
// says whether i has changed.
func (s *Installations) advance(ctx context.Context, i *Installation) (changed bool, err error) {
	if i.Channel == "" || i.Upgrade != nil && i.Upgrade.Channel == "" {
		return false, nil // What the tenant has asked for comes first.
	}
	before := i.Upgrade
	v, err := s.offered(ctx, i.Tenant, i.Plugin+"@"+string(i.Channel))
	if f, ok := errors.AsType[*fault.Error](err); ok && (f.Code == fault.CodeNotFound || f.Code == registry.CodeYanked) {
		v, err = registry.Version{}, nil // It offers nothing, or not to this tenant any more.
	}
	if err != nil {
		return false, err
	}
	if v.ID == "" || semver.Compare("v"+v.Version, "v"+i.Version) <= 0 {
		i.Upgrade = nil
		return before != nil, nil
	}
	next, asks, err := s.moved(ctx, *i, v, nil)
	problem, tenants := problemOf(err)
	if err != nil && !tenants {
		return false, err
	}
	if err == nil && len(asks) == 0 {
		*i = next
		return true, nil
	}
	i.Upgrade = s.waiting(*i, v, asks)
	i.Upgrade.Channel, i.Upgrade.Problem = i.Channel, problem
	return !i.Upgrade.same(before), nil
}

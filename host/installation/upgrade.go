package installation

import (
	"context"
	"encoding/json"

	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/registry"
	"github.com/cofferdam-run/cofferdam/registry/channel"
	"github.com/cofferdam-run/cofferdam/registry/diff"
)

// Move asks for another version of an installation's plugin.
type Move struct {
	// Version defaults to the one that the installation waits to go to, else to what
	// its channel offers, else to the newest.
	Version string
	// Config replaces the configuration. Defaults to what there is.
	Config json.RawMessage
	// Consent allows all that the version asks for; Digest, instead, what an Upgrade
	// with that digest has shown. Defaults to neither: what asks for more then waits.
	Consent bool
	Digest  string
}

// The codes of moves that are refused.
const (
	// codeOtherPlugin: the version is not of the installation's plugin.
	codeOtherPlugin = "other_plugin"
	// codeConsentOutdated: what was consented to is not what is asked for.
	codeConsentOutdated = "consent_outdated"
)

// Upgrade pins another version of the same plugin, whose schema the configuration
// must fit. If it asks for more than is granted, and nobody consents, nothing moves,
// and the Installation's Upgrade says what is asked for. An installation that goes
// to another version than its channel offers follows it no longer.
func (s *Installations) Upgrade(ctx context.Context, tenant, id string, m Move) (Installation, error) {
	return s.update(ctx, tenant, id, func(i *Installation) error {
		v, err := s.offered(ctx, tenant, m.target(*i))
		if err != nil {
			return err
		}
		if v.Plugin != i.Plugin {
			return fault.New(fault.InvalidInput, codeOtherPlugin, "the version %q is of another plugin, %s", v.Version, v.Name).At("/version")
		}
		next, asks, err := s.moved(ctx, *i, v, m.Config)
		if err != nil {
			return err
		}
		switch allowed, err := m.allows(v, asks); {
		case err != nil:
			return err
		case !allowed:
			i.Upgrade = s.waiting(*i, v, asks)
			return nil
		}
		if err := s.widen(ctx, &next, v.Manifest, asks); err != nil {
			return err
		}
		if !s.offers(ctx, tenant, next, v) {
			next.Channel = ""
		}
		*i = next
		return nil
	})
}

// target is the version that is meant.
func (m Move) target(i Installation) string {
	switch {
	case m.Version != "":
		return i.Plugin + "@" + m.Version
	case i.Upgrade != nil && (m.Consent || m.Digest != ""):
		return i.Plugin + "@" + i.Upgrade.VersionID
	case i.Channel != "":
		return i.Plugin + "@" + string(i.Channel)
	default:
		return i.Plugin
	}
}

// allows says whether there is consent to what is asked for.
func (m Move) allows(v registry.Version, asks []diff.Change) (bool, error) {
	digest := diff.Digest(v.ID, asks)
	if m.Digest != "" && m.Digest != digest {
		return false, fault.New(fault.Conflict, codeConsentOutdated, "what %s %s asks for is not what was consented to", v.Name, v.Version).
			WithHint("Look at it again, and consent with the digest %s.", digest).At("/digest")
	}
	return len(asks) == 0 || m.Consent || m.Digest != "", nil
}

// offers says whether a version is what an installation's channel offers.
func (s *Installations) offers(ctx context.Context, tenant string, i Installation, v registry.Version) bool {
	if i.Channel == "" {
		return false
	}
	head, err := s.offered(ctx, tenant, i.Plugin+"@"+string(i.Channel))
	return err == nil && head.ID == v.ID
}

// waiting is an installation's wait for a version. It keeps the time since when.
func (s *Installations) waiting(i Installation, v registry.Version, asks []diff.Change) *Upgrade {
	u := &Upgrade{To: v.Version, VersionID: v.ID, Asks: asks, Digest: diff.Digest(v.ID, asks), Since: s.c.Now()}
	if i.Upgrade != nil && i.Upgrade.VersionID == v.ID {
		u.Since = i.Upgrade.Since
	}
	return u
}

// moved is an installation as it would be on another version, without anything more
// granted, and what that version asks for beyond.
func (s *Installations) moved(ctx context.Context, i Installation, v registry.Version, config json.RawMessage) (Installation, []diff.Change, error) {
	if v.ID == i.VersionID {
		if config != nil {
			var err error
			if i.Config, err = s.fit(v, config); err != nil {
				return i, nil, err
			}
		}
		i.Upgrade = nil
		return i, nil, nil
	}
	before, err := s.pinned(ctx, i.VersionID)
	if err != nil {
		return i, nil, err
	}
	asks := beyond(i, diff.Between(before.Manifest, v.Manifest).Asks())
	if config == nil {
		i.Config, err = s.carry(before, v, i.Config)
	} else {
		i.Config, err = s.fit(v, config)
	}
	if err != nil {
		return i, asks, err
	}
	if err := s.connectable(ctx, i.Tenant, v.Manifest, i.Grants.Connections); err != nil {
		return i, asks, err
	}
	i.Previous = i.VersionID
	i.pin(v)
	return i, asks, nil
}

// pin makes a version the one that runs. Nothing is waited for then.
func (i *Installation) pin(v registry.Version) {
	i.Plugin, i.PluginName, i.VersionID, i.Version = v.Plugin, v.Name, v.ID, v.Version
	i.Upgrade = nil
}

// Rollback pins the version before, yanked or not; another Rollback goes forward
// again. It needs no consent: the version has run here, with these grants. Its
// channel is not followed any more, for that would lead back at once.
func (s *Installations) Rollback(ctx context.Context, tenant, id string) (Installation, error) {
	return s.update(ctx, tenant, id, func(i *Installation) error {
		if i.Previous == "" {
			return fault.New(fault.Conflict, "no_previous_version", "the installation %q has run no version before %s", i.Name, i.Version).
				WithHint("Upgrade it to the version that you want.")
		}
		v, err := s.pinned(ctx, i.Previous)
		if err != nil {
			return err
		}
		next, _, err := s.moved(ctx, *i, v, nil)
		if err != nil {
			return err
		}
		*i, i.Channel = next, ""
		return nil
	})
}

// Follow has an installation follow a channel, or, with none, stay where it is and
// wait for nothing. It goes to what the channel offers if that is newer and asks for
// nothing more.
func (s *Installations) Follow(ctx context.Context, tenant, id string, c channel.Channel) (Installation, error) {
	if c != "" {
		if _, err := channel.Parse(string(c)); err != nil {
			return Installation{}, invalidChannel(err)
		}
	}
	return s.update(ctx, tenant, id, func(i *Installation) error {
		if c == "" || i.Channel != c {
			i.Upgrade = nil
		}
		i.Channel = c
		if _, err := s.advance(ctx, i); err != nil {
			return err
		}
		return nil
	})
}

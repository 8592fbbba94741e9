package installation

import (
	"context"

	"github.com/cofferdam-run/cofferdam/host/fault"
)

// Repin makes of an installation what Create would make of spec, in one change: it
// has another version of its plugin, a configuration of its own and all that the spec
// grants, and keeps its name, state, cursors and endpoints. Nobody is asked whether
// the version may have more than the one before: it is for whoever develops a plugin,
// and is tenant and author at once.
func (s *Installations) Repin(ctx context.Context, tenant, id string, spec Spec) (Installation, error) {
	return s.update(ctx, tenant, id, func(i *Installation) error {
		v, err := s.offered(ctx, tenant, spec.Plugin)
		if err != nil {
			return err
		}
		if v.Plugin != i.Plugin {
			return fault.New(fault.InvalidInput, codeOtherPlugin, "the version %q is of another plugin, %s", v.Version, v.Name).At("/plugin")
		}
		if i.Config, err = s.fit(v, spec.Config); err != nil {
			return err
		}
		if i.Grants, err = s.grants(ctx, tenant, v.Manifest, spec.Grants); err != nil {
			return err
		}
		if v.ID != i.VersionID {
			i.Previous = i.VersionID
		}
		i.pin(v)
		return nil
	})
}

package store

import (
	"context"
	"errors"
	"time"

	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/installation"
	"github.com/cofferdam-run/cofferdam/host/store/internal/column"
)

const installationColumns = `SELECT tenant, id, name, plugin, version_id, plugin_name, version, previous,
 config, grants, state, reason, created_at, updated_at, channel, upgrade, running,
 EXISTS (SELECT 1 FROM plugins p WHERE p.id = installations.plugin AND p.paused_at > 0) FROM installations `

// installations lists those of a condition.
func (s *SQL) installations(ctx context.Context, which string, args ...any) ([]installation.Installation, error) {
	return list(ctx, s, scanInstallation, installationColumns+which, args...)
}

// InsertInstallation implements installation.Store.
func (s *SQL) InsertInstallation(ctx context.Context, i installation.Installation) error {
	grants, err := column.JSON(i.Grants)
	if err != nil {
		return err
	}
	upgrade, err := upgradeOf(i)
	if err != nil {
		return err
	}
	return s.insert(ctx, "insert an installation", installationTaken(i), fault.NotFound("tenant", i.Tenant),
		`INSERT INTO installations (tenant, id, name, plugin, version_id, plugin_name, version, previous,
		 config, grants, state, reason, created_at, updated_at, channel, upgrade, running)
		 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)`,
		i.Tenant, i.ID, i.Name, i.Plugin, i.VersionID, i.PluginName, i.Version, i.Previous,
		column.Bytes(i.Config), grants, string(i.State), i.Reason, column.Micros(i.CreatedAt), column.Micros(i.UpdatedAt),
		string(i.Channel), upgrade, i.MaxRunning)
}

// upgradeOf is the column of what an installation waits for, nil for nothing.
func upgradeOf(i installation.Installation) ([]byte, error) {
	if i.Upgrade == nil {
		return nil, nil
	}
	return column.JSON(i.Upgrade)
}

// Installation implements installation.Store.
func (s *SQL) Installation(ctx context.Context, tenant, idOrName string) (installation.Installation, error) {
	all, err := s.installations(ctx, `WHERE tenant = $1 AND (id = $2 OR (name = $2 AND state <> 'removed'))`, tenant, idOrName)
	switch {
	case err != nil:
		return installation.Installation{}, err
	case len(all) == 0:
		return installation.Installation{}, fault.NotFound("installation", idOrName)
	default:
		return all[0], nil
	}
}

// Installations implements installation.Store.
func (s *SQL) Installations(ctx context.Context, tenant string) ([]installation.Installation, error) {
	return s.installations(ctx, `WHERE tenant = $1 AND state <> 'removed' ORDER BY id`, tenant)
}

// InstallationIDs implements archive.Source.
func (s *SQL) InstallationIDs(ctx context.Context, tenant, after string, limit int) ([]string, error) {
	return list(ctx, s, scanString, `SELECT id FROM installations WHERE tenant = $1 AND id > $2 ORDER BY id LIMIT $3`, tenant, after, limit)
}

// Following implements installation.Across.
func (s *SQL) Following(ctx context.Context, after installation.Place, limit int) ([]installation.Installation, error) {
	return s.installations(ctx,
		`WHERE channel <> '' AND state <> 'removed' AND (tenant, id) > ($1, $2) ORDER BY tenant, id LIMIT $3`,
		after.Tenant, after.ID, limit)
}

// Running implements installation.Across.
func (s *SQL) Running(ctx context.Context, tenant, version string, after installation.Place, limit int) ([]installation.Installation, error) {
	return s.installations(ctx,
		`WHERE version_id = $1 AND state <> 'removed' AND ($2 = '' OR tenant = $2) AND (tenant, id) > ($3, $4) ORDER BY tenant, id LIMIT $5`,
		version, tenant, after.Tenant, after.ID, limit)
}

// UpdateInstallation implements installation.Store.
func (s *SQL) UpdateInstallation(ctx context.Context, i installation.Installation, since time.Time) error {
	upgrade, err := upgradeOf(i)
	if err != nil {
		return err
	}
	grants, err := column.JSON(i.Grants)
	if err != nil {
		return err
	}
	err = s.d.Write(ctx, func(ctx context.Context, tx Conn) error {
		n, err := execOn(ctx, tx,
			`UPDATE installations SET name = $3, plugin = $4, version_id = $5, plugin_name = $6, version = $7, previous = $8,
			 config = $9, grants = $10, state = $11, reason = $12, updated_at = $13, channel = $15, upgrade = $16, running = $17
			 WHERE tenant = $1 AND id = $2 AND updated_at = $14`,
			i.Tenant, i.ID, i.Name, i.Plugin, i.VersionID, i.PluginName, i.Version, i.Previous,
			column.Bytes(i.Config), grants, string(i.State), i.Reason, column.Micros(i.UpdatedAt), column.Micros(since),
			string(i.Channel), upgrade, i.MaxRunning)
		if err != nil || n == 1 {
			return err
		}
		return installationChanged(ctx, tx, i)
	})
	return s.refused(err, "update an installation", installationTaken(i), nil)
}

// installationChanged says why an update changed nothing.
func installationChanged(ctx context.Context, tx Conn, i installation.Installation) error {
	n, err := scanInt(tx.QueryRowContext(ctx, `SELECT count(*) FROM installations WHERE tenant = $1 AND id = $2`, i.Tenant, i.ID))
	switch {
	case err != nil:
		return err
	case n == 0:
		return fault.NotFound("installation", i.ID)
	default:
		return conflict(installation.CodeChanged, "the installation %q has been changed since it was read", i.ID).
			WithHint("read it again and repeat the change")
	}
}

func scanInstallation(r scanner) (installation.Installation, error) {
	var i installation.Installation
	var config, grants, upgrade []byte
	var created, updated int64
	err := r.Scan(&i.Tenant, &i.ID, &i.Name, &i.Plugin, &i.VersionID, &i.PluginName, &i.Version, &i.Previous,
		&config, &grants, &i.State, &i.Reason, &created, &updated, &i.Channel, &upgrade, &i.MaxRunning, &i.PluginPaused)
	if err != nil {
		return i, err
	}
	i.Config, i.CreatedAt, i.UpdatedAt = config, column.Time(created), column.Time(updated)
	return i, errors.Join(column.FromJSON(grants, &i.Grants), column.FromJSON(upgrade, &i.Upgrade))
}

func installationTaken(i installation.Installation) *fault.Error {
	return conflict("name_taken", "the tenant has an installation named %q already", i.Name).At("/name")
}

package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/store/internal/column"
	"github.com/cofferdam-run/cofferdam/registry"
	"github.com/cofferdam-run/cofferdam/registry/channel"
)

const pluginFields = `p.id, p.publisher, p.name, p.title, p.created_at`

// versionColumns is a SELECT of versions. It has the time at which the key was revoked that a version is signed with.
const versionColumns = `SELECT v.id, v.plugin, p.name, v.version, v.digest, v.size, v.manifest, v.created_at, v.yanked_at, v.yanked_why,
 v.channel, v.changes, v.build, v.signature, COALESCE(k.revoked_at, 0), v.deprecated_at, v.deprecated_why
 FROM plugin_versions v JOIN plugins p ON p.id = v.plugin JOIN publishers b ON b.id = p.publisher
 LEFT JOIN publisher_keys k ON k.publisher = p.publisher AND k.id = v.signer `

// visible is the condition that a viewer sees plugin p of publisher b: $1 says
// that it is the operator, $2 is its tenant; who is neither sees nothing.
const visible = `($1 OR ($2 <> '' AND (b.tenant = $2
 OR EXISTS (SELECT 1 FROM plugin_shares s WHERE s.plugin = p.id AND s.tenant IN ($2, '*')))))`

// pluginColumns is a SELECT of plugins.
const pluginColumns = `SELECT ` + pluginFields + `, p.deprecated_at, p.deprecated_why, p.paused_at FROM plugins p JOIN publishers b ON b.id = p.publisher `

// nearest is the condition that a viewer means plugin p by a name, or by an id, $3: of
// all that it sees, those of its own publisher, else the operator's, else the rest.
// What a tenant shares must not take a name that is in use already.
const nearest = `WHERE p.id IN (SELECT id FROM (SELECT p.id, RANK() OVER (ORDER BY CASE
 WHEN $2 <> '' AND b.tenant = $2 THEN 0 WHEN b.kind = 'operator' THEN 1 ELSE 2 END) AS place
 FROM plugins p JOIN publishers b ON b.id = p.publisher WHERE ` + visible + ` AND (p.id = $3 OR p.name = $3)) AS seen WHERE place = 1)`

// InsertVersion implements registry.Store. A publisher with p's id is kept as it
// is, and one with its name and another id is a Conflict fault: nobody publishes
// under another's name.
func (s *SQL) InsertVersion(
	ctx context.Context, p registry.Publisher, pl registry.Plugin, v registry.Version, wasm []byte,
) (registry.Version, error) {
	docs, err := documentsOf(v)
	if err != nil {
		return registry.Version{}, err
	}
	var stored registry.Version
	err = s.d.Write(ctx, func(ctx context.Context, tx Conn) error {
		plugin, err := s.pluginFor(ctx, tx, p, pl)
		if err != nil {
			return err
		}
		v.Plugin, v.Name = plugin, pl.Name
		if err := insertVersion(ctx, tx, v, docs, wasm); err != nil {
			return err
		}
		stored, err = scanVersion(tx.QueryRowContext(ctx, versionColumns+`WHERE v.plugin = $1 AND v.version = $2`, v.Plugin, v.Version))
		if err == nil && stored.Digest != v.Digest {
			return otherBytes(stored, v)
		}
		return err
	})
	if err != nil {
		return registry.Version{}, s.refusedVersion(err, p)
	}
	return stored, nil
}

// documents are a version's as they are stored; nil is none.
type documents struct {
	manifest, changes, build, signature []byte
	signer                              string
}

func documentsOf(v registry.Version) (d documents, err error) {
	encode := func(into *[]byte, v any) {
		if err == nil {
			*into, err = column.JSON(v)
		}
	}
	encode(&d.manifest, v.Manifest)
	if v.Changes != nil {
		encode(&d.changes, v.Changes)
	}
	if v.Build != nil {
		encode(&d.build, v.Build)
	}
	if v.Signature != nil {
		encode(&d.signature, v.Signature)
		d.signer = v.Signature.Key
	}
	return d, err
}

// insertVersion inserts a version that is not there. To one that is, of the same
// bytes, it adds a signature where there is none.
func insertVersion(ctx context.Context, tx Conn, v registry.Version, d documents, wasm []byte) error {
	_, err := execOn(ctx, tx, `INSERT INTO blobs (digest, bytes) VALUES ($1, $2) ON CONFLICT (digest) DO NOTHING`, v.Digest, wasm)
	if err != nil {
		return err
	}
	n, err := execOn(ctx, tx,
		`INSERT INTO plugin_versions (id, plugin, version, digest, size, manifest, created_at, yanked_at, yanked_why,
		 channel, changes, build, signature, signer) VALUES ($1, $2, $3, $4, $5, $6, $7, 0, '', $8, $9, $10, $11, $12)
		 ON CONFLICT (plugin, version) DO NOTHING`,
		v.ID, v.Plugin, v.Version, v.Digest, v.Size, d.manifest, column.Micros(v.CreatedAt),
		string(v.Channel), d.changes, d.build, d.signature, d.signer)
	if err != nil || n == 1 || d.signer == "" {
		return err
	}
	_, err = execOn(ctx, tx,
		`UPDATE plugin_versions SET signature = $4, signer = $5 WHERE plugin = $1 AND version = $2 AND digest = $3 AND signer = ''`,
		v.Plugin, v.Version, v.Digest, d.signature, d.signer)
	return err
}

// Plugins implements registry.Store.
func (s *SQL) Plugins(ctx context.Context, v registry.Viewer) ([]registry.Plugin, error) {
	return s.plugins(ctx, `WHERE `+visible+` ORDER BY p.id`, v.Operator, v.Tenant)
}

// Versions implements registry.Store.
func (s *SQL) Versions(ctx context.Context, v registry.Viewer, plugin string) (registry.Plugin, []registry.Version, error) {
	query, args := nearest, []any{v.Operator, v.Tenant, plugin}
	if publisher, name, ok := strings.Cut(plugin, "/"); ok {
		query, args = `WHERE `+visible+` AND (b.name = $3 OR b.id = $3) AND p.name = $4`, []any{v.Operator, v.Tenant, publisher, name}
	}
	found, err := s.plugins(ctx, query, args...)
	switch {
	case err != nil:
		return registry.Plugin{}, nil, err
	case len(found) == 0:
		return registry.Plugin{}, nil, notPublished("plugin", plugin)
	case len(found) > 1:
		return registry.Plugin{}, nil, &registry.Error{
			Code: registry.CodeAmbiguous, Message: fmt.Sprintf("%d publishers have a plugin named %q", len(found), plugin),
			Hint: "say which one, as publisher/name or by the plugin's id",
		}
	}
	vs, err := list(ctx, s, scanVersion, versionColumns+`WHERE v.plugin = $1 ORDER BY v.created_at DESC, v.id DESC`, found[0].ID)
	return found[0], vs, err
}

// Version implements registry.Store.
func (s *SQL) Version(ctx context.Context, v registry.Viewer, id string) (registry.Version, error) {
	return find(ctx, s, notPublished("plugin version", id), scanVersion, versionColumns+`WHERE `+visible+` AND v.id = $3`, v.Operator, v.Tenant, id)
}

// Yank implements registry.Store. A version that is yanked already stays as it is.
func (s *SQL) Yank(ctx context.Context, id, why string, at time.Time) error {
	n, err := s.exec(ctx, "yank a plugin version",
		`UPDATE plugin_versions SET yanked_why = CASE WHEN yanked_at = 0 THEN $2 ELSE yanked_why END,
		 yanked_at = CASE WHEN yanked_at = 0 THEN $3 ELSE yanked_at END WHERE id = $1`, id, why, column.Micros(at))
	if err == nil && n == 0 {
		return notPublished("plugin version", id)
	}
	return err
}

// SetChannel implements registry.Store.
func (s *SQL) SetChannel(ctx context.Context, id string, c channel.Channel) error {
	n, err := s.exec(ctx, "promote a plugin version", `UPDATE plugin_versions SET channel = $2 WHERE id = $1`, id, string(c))
	if err == nil && n == 0 {
		return notPublished("plugin version", id)
	}
	return err
}

// Deprecate implements registry.Store.
func (s *SQL) Deprecate(ctx context.Context, id, why string, at time.Time) error {
	if why == "" {
		at = time.Time{}
	}
	return s.write(ctx, "deprecate a plugin", func(ctx context.Context, tx Conn) error {
		for _, table := range []string{"plugins", "plugin_versions"} {
			n, err := execOn(ctx, tx, `UPDATE `+table+` SET deprecated_at = $2, deprecated_why = $3 WHERE id = $1`, id, column.Micros(at), why)
			if err != nil || n == 1 {
				return err
			}
		}
		return notPublished("plugin or version", id)
	})
}

// PausePlugin implements registry.Store.
func (s *SQL) PausePlugin(ctx context.Context, id string, at time.Time) error {
	n, err := s.exec(ctx, "pause a plugin",
		`UPDATE plugins SET paused_at = CASE WHEN CAST($2 AS BIGINT) > 0 AND paused_at > 0 THEN paused_at ELSE CAST($2 AS BIGINT) END WHERE id = $1`, id, column.Micros(at))
	if err == nil && n == 0 {
		return notPublished("plugin", id)
	}
	return err
}

// Share implements registry.Store. The tenants replace the earlier ones.
func (s *SQL) Share(ctx context.Context, plugin string, tenants []string) error {
	return s.write(ctx, "share a plugin", func(ctx context.Context, tx Conn) error {
		n, err := scanInt(tx.QueryRowContext(ctx, `SELECT count(*) FROM plugins WHERE id = $1`, plugin))
		if err != nil {
			return err
		}
		if n == 0 {
			return notPublished("plugin", plugin)
		}
		if _, err := execOn(ctx, tx, `DELETE FROM plugin_shares WHERE plugin = $1`, plugin); err != nil {
			return err
		}
		return share(ctx, tx, plugin, tenants)
	})
}

// pluginFor returns the id of the publisher's plugin, which it inserts if it is new.
func (s *SQL) pluginFor(ctx context.Context, tx Conn, p registry.Publisher, pl registry.Plugin) (string, error) {
	// With the id alone as the arbiter, Postgres reports the name of a publisher
	// that another upload inserts at this moment as taken.
	_, err := execOn(ctx, tx, insertPublisher+`ON CONFLICT DO NOTHING`,
		p.ID, p.Name, string(p.Kind), p.Tenant, column.Micros(p.CreatedAt))
	if err != nil {
		return "", err
	}
	switch _, err := scanString(tx.QueryRowContext(ctx, `SELECT id FROM publishers WHERE id = $1`, p.ID)); {
	case errors.Is(err, sql.ErrNoRows):
		return "", publisherTaken(p)
	case err != nil:
		return "", err
	}
	n, err := execOn(ctx, tx,
		`INSERT INTO plugins (id, publisher, name, title, created_at) VALUES ($1, $2, $3, $4, $5) ON CONFLICT (publisher, name) DO NOTHING`,
		pl.ID, p.ID, pl.Name, pl.Title, column.Micros(pl.CreatedAt))
	if err != nil {
		return "", err
	}
	if n == 1 {
		return pl.ID, share(ctx, tx, pl.ID, pl.Shared)
	}
	return scanString(tx.QueryRowContext(ctx, `SELECT id FROM plugins WHERE publisher = $1 AND name = $2`, p.ID, pl.Name))
}

// plugins lists plugins with those whom they are shared with.
func (s *SQL) plugins(ctx context.Context, query string, args ...any) ([]registry.Plugin, error) {
	ps, err := list(ctx, s, scanPlugin, pluginColumns+query, args...)
	if err != nil {
		return nil, err
	}
	for i := range ps {
		ps[i].Shared, err = list(ctx, s, scanString, `SELECT tenant FROM plugin_shares WHERE plugin = $1 ORDER BY tenant`, ps[i].ID)
		if err != nil {
			return nil, err
		}
	}
	return ps, nil
}

// refusedVersion leaves refusals as they are.
func (s *SQL) refusedVersion(err error, p registry.Publisher) error {
	if _, ok := errors.AsType[*registry.Error](err); ok {
		return err
	}
	if _, ok := errors.AsType[*fault.Error](err); ok {
		return err
	}
	return s.refused(err, "insert a plugin version", publisherTaken(p), nil)
}

func share(ctx context.Context, tx Conn, plugin string, tenants []string) error {
	for _, t := range slices.Compact(slices.Sorted(slices.Values(tenants))) {
		if _, err := execOn(ctx, tx, `INSERT INTO plugin_shares (plugin, tenant) VALUES ($1, $2)`, plugin, t); err != nil {
			return err
		}
	}
	return nil
}

func otherBytes(stored, v registry.Version) error {
	return &registry.Error{
		Code:    registry.CodeVersionExists,
		Message: fmt.Sprintf("%s@%s was published with %s, and this is %s", v.Name, v.Version, stored.Digest, v.Digest),
		Hint:    "a version never changes: raise the version number and publish again", Where: "manifest/version",
	}
}

func scanPlugin(r scanner) (registry.Plugin, error) {
	var p registry.Plugin
	var created, deprecated, paused int64
	err := r.Scan(&p.ID, &p.Publisher, &p.Name, &p.Title, &created, &deprecated, &p.DeprecatedWhy, &paused)
	p.CreatedAt, p.DeprecatedAt, p.PausedAt = column.Time(created), column.Time(deprecated), column.Time(paused)
	return p, err
}

func scanVersion(r scanner) (registry.Version, error) {
	var v registry.Version
	var manifest, changes, build, signed []byte
	var created, yanked, revoked, deprecated int64
	err := r.Scan(&v.ID, &v.Plugin, &v.Name, &v.Version, &v.Digest, &v.Size, &manifest, &created, &yanked, &v.YankedWhy,
		&v.Channel, &changes, &build, &signed, &revoked, &deprecated, &v.DeprecatedWhy)
	if err != nil {
		return v, err
	}
	v.CreatedAt, v.YankedAt = column.Time(created), column.Time(yanked)
	v.SignerRevokedAt, v.DeprecatedAt = column.Time(revoked), column.Time(deprecated)
	if v.Channel == "" {
		v.Channel = channel.Of(v.Version)
	}
	return v, errors.Join(column.FromJSON(manifest, &v.Manifest),
		column.FromJSON(changes, &v.Changes), column.FromJSON(build, &v.Build), column.FromJSON(signed, &v.Signature))
}

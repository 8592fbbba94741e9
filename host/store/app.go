package store

import (
	"context"
	"encoding/json"

	"github.com/cofferdam-run/cofferdam/host/app"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/store/internal/column"
)

const appColumns = `SELECT tenant, id, name, provider, descriptor, client_id, settings, version, created_at, updated_at, sealed FROM oauth_apps `

// appSettings are what of an app no query asks for.
type appSettings struct {
	Title     string            `json:"title,omitempty"`
	Scopes    []string          `json:"scopes"`
	Variables map[string]string `json:"variables,omitempty"`
	Grant     string            `json:"grant"`
	Plugin    *app.Origin       `json:"plugin,omitempty"`
	Callback  string            `json:"callback,omitempty"`
}

func settingsOf(a app.App) ([]byte, error) {
	return column.JSON(appSettings{Title: a.Title, Scopes: a.Scopes, Variables: a.Variables, Grant: a.Grant, Plugin: a.Plugin, Callback: a.Callback})
}

// InsertApp implements app.Store.
func (s *SQL) InsertApp(ctx context.Context, a app.App, sealed []byte) error {
	settings, err := settingsOf(a)
	if err != nil {
		return err
	}
	return s.insert(ctx, "insert an app", appTaken(a), fault.NotFound("tenant", a.Tenant),
		`INSERT INTO oauth_apps (tenant, id, name, provider, descriptor, client_id, settings, version, created_at, updated_at, sealed)
		 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`,
		a.Tenant, a.ID, a.Name, a.Provider, column.Bytes(a.Descriptor), a.ClientID, settings, a.Version,
		column.Micros(a.CreatedAt), column.Micros(a.UpdatedAt), column.Bytes(sealed))
}

// App implements app.Store.
func (s *SQL) App(ctx context.Context, tenant, idOrName string) (app.App, error) {
	a, err := find(ctx, s, fault.NotFound("app", idOrName), scanApp, appColumns+`WHERE tenant = $1 AND (id = $2 OR name = $2)`, tenant, idOrName)
	return a.App, err
}

// Apps implements app.Store.
func (s *SQL) Apps(ctx context.Context, tenant string) ([]app.App, error) {
	found, err := list(ctx, s, scanApp, appColumns+`WHERE tenant = $1 ORDER BY id`, tenant)
	all := make([]app.App, len(found))
	for i, a := range found {
		all[i] = a.App
	}
	return all, err
}

// SealedApp implements app.Store.
func (s *SQL) SealedApp(ctx context.Context, tenant, id string) (app.App, []byte, error) {
	a, err := find(ctx, s, fault.NotFound("app", id), scanApp, appColumns+`WHERE tenant = $1 AND id = $2`, tenant, id)
	return a.App, a.sealed, err
}

// UpdateApp implements app.Store. Provider and descriptor stay as they are.
func (s *SQL) UpdateApp(ctx context.Context, a app.App, sealed []byte) error {
	settings, err := settingsOf(a)
	if err != nil {
		return err
	}
	err = s.d.Write(ctx, func(ctx context.Context, tx Conn) error {
		n, err := execOn(ctx, tx,
			`UPDATE oauth_apps SET name = $4, client_id = $5, settings = $6, version = $3, updated_at = $7, sealed = $8
			 WHERE tenant = $1 AND id = $2 AND version = $3 - 1`,
			a.Tenant, a.ID, a.Version, a.Name, a.ClientID, settings, column.Micros(a.UpdatedAt), column.Bytes(sealed))
		if err != nil || n == 1 {
			return err
		}
		return stale(ctx, tx, "app", a.ID, `SELECT version FROM oauth_apps WHERE tenant = $1 AND id = $2`, a.Tenant, a.ID)
	})
	return s.refused(err, "update an app", appTaken(a), nil)
}

// DeleteApp implements app.Store. Of a tenant's app, it looks at the authorizations of that
// tenant, by their key; of the operator's, which goes once in years, at all. It deletes
// first and looks then: what holdApp lets in until now is seen, and what comes later finds
// no app.
func (s *SQL) DeleteApp(ctx context.Context, tenant, id string) error {
	return s.write(ctx, "delete an app", func(ctx context.Context, tx Conn) error {
		n, err := execOn(ctx, tx, `DELETE FROM oauth_apps WHERE tenant = $1 AND id = $2`, tenant, id)
		if err != nil {
			return err
		}
		if n == 0 {
			return fault.NotFound("app", id)
		}
		query, args := `SELECT count(*) FROM authorizations WHERE app = $1`, []any{id}
		if tenant != app.Operator {
			query, args = query+` AND tenant = $2`, append(args, tenant)
		}
		used, err := scanInt(tx.QueryRowContext(ctx, query, args...))
		if err == nil && used > 0 {
			return conflict("app_in_use", "%d connections were made with the app %q, and could not be refreshed without it", used, id).
				WithHint("delete those connections first, or connect them again with another app")
		}
		return err
	})
}

// holdApp keeps an app that a tenant may use from being deleted before the transaction
// has ended.
func holdApp(ctx context.Context, tx Conn, tenant, id string) error {
	n, err := execOn(ctx, tx, `UPDATE oauth_apps SET version = version WHERE tenant IN ($1, $2) AND id = $3`, tenant, app.Operator, id)
	if err == nil && n == 0 {
		return fault.NotFound("app", id)
	}
	return err
}

// sealedApp is a row of oauth_apps.
type sealedApp struct {
	app.App
	sealed []byte
}

func scanApp(r scanner) (sealedApp, error) {
	var a sealedApp
	var descriptor, settings []byte
	var created, updated int64
	err := r.Scan(&a.Tenant, &a.ID, &a.Name, &a.Provider, &descriptor, &a.ClientID, &settings, &a.Version, &created, &updated, &a.sealed)
	if err != nil {
		return a, err
	}
	var more appSettings
	if err := column.FromJSON(settings, &more); err != nil {
		return a, err
	}
	a.Title, a.Scopes, a.Variables, a.Grant = more.Title, more.Scopes, more.Variables, more.Grant
	a.Plugin, a.Callback = more.Plugin, more.Callback
	a.CreatedAt, a.UpdatedAt, a.Shared = column.Time(created), column.Time(updated), a.Tenant == app.Operator
	a.Descriptor = json.RawMessage(column.Bytes(descriptor))
	return a, nil
}

func appTaken(a app.App) *fault.Error {
	return conflict("name_taken", "there is an app named %q already", a.Name).At("/name")
}

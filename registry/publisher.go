package registry

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

var publisherName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)

// operatorName is the publisher that is the operator.
const operatorName = "operator"

// AddPublisher adds a publisher. A tenant's publisher is made by its first upload.
func (r *Registry) AddPublisher(ctx context.Context, name string, kind PublisherKind, tenant string) (Publisher, error) {
	switch {
	case !publisherName.MatchString(name):
		return Publisher{}, &Error{Code: CodeInvalidRequest, Where: "name", Message: fmt.Sprintf("%q must be 1 to 63 of a-z, 0-9 and -, and not begin with -", clip(name))}
	case !slices.Contains([]PublisherKind{Operator, Vendor, TenantOwned}, kind):
		return Publisher{}, &Error{Code: CodeInvalidRequest, Where: "kind", Message: fmt.Sprintf("%q must be operator, vendor or tenant", clip(string(kind)))}
	case (kind == TenantOwned) != (tenant != ""):
		return Publisher{}, &Error{Code: CodeInvalidRequest, Where: "tenant", Message: "a tenant is given for a publisher of the kind tenant, and for no other"}
	}
	p := Publisher{ID: r.c.NewID(publisherPrefix), Name: name, Kind: kind, Tenant: tenant, CreatedAt: r.c.Now()}
	if err := r.c.Publishers.InsertPublisher(ctx, p); err != nil {
		return Publisher{}, fmt.Errorf("add publisher: %w", err)
	}
	return p, nil
}

// PublisherOf returns the publisher of the operator, or of a tenant, making it if need be.
func (r *Registry) PublisherOf(ctx context.Context, v Viewer) (Publisher, error) {
	if !v.Operator && v.Tenant == "" {
		return Publisher{}, &Error{Code: CodeDenied, Message: "only the operator and tenants publish plugins"}
	}
	name, kind, tenant := operatorName, Operator, ""
	if !v.Operator {
		name, kind, tenant = nameOfTenant(v.Tenant), TenantOwned, v.Tenant
	}
	p, err := r.existing(ctx, name, kind, tenant)
	if !isNotFound(err) {
		return p, err
	}
	p, err = r.AddPublisher(ctx, name, kind, tenant)
	if err != nil {
		// Another process may have been first.
		if other, again := r.existing(ctx, name, kind, tenant); again == nil {
			return other, nil
		}
	}
	return p, err
}

func (r *Registry) existing(ctx context.Context, name string, kind PublisherKind, tenant string) (Publisher, error) {
	p, err := r.c.Publishers.Publisher(ctx, name)
	if err != nil {
		return p, fmt.Errorf("find publisher: %w", err)
	}
	if p.Kind != kind || p.Tenant != tenant {
		return Publisher{}, &Error{Code: CodeDenied, Message: fmt.Sprintf("the publisher name %q is taken by somebody else", name)}
	}
	return p, nil
}

// nameOfTenant makes a publisher's name of a tenant's id, which has capitals and
// an underscore. Ids differ in more than case.
func nameOfTenant(tenant string) string {
	return strings.ReplaceAll(strings.ToLower(tenant), "_", "-")
}

func isNotFound(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Code == CodeNotFound
}

// Yank hides a version from new installations and from its channel, for good; what
// runs it goes on.
func (r *Registry) Yank(ctx context.Context, v Viewer, ref, why string) (Version, error) {
	if err := checkWhy(why); err != nil {
		return Version{}, err
	}
	version, err := r.ownedVersion(ctx, v, ref)
	if err != nil || !version.YankedAt.IsZero() {
		return version, err
	}
	version.YankedAt, version.YankedWhy = r.c.Now(), why
	if err := r.c.Store.Yank(ctx, version.ID, why, version.YankedAt); err != nil {
		return Version{}, fmt.Errorf("yank version: %w", err)
	}
	return version, nil
}

// Share sets the tenants that see a plugin.
func (r *Registry) Share(ctx context.Context, v Viewer, plugin string, tenants []string) (Plugin, error) {
	shared, err := cleanShare(tenants)
	if err != nil {
		return Plugin{}, err
	}
	p, err := r.owned(ctx, v, plugin)
	if err != nil {
		return Plugin{}, err
	}
	if !v.Operator && slices.Contains(shared, everyone) {
		return Plugin{}, errShareWithEveryone()
	}
	if err := r.c.Store.Share(ctx, p.ID, shared); err != nil {
		return Plugin{}, fmt.Errorf("share plugin: %w", err)
	}
	p.Shared = shared
	return p, nil
}

// MayChange refuses a viewer that is neither a plugin's publisher nor the operator.
func (r *Registry) MayChange(ctx context.Context, v Viewer, plugin string) error {
	_, err := r.owned(ctx, v, plugin)
	return err
}

// owned finds a plugin that the viewer may change: the operator any, a tenant
// its own.
func (r *Registry) owned(ctx context.Context, v Viewer, plugin string) (Plugin, error) {
	p, _, err := r.Plugin(ctx, v, plugin)
	if err != nil || v.Operator {
		return p, err
	}
	publisher, err := r.c.Publishers.Publisher(ctx, p.Publisher)
	if err != nil {
		return Plugin{}, fmt.Errorf("find publisher: %w", err)
	}
	if publisher.Kind != TenantOwned || v.Tenant == "" || publisher.Tenant != v.Tenant {
		return Plugin{}, &Error{
			Code: CodeDenied, Message: fmt.Sprintf("the plugin %q belongs to another publisher", p.Name),
			Hint: "Only its publisher and the operator may change it.",
		}
	}
	return p, nil
}

package token

import (
	"slices"

	"github.com/cofferdam-run/cofferdam/host/fault"
)

// Scope says what a token may do within its reach.
type Scope string

// The scopes.
const (
	// Admin may do everything.
	Admin Scope = "admin"
	// Read may only look.
	Read Scope = "read"
	// Publish may upload plugins.
	Publish Scope = "publish"
)

// Role is what whoever has a token is to Cofferdam.
type Role string

// The roles.
const (
	// Operator may do everything.
	Operator Role = "operator"
	// OperatorViewer may look at everything.
	OperatorViewer Role = "operator_viewer"
	// Publisher may publish plugins and look at them, and reaches no tenant.
	Publisher Role = "publisher"
	// TenantAdmin may do everything that a tenant may, in one tenant.
	TenantAdmin Role = "tenant_admin"
	// TenantPublisher may publish the tenant's plugins, and look at what is the tenant's.
	TenantPublisher Role = "tenant_publisher"
	// TenantViewer may look at what is the tenant's.
	TenantViewer Role = "tenant_viewer"
)

// Roles are all that there are, operators' first.
func Roles() []Role {
	return []Role{Operator, OperatorViewer, Publisher, TenantAdmin, TenantPublisher, TenantViewer}
}

// Scope is what a role's token has, and whether it is a tenant's.
func (r Role) Scope() (s Scope, tenants bool) {
	switch r {
	case Operator:
		return Admin, false
	case OperatorViewer:
		return Read, false
	case Publisher:
		return Publish, false
	case TenantAdmin:
		return Admin, true
	case TenantPublisher:
		return Publish, true
	case TenantViewer:
		return Read, true
	default:
		return "", false
	}
}

// Roles are those that a token has: one for each of its scopes.
func (t Token) Roles() []Role {
	var has []Role
	for _, r := range Roles() {
		if s, tenants := r.Scope(); tenants == (t.Tenant != "") && slices.Contains(t.Scopes, s) {
			has = append(has, r)
		}
	}
	return has
}

// May says whether a token has one of the roles.
func (t Token) May(roles []Role) bool {
	return slices.ContainsFunc(t.Roles(), func(r Role) bool { return slices.Contains(roles, r) })
}

// tenantScope is the scope of a role that a tenant's token can have.
func tenantScope(r Role) (Scope, error) {
	s, tenants := r.Scope()
	if !tenants {
		return "", fault.New(fault.InvalidInput, "role_invalid", "the role must be %s, %s or %s", TenantAdmin, TenantPublisher, TenantViewer).At("/role")
	}
	return s, nil
}

package token_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdam-run/cofferdam/host/token"
)

func TestRolesFollowFromTenantAndScopes(t *testing.T) {
	t.Parallel()
	tests := []struct {
		tenant string
		scopes []token.Scope
		want   []token.Role
	}{
		{"", []token.Scope{token.Admin}, []token.Role{token.Operator}},
		{"", []token.Scope{token.Read}, []token.Role{token.OperatorViewer}},
		{"", []token.Scope{token.Publish}, []token.Role{token.Publisher}},
		{"", []token.Scope{token.Publish, token.Read}, []token.Role{token.OperatorViewer, token.Publisher}},
		{"ten_1", []token.Scope{token.Admin}, []token.Role{token.TenantAdmin}},
		{"ten_1", []token.Scope{token.Publish}, []token.Role{token.TenantPublisher}},
		{"ten_1", []token.Scope{token.Read}, []token.Role{token.TenantViewer}},
		{"ten_1", []token.Scope{"unknown"}, nil},
		{"", nil, nil},
	}
	for _, tt := range tests {
		has := token.Token{Tenant: tt.tenant, Scopes: tt.scopes}
		if diff := cmp.Diff(tt.want, has.Roles()); diff != "" {
			t.Errorf("%q %v (-want +got):\n%s", tt.tenant, tt.scopes, diff)
		}
		for _, r := range token.Roles() {
			if got, want := has.May([]token.Role{r}), slices.Contains(tt.want, r); got != want {
				t.Errorf("%q %v may what %s may: got %v, want %v", tt.tenant, tt.scopes, r, got, want)
			}
		}
		if has.May(nil) {
			t.Errorf("%q %v may what nobody may", tt.tenant, tt.scopes)
		}
	}
}

package api

import (
	"encoding/json"
	"net/http"
	"path"
	"reflect"
	"strconv"

	"github.com/danielgtaylor/huma/v2"

	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/execution"
)

// document is the OpenAPI document before any operation is in it.
func document(o Options) huma.Config {
	schemas := huma.NewMapRegistry("#/components/schemas/", schemaName)
	// What the plain routes answer with; huma finds the types of the others.
	for _, v := range []any{problem{}, status{}, event.Accepted{}, execution.Execution{}, logEvent{}} {
		schemas.Schema(reflect.TypeOf(v), true, "")
	}
	format := huma.Format{Marshal: huma.DefaultJSONFormat.Marshal, Unmarshal: unmarshal}
	return huma.Config{
		OpenAPI: &huma.OpenAPI{
			OpenAPI: "3.1.0",
			Info: &huma.Info{
				Title:   "Cofferdam",
				Version: o.Version,
				Description: "Runs integration connectors for many tenants, each call in a sandbox of its own. " +
					"Errors are RFC 9457 problems with a stable `code`. Lists are pages: pass `next_cursor` back as `cursor` until it is empty.",
				License: &huma.License{Name: "Apache-2.0", Identifier: "Apache-2.0"},
			},
			// Relative to where the document was found, so that it is right below a prefix.
			Servers: []*huma.Server{{URL: ".", Description: "The server that gave this document."}},
			Tags:    tags(),
			Components: &huma.Components{
				Schemas: schemas,
				SecuritySchemes: map[string]*huma.SecurityScheme{"bearer": {
					Type: "http", Scheme: "bearer",
					Description: rolesText(),
				}},
			},
		},
		// "json" is what huma takes the structured suffix +json for.
		Formats:                      map[string]huma.Format{"application/json": format, "json": format},
		DefaultFormat:                "application/json",
		RejectUnknownQueryParameters: true,
		Transformers:                 []huma.Transformer{explain},
	}
}

// rolesText says who may have which token.
func rolesText() string {
	return "A token `cfd_...` of an operator or of a tenant, a signed one `cfs_...` that a host app made for a user of a tenant's, or a login: a JWT of the OpenID provider that the server was told of. " +
		"What it opens are its roles, which follow from whose it is and its scopes. " +
		"An operator's: `operator` (admin) may do everything, `operator_viewer` (read) look at everything, `publisher` (publish) publish plugins and look at them. " +
		"A tenant's, which reaches that tenant only: `tenant_admin` (admin), `tenant_publisher` (publish, and look), `tenant_viewer` (read). " +
		"The extension `x-roles` of an operation has those that open it."
}

func tags() []*huma.Tag {
	return []*huma.Tag{
		{Name: "hooks", Description: "Where vendors deliver webhooks. Authenticated by the vendor's signature."},
		{Name: "system", Description: "Whether the program works, and what it does."},
		{Name: "plugins", Description: "Connectors: names, and immutable versions of them."},
		{Name: "publishers", Description: "Who owns plugins."},
		{Name: "tenants", Description: "The customers of the host app."},
		{Name: "installations", Description: "Plugins that a tenant has enabled."},
		{Name: "calls", Description: "Asking an installation for something."},
		{Name: "connections", Description: "A tenant's accounts at third parties. Credentials go in and never come out."},
		{Name: "connect", Description: "Users connect their accounts: sessions, their steps, and the pages that users see."},
		{Name: "oauth-apps", Description: "OAuth clients that are registered with providers: the operator's for all tenants, or a tenant's own. Secrets go in and never come out."},
		{Name: "endpoints", Description: "Where vendors deliver for an installation."},
		{Name: "schedules", Description: "What an installation does at times: polls and actions by cron, at intervals, or once."},
		{Name: "events", Description: "What arrived and is stored."},
		{Name: "executions", Description: "The work that events cause."},
		{Name: "queue", Description: "How much work there is, and what runs."},
		{Name: "usage", Description: "What runs have cost, by UTC day."},
		{Name: "audit", Description: "Who did what: a Merkle log that is signed, and that nobody can change without that showing."},
		{Name: "tokens", Description: "Who may use the API."},
	}
}

// schemaName names a type's schema. Types of one name in several packages get the
// package's in front.
func schemaName(t reflect.Type, hint string) string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	name := huma.DefaultSchemaNamer(t, hint)
	switch pkg := path.Base(t.PkgPath()); {
	case pkg == "manifest" && name != "Manifest":
		return "Manifest" + name
	case pkg == "tenant" && name != "Tenant":
		return "Tenant" + name
	case pkg == "rotation" && name == "Rotation":
		return "KeyRotation"
	case pkg == "rotation":
		return "KeyRotation" + name
	case pkg == "redrive" && name != "Redrive":
		return "Redrive" + name
	case pkg == "redeliver" && name != "Redelivery":
		return "Redelivery" + name
	case pkg == "signature" && name == "Key":
		return "PublisherKey"
	case pkg == "shadow":
		return "Shadow" + name
	case pkg == "usage":
		return "Usage" + name
	case pkg == "connect" && name == "Session":
		return "ConnectSession"
	case pkg == "connect":
		return "Connect" + name
	case pkg == "app" && name == "Shown":
		return "App"
	case pkg == "app":
		return "App" + name
	case pkg == "fault" && name == "Error":
		return "Fault"
	case pkg == "fault":
		return "Fault" + name
	default:
		return name
	}
}

// refusal is a problem in the document.
func refusal(status int) *huma.Response {
	resp := &huma.Response{
		Description: refusalText(status),
		Content:     map[string]*huma.MediaType{problemType: {Schema: &huma.Schema{Ref: "#/components/schemas/Problem"}}},
	}
	if status == http.StatusServiceUnavailable || status == http.StatusTooManyRequests {
		resp.Headers = map[string]*huma.Header{"Retry-After": {
			Description: "Seconds after which it is worth trying again.", Schema: &huma.Schema{Type: huma.TypeInteger},
		}}
	}
	return resp
}

func refusalText(status int) string {
	switch status {
	case http.StatusBadRequest:
		return "The body is missing or cannot be read."
	case http.StatusUnauthorized:
		return "The token or signature is missing or not valid."
	case http.StatusForbidden:
		return "The token has none of the roles that may do this: `detail` names them, and `hint` says how to get one."
	case http.StatusTooManyRequests:
		return "Too many tokens that open nothing came from this address, or begin like this one."
	case http.StatusNotFound:
		return "There is no such thing, or not for this token."
	case http.StatusConflict:
		return "It contradicts what there is: a name that is taken, a state that forbids it, a key that another request used."
	case http.StatusRequestEntityTooLarge:
		return "The body is over its cap. Nothing was stored."
	case http.StatusUnsupportedMediaType:
		return "The body is of another media type."
	case http.StatusUnprocessableEntity:
		return "A property or parameter is not valid: `where` and `errors` say which."
	case http.StatusServiceUnavailable:
		return "The database cannot be used at the moment. Nothing was accepted."
	case http.StatusInternalServerError:
		return "Something failed on our side. The cause is in the server's log."
	default:
		return http.StatusText(status) + "."
	}
}

// complete adds to an operation what is known only after it was registered.
func complete(doc *huma.OpenAPI, rt route) {
	op := operationOf(doc.Paths[rt.Path], rt.Method)
	status := rt.Status
	if status == 0 {
		status = op.DefaultStatus
	}
	if status == 0 {
		status = http.StatusOK
	}
	ok := op.Responses[strconv.Itoa(status)]
	if ok.Description == "" || ok.Description == http.StatusText(status) {
		ok.Description = rt.Summary + ": done."
	}
	for code, description := range rt.Also {
		op.Responses[strconv.Itoa(code)] = &huma.Response{Description: description, Content: ok.Content}
	}
	if rt.idempotent() {
		ok.Headers = map[string]*huma.Header{replayedHeader: {
			Description: "`true` if this is the answer to an earlier request with the same key.",
			Schema:      &huma.Schema{Type: huma.TypeString},
		}}
	}
	if rt.Example != "" && op.RequestBody != nil {
		op.RequestBody.Content["application/json"].Example = json.RawMessage(rt.Example)
	}
}

// operationOf returns the operation of a method, or nil.
func operationOf(item *huma.PathItem, method string) *huma.Operation {
	switch method {
	case http.MethodGet:
		return item.Get
	case http.MethodHead:
		return item.Head
	case http.MethodOptions:
		return item.Options
	case http.MethodPost:
		return item.Post
	case http.MethodPut:
		return item.Put
	case http.MethodPatch:
		return item.Patch
	case http.MethodDelete:
		return item.Delete
	default:
		return nil
	}
}

// finish takes out what huma added for its own errors, which nobody gets to see,
// and describes the properties of the domain's types.
func finish(doc *huma.OpenAPI) {
	schemas := doc.Components.Schemas.Map()
	delete(schemas, "ErrorModel")
	delete(schemas, "ErrorDetail")
	describe(schemas)
}

// jsonResponse is a response with a body of v's type, which document has put
// among the components.
func jsonResponse(v any) *huma.Response {
	return &huma.Response{Content: map[string]*huma.MediaType{
		"application/json": {Schema: &huma.Schema{Ref: "#/components/schemas/" + schemaName(reflect.TypeOf(v), "")}},
	}}
}

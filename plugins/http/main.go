// Http is a connector for any API that speaks HTTP: it makes requests, follows the
// pages of a list, and looks every so often for what is new.
package main

import (
	"slices"
	"strings"
	"time"

	"github.com/cofferdam-run/cofferdam/sdk/go/connector"
	"github.com/cofferdam-run/cofferdam/sdk/go/connector/code"
)

var _ = connector.Define(generic())

func main() {} // Never runs: the host calls what Define defined.

// Config is what a tenant can configure.
type Config struct {
	BaseURL  string            `json:"base_url" title:"Base URL" doc:"Where the API is: all paths are below it." format:"uri" example:"https://api.example.com/v1"`
	Headers  map[string]string `json:"headers,omitempty" title:"Headers" doc:"Sent with each request. What is secret belongs in a connection."`
	TestPath string            `json:"test_path" title:"Path for the test" doc:"What a test of the installation asks for. It is passed by every answer but 401, 403 and 500 and above." default:"/"`
	// Repeatable is what confirm goes by.
	Repeatable []string   `json:"repeatable,omitempty" title:"Paths that may be asked twice" doc:"Where a POST or PATCH does the same twice as once, such as /search: those paths, and all below them, are asked again if an answer is lost. Of others, a person decides."`
	Poll       PollConfig `json:"poll,omitzero" title:"Poll" doc:"The list in which the poll looks for what is new."`
}

const configured = "{config.base_url}"

func generic() connector.Connector {
	hosts := []string{configured}
	return connector.Connector{
		Name:        "http",
		Version:     "1.1.0",
		Title:       "HTTP",
		Description: "Talks to any API over HTTP: makes requests, follows the pages of a list, polls a list for what is new, and delivers signed events. Connect at most one account: its credential goes with each request.",
		Config:      Config{},
		Connections: []connector.Connection{
			{
				Name: "bearer", Title: "A token", Type: connector.Bearer, Hosts: hosts,
				Description: "For APIs that want `Authorization: Bearer`: make a token on the API's page for developers.",
			},
			{
				Name: "basic", Title: "A user and a password", Type: connector.Basic, Hosts: hosts,
				Description: "For APIs with HTTP's own authentication. Many take an API key as the user's name, and an empty password.",
			},
			{
				Name: "api_key", Title: "A key in a header", Type: connector.APIKey, Header: "X-Api-Key", Hosts: hosts,
				Description: "For APIs that want a key in `X-Api-Key`.",
			},
			{
				Name: "query_key", Title: "A key in the URL", Type: connector.APIKey, Query: "api_key", Hosts: hosts,
				Description: "For APIs that want a key as the parameter `api_key`.",
			},
			{
				Name: secret, Title: "A secret for what is delivered", Type: connector.HMAC, Hosts: hosts, Sign: []string{"hmac-sha256"},
				Description: "For receivers of Standard Webhooks, beside an account or without one: what follows `whsec_` of the secret that is shared with them, as `{\"key\": \"...\", \"key_encoding\": \"base64\"}`.",
			},
		},
		Egress: []connector.Egress{{
			Host: configured, Methods: []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"},
		}},
		// Too Early says that the server did not want to risk the request: <https://www.rfc-editor.org/rfc/rfc8470#section-5.2>.
		NotDone: []connector.NotDone{{Host: configured, Status: []int{425}}},
		Actions: []connector.Action{
			{
				Name: "request", Title: "Make a request", Run: connector.Func(request),
				Description: "An answer of 400 and above is an error, unless `accept` names its status. 429, and 500 and above of what may be made again, is tried again after what Retry-After says.",
			},
			{
				Name: "list", Title: "Get all items of a list", Run: connector.Func(list), Idempotent: true,
				Description: "Asks for page after page, in whichever way the API divides them.",
			},
			{
				Name: "deliver", Title: "Deliver a signed event", Run: connector.Func(deliver),
				Description: "Sends an event as a Standard Webhook, signed with the connection `webhook_secret`. A receiver knows one that comes again by its id.",
			},
		},
		Polls: []connector.Poll{{
			Name: "list", Title: "New items", Every: 5 * time.Minute, Run: connector.PollFunc(poll),
			Description: "Looks in the list of the configuration's `poll` for items that were not there before, or that have changed since.",
		}},
		Test: test, Confirm: confirm,
	}
}

// test asks for something, and is content with whatever an API says that is there and
// knows the credential.
func test(ctx *connector.Context) error {
	var config Config
	if err := ctx.Config(&config); err != nil {
		return err
	}
	response, err := send(ctx, config, call{path: config.TestPath})
	if err != nil {
		return err
	}
	if refused := response.Err(); refused != nil && (response.Status >= 500 || response.Status == 401 || response.Status == 403) {
		return refused
	}
	return nil
}

// account is the connection that the tenant has granted, if any.
func account(ctx *connector.Context) (string, error) {
	granted := slices.DeleteFunc(ctx.Connections(), func(name string) bool { return name == secret })
	switch len(granted) {
	case 0:
		return "", nil
	case 1:
		return granted[0], nil
	default:
		return "", connector.Errorf(code.InvalidInput, "the connections %s are granted: a request takes one credential, so grant one", strings.Join(granted, " and "))
	}
}

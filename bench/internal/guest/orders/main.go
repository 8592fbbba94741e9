// Orders is the connector under measurement: for each order it asks a vendor once, and
// has it do two things.
package main

import "github.com/cofferdam-run/cofferdam/sdk/go/connector"

// version is set when it is linked: there are two, which do the same.
var version = "1.0.0"

var _ = connector.Define(connector.Connector{
	Name:    "orders",
	Version: version,
	Config:  Config{},
	Egress:  []connector.Egress{{Host: "{config.url}", Methods: []string{"GET", "POST"}}},
	Actions: []connector.Action{{Name: "run", Run: connector.Func(run)}},
})

func main() {} // Never runs: the host calls what Define defined.

// Config says where the vendor is.
type Config struct {
	URL string `json:"url" format:"uri"`
}

// Order is the input of the action.
type Order struct {
	ID   string `json:"id"`
	Note string `json:"note,omitempty"`
}

// Done is its output.
type Done struct {
	ID   string `json:"id"`
	OK   bool   `json:"ok"`
	Note string `json:"note,omitempty"`
}

func run(ctx *connector.Context, order Order) (Done, error) {
	var config Config
	if err := ctx.Config(&config); err != nil {
		return Done{}, err
	}
	done := Done{ID: order.ID}
	for _, r := range []connector.Request{
		{URL: config.URL + "/slow/customer"},
		{Method: "POST", URL: config.URL + "/slow/charge", JSON: order},
		{Method: "POST", URL: config.URL + "/slow/ship", JSON: order},
	} {
		if err := ctx.HTTP.Fetch(r, &done); err != nil {
			return Done{}, err
		}
	}
	return done, nil
}

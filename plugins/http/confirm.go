package main

import (
	"strings"

	"github.com/cofferdam-run/cofferdam/sdk/go/connector"
)

// confirm cannot know what became of a request to an API that it does not know. It
// goes by what the tenant says of the path.
func confirm(ctx *connector.Context, d connector.Doubt) (connector.Confirmation, error) {
	var config Config
	if err := ctx.Config(&config); err != nil {
		return connector.Confirmation{}, err
	}
	if d.Request.Header.Get(headerID) != "" {
		return connector.NotHappened(), nil // It is delivered again, which its receiver knows by the id.
	}
	path, below := strings.CutPrefix(d.Request.URL, strings.TrimSuffix(config.BaseURL, "/"))
	path, _, _ = strings.Cut(path, "?")
	for _, repeatable := range config.Repeatable {
		at := strings.TrimSuffix(repeatable, "/")
		if below && at != "" && (path == at || strings.HasPrefix(path, at+"/")) {
			return connector.NotHappened(), nil // It is made again, which comes to the same.
		}
	}
	return connector.Unsure(), nil
}

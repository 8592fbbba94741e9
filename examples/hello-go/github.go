package main

import (
	"fmt"
	"log/slog"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/cofferdam-run/cofferdam/sdk/go/connector"
	"github.com/cofferdam-run/cofferdam/sdk/go/connector/code"
)

// LabelInput says which issue gets which label.
type LabelInput struct {
	Repo   string `json:"repo" doc:"The repository, as owner/name."`
	Number int    `json:"number" doc:"The issue's number."`
	Label  string `json:"label" doc:"The label to add; GitHub creates it if need be."`
}

// LabelOutput is what the issue has afterwards.
type LabelOutput struct {
	Labels []string `json:"labels" doc:"All labels of the issue."`
}

// label adds a label, see
// <https://docs.github.com/rest/issues/labels#add-labels-to-an-issue>.
func label(ctx *connector.Context, in LabelInput) (LabelOutput, error) {
	owner, name, ok := strings.Cut(in.Repo, "/")
	if !ok || owner == "" || name == "" || strings.Contains(name, "/") {
		return LabelOutput{}, connector.Errorf(code.InvalidInput, "the repository %q is not of the form owner/name", in.Repo)
	}
	if in.Number < 1 {
		return LabelOutput{}, connector.Errorf(code.InvalidInput, "the issue's number is %d; they begin at 1", in.Number)
	}
	var all []struct {
		Name string `json:"name"`
	}
	path := fmt.Sprintf("/repos/%s/%s/issues/%d/labels", url.PathEscape(owner), url.PathEscape(name), in.Number)
	if err := call(ctx, "POST", path, map[string]any{"labels": []string{in.Label}}, &all); err != nil {
		return LabelOutput{}, err
	}
	out := LabelOutput{Labels: []string{}}
	for _, one := range all {
		out.Labels = append(out.Labels, one.Name)
	}
	return out, nil
}

// test asks who the token belongs to.
func test(ctx *connector.Context) error {
	var user struct {
		Login string `json:"login"`
	}
	if err := call(ctx, "GET", "/user", nil, &user); err != nil {
		return err
	}
	ctx.Log.Info("the token works", slog.String("login", user.Login))
	return nil
}

// call makes a request to GitHub with the tenant's token.
func call(ctx *connector.Context, method, path string, body, out any) error {
	var config Config
	if err := ctx.Config(&config); err != nil {
		return err
	}
	response, err := ctx.HTTP.Do(connector.Request{
		Connection: "github",
		Method:     method,
		URL:        strings.TrimSuffix(config.APIURL, "/") + path,
		Header: connector.Header{
			"Accept":               {"application/vnd.github+json"},
			"User-Agent":           {"cofferdam-hello-go"},
			"X-GitHub-Api-Version": {"2022-11-28"},
		},
		JSON: body,
	})
	if err != nil {
		return err
	}
	if err := failure(response); err != nil {
		return err
	}
	return response.Decode(out)
}

// failure knows what GitHub means by a status: what everybody means, and rate
// limits of its own.
func failure(r *connector.Response) error {
	wait, limited := rateLimit(r)
	if !limited {
		return r.Err()
	}
	err := connector.Errorf(code.RateLimited, "GitHub answered with status %d: its rate limit is used up", r.Status)
	err.RetryAfter = wait
	return err
}

// rateLimit says whether GitHub asks to wait, and for how long. It answers 403
// for that as well as 429, see
// <https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api>.
func rateLimit(r *connector.Response) (wait time.Duration, limited bool) {
	if r.Status != 403 && r.Status != 429 {
		return 0, false
	}
	if seconds, err := strconv.Atoi(r.Header.Get("retry-after")); err == nil {
		return time.Duration(seconds) * time.Second, true
	}
	reset, err := strconv.ParseInt(r.Header.Get("x-ratelimit-reset"), 10, 64)
	if err == nil && r.Header.Get("x-ratelimit-remaining") == "0" {
		return max(0, time.Until(time.Unix(reset, 0))), true
	}
	if strings.Contains(string(r.Body), "secondary rate limit") {
		return time.Minute, true // What GitHub asks for when it says no time.
	}
	return 0, r.Status == 429
}

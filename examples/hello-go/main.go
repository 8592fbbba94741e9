// Hello-go is a connector for GitHub: it counts the issues that are opened in
// each repository, and labels them with the tenant's token.
package main

import (
	"log/slog"
	"strconv"

	"github.com/cofferdam-run/cofferdam/sdk/go/connector"
)

var _ = connector.Define(hello())

func main() {} // Never runs: the host calls what Define defined.

// Config is what a tenant can configure.
type Config struct {
	Label  string `json:"label" title:"Label" doc:"The label that a new issue gets." default:"triage"`
	APIURL string `json:"api_url" title:"API URL" doc:"The base of GitHub's REST API; change it for GitHub Enterprise." format:"uri" default:"https://api.github.com"`
}

func hello() connector.Connector {
	const configured = "{config.api_url}"
	return connector.Connector{
		Name:        "hello-go",
		Version:     "0.1.0",
		Title:       "Hello, GitHub",
		Description: "Counts and labels issues.",
		Config:      Config{},
		Connections: []connector.Connection{{
			Name: "github", Title: "GitHub", Type: connector.Bearer, Hosts: []string{"api.github.com", configured},
		}},
		Egress: []connector.Egress{
			{Host: "api.github.com", Methods: []string{"GET", "POST"}},
			{Host: configured, Methods: []string{"GET", "POST"}},
		},
		Actions: []connector.Action{{
			Name: "label", Title: "Label an issue", Idempotent: true, Run: connector.Func(label),
		}},
		Webhooks: []connector.Webhook{{
			Name: "issues", Title: "Issues", Scheme: "github", Run: onIssues,
		}},
		Test: test,
	}
}

// IssuesEvent is the part of GitHub's payload that matters here, see
// <https://docs.github.com/webhooks/webhook-events-and-payloads#issues>.
type IssuesEvent struct {
	Action string `json:"action"`
	Issue  struct {
		Number int    `json:"number"`
		Title  string `json:"title"`
	} `json:"issue"`
	Repository struct {
		FullName string `json:"full_name"`
	} `json:"repository"`
}

// Labelled is the record that is emitted for an issue, and the webhook's output.
type Labelled struct {
	Repo  string `json:"repo"`
	Issue int    `json:"issue"`
	Label string `json:"label"`
	// Count is how many issues of the repository were opened so far.
	Count int64 `json:"count"`
}

func onIssues(ctx *connector.Context, d connector.Delivery) (any, error) {
	var event IssuesEvent
	if err := d.Decode(&event); err != nil {
		return nil, err
	}
	if event.Action != "opened" {
		ctx.Log.Debug("nothing to do", slog.String("action", event.Action))
		return nil, nil
	}
	var config Config
	if err := ctx.Config(&config); err != nil {
		return nil, err
	}
	repo, number := event.Repository.FullName, event.Issue.Number
	if err := tag(ctx, repo, number); err != nil {
		return nil, err
	}
	count, err := ctx.State.Add("issues/"+repo, 1)
	if err != nil {
		return nil, err
	}
	if _, err := label(ctx, LabelInput{Repo: repo, Number: number, Label: config.Label}); err != nil {
		return nil, err
	}
	done := Labelled{Repo: repo, Issue: number, Label: config.Label, Count: count}
	ctx.Log.Info("labelled", slog.String("repo", repo), slog.Int("issue", number), slog.Int64("count", count))
	return done, ctx.Emit("issue.labelled", repo+"#"+strconv.Itoa(number), done)
}

// tag makes the execution findable by repo=owner/name and issue=n.
func tag(ctx *connector.Context, repo string, number int) error {
	if err := ctx.Tag("repo", repo); err != nil {
		return err
	}
	return ctx.Tag("issue", strconv.Itoa(number))
}

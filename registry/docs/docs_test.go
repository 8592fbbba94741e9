package docs_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdam-run/cofferdam/registry/docs"
	"github.com/cofferdam-run/cofferdam/registry/manifest"
)

var update = flag.Bool("update", false, "write testdata/*.md anew")

func parse(t *testing.T, document string) manifest.Manifest {
	t.Helper()
	m, err := manifest.Parse([]byte(document))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func markdown(t *testing.T, m manifest.Manifest) string {
	t.Helper()
	page, err := docs.Markdown(m)
	if err != nil {
		t.Fatal(err)
	}
	return page
}

func TestThePageIsTheGoldenOne(t *testing.T) {
	t.Parallel()
	document, err := os.ReadFile("testdata/shop.json")
	if err != nil {
		t.Fatal(err)
	}
	const golden = "testdata/shop.md"
	got := markdown(t, parse(t, string(document)))
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); diff != "" {
		t.Errorf("the page has changed; if that is meant, run go test -update (-was +is):\n%s", diff)
	}
}

func TestAConnectorOfNothingHasAPage(t *testing.T) {
	t.Parallel()
	got := markdown(t, parse(t, `{"name":"empty","version":"1.0.0"}`))
	for _, want := range []string{"# empty\n", "cofferdam install empty --tenant acme\n", "It talks to nobody.", "Every request only reads", "operator's defaults"} {
		if !strings.Contains(got, want) {
			t.Errorf("there is no %q in:\n%s", want, got)
		}
	}
	for _, never := range []string{"## Connections", "## Configuration", "## Actions", "## Webhooks", "## Polls", "installation test", "%!"} {
		if strings.Contains(got, never) {
			t.Errorf("there is %q in:\n%s", never, got)
		}
	}
}

// An action's input of one property shows how the property is described.
func TestEachKindOfValueHasItsWords(t *testing.T) {
	t.Parallel()
	for schema, want := range map[string]string{
		`{}`:                              "anything",
		`true`:                            "anything",
		`false`:                           "nothing",
		`{"type":"boolean"}`:              "boolean",
		`{"type":"integer"}`:              "integer",
		`{"type":"number","minimum":0}`:   "number, at least 0",
		`{"type":"number","maximum":1e3}`: "number, at most 1e3",
		`{"type":"integer","minimum":5,"maximum":5}`:                 "integer, 5",
		`{"type":"string","minLength":0}`:                            "string",
		`{"type":"string","minLength":1}`:                            "string, not empty",
		`{"type":"string","format":"uuid"}`:                          "UUID",
		`{"type":"string","format":"regex"}`:                         "string",
		`{"type":"string","contentEncoding":"base64"}`:               "base64",
		`{"type":"string","pattern":"^a\\/b$"}`:                      "string, matching `^a/b$`",
		"{\"type\":\"string\",\"pattern\":\"`\"}":                    "string, matching `` ` ``",
		`{"enum":["a",1,null]}`:                                      "`a`, `1` or `null`",
		`{"enum":["a"]}`:                                             "`a`",
		`{"const":false}`:                                            "`false`",
		`{"type":["integer","null"]}`:                                "integer, or null",
		`{"type":"array"}`:                                           "list",
		`{"type":"array","items":{"type":"string"},"maxItems":3}`:    "list of strings, at most 3",
		`{"type":"array","items":{"type":"string","maxLength":9}}`:   "list of strings, at most 9 characters",
		`{"type":"array","items":{"type":"array","items":{}}}`:       "list of lists of anything",
		`{"type":"object"}`:                                          "object",
		`{"type":"object","additionalProperties":{"type":"number"}}`: "map to numbers",
		`{"type":"object","additionalProperties":false}`:             "object",
		`{"oneOf":[{"type":"null"},{"type":"string"}]}`:              "null, or string",
		`{"anyOf":[{"type":"string"},{"type":"string"}]}`:            "string",
		`{"$ref":"#/$defs/none"}`:                                    "anything",
	} {
		input := `{"type":"object","properties":{"x":` + schema + `}}`
		got := markdown(t, manifest.Manifest{Name: "p", Version: "1.0.0", Actions: []manifest.Action{{Name: "a", Input: json.RawMessage(input)}}})
		_, got, _ = strings.Cut(got, "| `x` | ")
		got, _, _ = strings.Cut(got, " |")
		if got != want {
			t.Errorf("%s: got %q, want %q", schema, got, want)
		}
	}
}

// What nests for ever is shown as far as people read.
func TestConnectionsThatSignSaySo(t *testing.T) {
	t.Parallel()
	page := markdown(t, parse(t, `{"name":"a","version":"1.0.0","connections":[
		{"name":"app","type":"private_key","hosts":["a.example"],"sign":["RS256","EdDSA"]},
		{"name":"body","type":"hmac","header":"X-Signature","hosts":["a.example"]},
		{"name":"bucket","type":"aws_sigv4","hosts":["a.example"]}]}`))
	for _, want := range []string{
		"The connector has things signed with it, by `RS256` and `EdDSA`.",
		`echo "$PEM" | cofferdam connection create app --type private_key --host a.example --tenant acme`,
		`echo "$KEY" | cofferdam connection create body --type hmac --header X-Signature --host a.example --tenant acme`,
		`echo "$JSON" | cofferdam connection create bucket --type aws_sigv4 --host a.example --tenant acme`,
	} {
		if !strings.Contains(page, want) {
			t.Errorf("got %s, want %s in it", page, want)
		}
	}
	if strings.Count(page, "has things signed") != 1 {
		t.Errorf("what signs nothing says that it does: %s", page)
	}
}

func TestAccountsThatAreAgreedToSaySo(t *testing.T) {
	t.Parallel()
	page := markdown(t, parse(t, `{"name":"a","version":"1.0.0","connections":[
		{"name":"crm","type":"oauth2","provider":"acme","scopes":["read","write"],"fields":{"type":"object","properties":{"portal":{"type":"string"}}}},
		{"name":"files","type":"oauth2","provider":"acme","hosts":["files.acme.example"]}]}`))
	for _, want := range []string{
		"An account at the provider `acme`, whose user agrees by OAuth", "sent to the hosts of `acme` alone.", "The connector needs these scopes: `read` and `write`.", "`portal`",
		"sent to `files.acme.example` alone.",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("got %s, want %s in it", page, want)
		}
	}
	if strings.Contains(page, "connection create") {
		t.Errorf("what a user agrees to is not entered: %s", page)
	}
}

func TestProvidersOfItsOwnAreShownWithWhereSecretsGo(t *testing.T) {
	t.Parallel()
	page := markdown(t, manifest.Manifest{
		Name: "acme-crm", Version: "1.0.0", Connections: []manifest.Connection{{Name: "crm", Type: "oauth2", Provider: "acme"}},
		Providers: []json.RawMessage{json.RawMessage(`{"name":"acme","title":"Acme <b>","docs":["https://acme.example/oauth"],"hosts":["api.acme.example"],
			"authorization_endpoint":"https://acme.example/authorize","token_endpoint":"https://id.acme.example/token"}`)},
	})
	for _, want := range []string{
		"### Provider `acme`: Acme &lt;b>", "| The app's secret, codes and refresh tokens | `acme.example` and `id.acme.example` |", "| Access tokens | `api.acme.example` |",
		"oauth-app create acme --plugin acme-crm --provider acme --client-id ID", "from `https://acme.example/oauth`.",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("got %s, want %s in it", page, want)
		}
	}
}

func TestRecursionEnds(t *testing.T) {
	t.Parallel()
	tree := json.RawMessage(`{"$ref":"#/$defs/t","$defs":{"t":{"type":"object","required":["l"],"properties":{"l":{"$ref":"#/$defs/t"}}}}}`)
	loop := json.RawMessage(`{"$ref":"#/$defs/a","$defs":{"a":{"$ref":"#/$defs/b"},"b":{"$ref":"#/$defs/a"}}}`)
	got := markdown(t, manifest.Manifest{Name: "p", Version: "1.0.0", Actions: []manifest.Action{{Name: "a", Input: tree, Output: loop}}})
	if !strings.Contains(got, "| `l.l.l.l` |") || strings.Contains(got, "l.l.l.l.l") {
		t.Errorf("got:\n%s", got)
	}
}

// A manifest is a stranger's: nothing in it becomes HTML, or leaves its cell.
func TestTextsStayTexts(t *testing.T) {
	t.Parallel()
	const evil = "a | b\n\n# c <img src=x onerror=alert(1)> `<d>` <https://e.test>"
	schema := json.RawMessage(fmt.Sprintf(`{"type":"object","properties":{"x":{"type":"string","description":%q}}}`, evil))
	got := markdown(t, manifest.Manifest{
		Name: "p", Version: "1.0.0", Title: "<b>", Description: evil, Config: schema,
		Actions:  []manifest.Action{{Name: "a", Title: evil, Input: schema, Output: schema}},
		Webhooks: []manifest.Webhook{{Name: "w", Title: evil, Scheme: "github"}},
	})
	if strings.Contains(got, "<img") || strings.Contains(got, "# <b>") {
		t.Errorf("there is HTML in:\n%s", got)
	}
	if want := "| `x` | string |  | a \\| b # c &lt;img src=x onerror=alert(1)> `<d>` <https://e.test>. |"; !strings.Contains(got, want) {
		t.Errorf("there is no %q in:\n%s", want, got)
	}
}

func TestASchemaThatIsNoneIsNamed(t *testing.T) {
	t.Parallel()
	bad := json.RawMessage(`{"properties":[]}`)
	for want, m := range map[string]manifest.Manifest{
		"the configuration": {Config: bad},
		`action "a"`:        {Actions: []manifest.Action{{Name: "a", Output: bad}}},
		`connection "c"`:    {Connections: []manifest.Connection{{Name: "c", Fields: bad}}},
	} {
		if _, err := docs.Markdown(m); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s in it", err, want)
		}
	}
}

func ExampleMarkdown() {
	page, err := docs.Markdown(manifest.Manifest{Name: "hello", Version: "0.1.0", Title: "Hello", Description: "Says hello."})
	if err != nil {
		fmt.Println(err)
		return
	}
	title, _, _ := strings.Cut(page, "\n")
	fmt.Println(title)
	// Output: # Hello
}

package provider_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdam-run/cofferdam/host/document"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/oauth/provider"
)

// small is a descriptor with nothing but what has to be there, and a variable.
const small = `{
	"name": "acme", "title": "Acme", "docs": ["https://acme.example/oauth"],
	"authorization_endpoint": "https://{shop}.acme.example/authorize",
	"token_endpoint": "https://{shop}.acme.example/token",
	"hosts": ["{shop}.acme.example"],
	"variables": {"shop": {"title": "Shop", "example": "north", "pattern": "^[a-z]+$"}}
}`

func TestParseFillsInTheStandardsDefaults(t *testing.T) {
	t.Parallel()
	got, err := provider.Parse("acme.json", []byte(small))
	if err != nil {
		t.Fatal(err)
	}
	want := provider.Provider{
		Name: "acme", Title: "Acme", Docs: []string{"https://acme.example/oauth"}, Grant: []string{"authorization_code"},
		AuthorizationEndpoint: "https://{shop}.acme.example/authorize", TokenEndpoint: "https://{shop}.acme.example/token", RefreshEndpoint: "https://{shop}.acme.example/token",
		Hosts: []string{"{shop}.acme.example"}, Variables: map[string]provider.Variable{"shop": {Title: "Shop", Example: "north", Pattern: "^[a-z]+$", From: "input", Kind: "label", Of: "account"}},
		Scopes: provider.ScopeRules{Separator: " ", ResponseSeparator: " ", Parameter: "scope"}, PKCE: "S256",
		TokenAuth: "client_secret_basic", TokenBody: "form", TokenMethod: "POST",
		Response: provider.Mapping{
			Format: "json", AccessToken: "/access_token", RefreshToken: "/refresh_token", ExpiresIn: "/expires_in", ExpiresUnit: "s",
			Scope: "/scope", Error: "/error", ErrorDescription: "/error_description",
		},
		Token:    provider.TokenUse{Header: "Authorization", Prefix: "Bearer "},
		Refresh:  provider.RefreshRules{GrantType: "refresh_token", Sends: "refresh_token", Method: "POST", Body: "form", TokenAuth: "client_secret_basic"},
		Callback: provider.CallbackRules{CodeParameter: "code"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestParseReadsWhatItWrites(t *testing.T) {
	t.Parallel()
	for _, p := range load(t).All() {
		data, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		again, err := provider.Parse(p.Name, data)
		if err != nil {
			t.Errorf("%s: %v\n%s", p.Name, err, data)
		}
		if diff := cmp.Diff(p, again); diff != "" {
			t.Errorf("%s: %s", p.Name, diff)
		}
	}
}

// TestParseSaysWhatToWrite changes one thing of a good descriptor at a time.
func TestParseSaysWhatToWrite(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, old, new, where, message string }{
		{"not JSON", `"hosts"`, `hosts`, "", "is not JSON: invalid character 'h'"},
		{"a list", small, `[]`, "", `is []: write an object in braces`},
		{"null", small, `null`, "", `is null: write an object in braces`},
		{"an unknown field", `"hosts"`, `"token_url": "x", "hosts"`, "/token_url", "is not a field of a descriptor: here it may be one of authorization_endpoint"},
		{"a field in capitals", `"title"`, `"Title"`, "/Title", "is not a field of a descriptor"},
		{"an unknown field of a variable", `"pattern"`, `"regex": "x", "pattern"`, "/variables/shop/regex", "here it may be one of anywhere, default, example"},
		{"a field twice", `"hosts"`, `"name": "b", "hosts"`, "/name", "is there twice: keep one"},
		{"a number for a text", `"Acme"`, `7`, "/title", "is 7: write a text in quotes"},
		{"a text for a list", `["https://acme.example/oauth"]`, `"x"`, "/docs", `is "x": write a list in brackets`},
		{"null for a list", `["https://acme.example/oauth"]`, `null`, "/docs", `is null: write a list in brackets`},
		{"a text for a number", `"hosts"`, `"refresh": {"idle_days": "60"}, "hosts"`, "/refresh/idle_days", `is "60": write a whole number`},
		{"a text for a flag", `"hosts"`, `"refresh": {"rotates": "yes"}, "hosts"`, "/refresh/rotates", `is "yes": write true or false`},
		{"no name", `"acme"`, `""`, "/name", `is "": write lower-case letters`},
		{"a name in capitals", `"acme"`, `"Acme"`, "/name", `is "Acme": write lower-case letters, digits and hyphens`},
		{"no title", `"Acme"`, `""`, "/title", "write the name that people know"},
		{"no source", `["https://acme.example/oauth"]`, `[]`, "/docs", "name at least one page"},
		{"a source without https", `"https://acme.example/oauth"`, `"http://acme.example"`, "/docs/0", "write the https URL of a page"},
		{"http", `"https://{shop}.acme.example/token"`, `"http://{shop}.acme.example/token"`, "/token_endpoint", "write a URL that begins with https://"},
		{"http to a name that begins as a loopback one", `"https://{shop}.acme.example/token"`, `"http://localhost.acme.example/token"`, "/token_endpoint", "for development, one that begins with http://127.0.0.1"},
		{"http to another port's user", `"https://{shop}.acme.example/token"`, `"http://127.0.0.1:80@acme.example/token"`, "/token_endpoint", "for development, one that begins with http://127.0.0.1"},
		{"http to a host of a person's choice", `"https://{shop}.acme.example/token"`, `"http://{shop}/token"`, "/token_endpoint", "for development, one that begins with http://127.0.0.1"},
		{"dots in the path on this machine", `"https://{shop}.acme.example/token"`, `"http://localhost/../token"`, "/token_endpoint", "becomes a URL with . or .. in its path"},
		{"a port", `acme.example/token"`, `acme.example:8443/token"`, "/token_endpoint", "without user, port or fragment"},
		{"a user", `"https://{shop}.acme.example/token"`, `"https://a@acme.example/token"`, "/token_endpoint", "without user, port or fragment"},
		{"a fragment", `example/token"`, `example/token#a"`, "/token_endpoint", "without user, port or fragment"},
		{"an address", `"https://{shop}.acme.example/token"`, `"https://127.0.0.1/token"`, "/token_endpoint", "is an address"},
		{"a host of one label", `"https://{shop}.acme.example/token"`, `"https://localhost/token"`, "/token_endpoint", "has no dot"},
		{"dots in the path", `example/token"`, `example/../token"`, "/token_endpoint", "becomes a URL with . or .. in its path"},
		{"a brace without its other", `{shop}.acme.example/token`, `{shop.acme.example/token`, "/token_endpoint", "has a brace without its other"},
		{"a brace in a brace", `{shop}.acme.example/token`, `{{shop}}.acme.example/token`, "/token_endpoint", "in braces: a variable's name has"},
		{"a variable that is not described", `{shop}.acme.example/token`, `{store}.acme.example/token`, "/token_endpoint", `"store" is not in variables: describe it there`},
		{"a domain of anybody's", `{shop}.acme.example/token`, `{shop}.com/token`, "/token_endpoint", "in which anybody can have a name"},
		{"a country's domain of anybody's", `{shop}.acme.example/token`, `{shop}.co.uk/token`, "/token_endpoint", "in which anybody can have a name"},
		{"a label that is the host", `{shop}.acme.example/token`, `{shop}/token`, "/token_endpoint", "a variable of kind host is a whole name"},
		{"a label at the end of a host", `{shop}.acme.example/token`, `acme.{shop}/token`, "/token_endpoint", "in which anybody can have a name"},
		{"a label that begins a URL", `https://{shop}.acme.example/token`, `{shop}/token`, "/token_endpoint", "is of kind label, and here may stand one of kind url"},
		{"no token endpoint", `"token_endpoint"`, `"revocation_endpoint"`, "/token_endpoint", "is missing: write where tokens are got, or an issuer"},
		{"no authorization endpoint", `"authorization_endpoint"`, `"revocation_endpoint"`, "/authorization_endpoint", "is missing: the grant authorization_code needs one"},
		{"no device endpoint", `"hosts"`, `"grant_types_supported": ["device_code"], "hosts"`, "/device_authorization_endpoint", "the grant device_code needs one"},
		{"no hosts", `["{shop}.acme.example"]`, `[]`, "/hosts", "name the hosts that the token may be sent to"},
		{"a URL for a host", `["{shop}.acme.example"]`, `["https://acme.example"]`, "/hosts/0", "write a host's name"},
		{"any host of a country", `["{shop}.acme.example"]`, `["*.co.uk"]`, "/hosts/0", "anybody can have a name"},
		{"any host", `["{shop}.acme.example"]`, `["*"]`, "/hosts/0", "write a host's name"},
		{"an unknown grant", `"hosts"`, `"grant_types_supported": ["password"], "hosts"`, "/grant_types_supported/0", `is "password": write authorization_code, client_credentials, device_code, jwt_bearer or token_exchange`},
		{"plain PKCE", `"hosts"`, `"pkce": "plain", "hosts"`, "/pkce", `is "plain": write S256, required or none`},
		{"an unknown method of the client's", `"hosts"`, `"token_endpoint_auth_method": "basic", "hosts"`, "/token_endpoint_auth_method", `is "basic": write client_secret_basic,`},
		{"a GET with a form", `"hosts"`, `"token_request_method": "GET", "hosts"`, "/token_request_body", "which has no body: write query"},
		{"an unknown unit", `"hosts"`, `"token_response": {"expires_unit": "minutes"}, "hosts"`, "/token_response/expires_unit", `is "minutes": write s, ms, absolute or none`},
		{"no pointer", `"hosts"`, `"token_response": {"access_token": "token"}, "hosts"`, "/token_response/access_token", `is "token": write a JSON pointer`},
		{"an error that is an object", `"hosts"`, `"token_response": {"error_when": {"/ok": {}}}, "hosts"`, "/token_response/error_when/~1ok", "write a text, a number, true or false"},
		{"a token in two places", `"hosts"`, `"token_use": {"header": "X", "query": "t"}, "hosts"`, "/token_use", "the token is sent in one of them"},
		{"days below zero", `"hosts"`, `"refresh": {"idle_days": -1}, "hosts"`, "/refresh/idle_days", "is -1: write a number above 0"},
		{"grace without rotation", `"hosts"`, `"refresh": {"grace_seconds": 9}, "hosts"`, "/refresh/grace_seconds", "set rotates too"},
		{"a parameter with an unknown variable", `"hosts"`, `"parameters": {"token": {"a": "{b}"}}, "hosts"`, "/parameters/token/a", `"b" is not in variables`},
		{"a header of two lines", `"hosts"`, `"token_request_headers": {"A": "b\r\nc"}, "hosts"`, "/token_request_headers/A", "not printable ASCII"},
		{"a rename to nothing", `"hosts"`, `"rename": {"client_id": ""}, "hosts"`, "/rename/client_id", "write the name that the provider has for it"},
		{"a variable named as a credential", `"variables": {`, `"variables": {"client_secret": {"title": "a", "example": "b"},`, "/variables/client_secret", "is no name of a variable"},
		{"a variable without a title", `"Shop"`, `""`, "/variables/shop/title", "write what people call it"},
		{"a variable without an example", `"north"`, `""`, "/variables/shop/example", "is empty"},
		{"an example that does not match", `"north"`, `"north1"`, "/variables/shop/example", "does not match ^[a-z]+$"},
		{"an example in capitals", `"north", "pattern": "^[a-z]+$"`, `"North"`, "/variables/shop/example", `write it as it is used, "north"`},
		{"a pattern without an anchor", `^[a-z]+$`, `[a-z]+`, "/variables/shop/pattern", "write a regular expression from ^ to $"},
		{"a pattern that ends in a dollar", `^[a-z]+$`, `^[a-z]+\\$`, "/variables/shop/pattern", "write a regular expression from ^ to $"},
		{"a pattern that is none", `^[a-z]+$`, `^[a-z+$`, "/variables/shop/pattern", "missing closing ]"},
		{"a pattern with a dot", `^[a-z]+$`, `^[a-z.]+$`, "/variables/shop/pattern", `which lets "a.b" be a label`},
		{"a pattern with anything", `^[a-z]+$`, `^.+$`, "/variables/shop/pattern", `which lets "a.b" be a label`},
		{"a pattern that takes nothing", `^[a-z]+$`, `^[a-z]*$`, "/variables/shop/pattern", `which lets "" be a label`},
		{"a pattern that leaves its group", `^[a-z]+$`, `^a)|(?:b$`, "/variables/shop/pattern", "unexpected )"},
		{"a pattern of two halves", `^[a-z]+$`, `^[a-z]+|/$`, "/variables/shop/pattern", ""},
		{"an unknown kind", `"pattern"`, `"kind": "domain", "pattern"`, "/variables/shop/kind", `is "domain": write label, host, url, path or text`},
		{"a label under a domain", `"pattern"`, `"under": ["acme.example"], "pattern"`, "/variables/shop/under", "a label is no host"},
		{"a host of nobody's", `"pattern"`, `"kind": "host", "pattern"`, "/variables/shop/under", "does not say where the host may be"},
		{"a host under a top-level domain", `"north", "pattern": "^[a-z]+$"`, `"a.com", "kind": "host", "under": ["com"]`, "/variables/shop/under/0", "write a domain that the vendor owns"},
		{"any host, from the callback", `"north", "pattern": "^[a-z]+$"`, `"a.com", "kind": "host", "anywhere": true, "from": "callback:host"`, "/variables/shop/anywhere", "only a person may name any host"},
		{"an unknown source", `"pattern"`, `"from": "cookie", "pattern"`, "/variables/shop/from", "write input, callback:NAME, token:/POINTER or lookup"},
		{"a source without a name", `"pattern"`, `"from": "callback:", "pattern"`, "/variables/shop/from", "write callback:NAME of a parameter"},
		{"a source that is no pointer", `"pattern"`, `"from": "token:shop", "pattern"`, "/variables/shop/from", "token:/POINTER of a place"},
		{"a lookup that is not there", `"pattern"`, `"from": "lookup", "pattern"`, "/variables/shop/from", "no lookup fills it"},
		{"a lookup of what is entered", `"hosts"`, `"lookups": [{"url": "https://acme.example", "variables": {"shop": "/a"}}], "hosts"`, "/variables/shop/from", "write lookup"},
		{"a lookup for nothing", `"hosts"`, `"lookups": [{"url": "https://acme.example"}], "hosts"`, "/lookups/0", "learns nothing"},
		{"a lookup by PUT", `"hosts"`, `"lookups": [{"url": "https://acme.example", "method": "PUT", "token_response": {"access_token": "/a"}}], "hosts"`, "/lookups/0/method", "write GET or POST"},
		{"a lookup of an unknown variable", `"hosts"`, `"lookups": [{"url": "https://acme.example", "variables": {"b": "/a"}}], "hosts"`, "/lookups/0/variables/b", "is not in variables"},
		{"a lookup of a token that is nowhere", `"hosts"`, `"lookups": [{"url": "https://acme.example", "token_response": {}}], "hosts"`, "/lookups/0/token_response/access_token", "write where the answer has the token"},
		{"a list without labels", `"hosts"`, `"lookups": [{"url": "https://acme.example", "items": "/a", "token_response": {"access_token": "/a"}}], "hosts"`, "/lookups/0/label", "a JSON pointer to what names one of them"},
		{"too much", `"Acme"`, `"` + strings.Repeat("a", document.MaxBytes) + `"`, "", "a descriptor has at most 65536"},
		{"not UTF-8", `"Acme"`, "\"\xff\"", "", "is not UTF-8"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if !strings.Contains(small, test.old) {
				t.Fatalf("the good descriptor has no %s", test.old)
			}
			_, err := provider.Parse("acme.json", []byte(strings.Replace(small, test.old, test.new, 1)))
			var f *fault.Error
			if test.message == "" {
				// Both halves of the pattern hold the whole value.
				if err != nil {
					t.Errorf("got %v", err)
				}
				return
			}
			if !errors.As(err, &f) {
				t.Fatalf("got %v", err)
			}
			if f.Class != fault.InvalidInput || f.Code != "provider_invalid" || !strings.HasPrefix(f.Message, "acme.json: ") || len(f.Message) > 1000 {
				t.Errorf("got %s %s %s", f.Class, f.Code, f.Message)
			}
			for _, p := range f.Problems {
				if p.Where == test.where && strings.Contains(p.Message, test.message) {
					return
				}
			}
			t.Errorf("got %v, want %s %s", f.Problems, test.where, test.message)
		})
	}
}

func TestParseListsAllProblems(t *testing.T) {
	t.Parallel()
	_, err := provider.Parse("acme.json", []byte(`{"name": "A", "a": 1, "b": 2, "title": 3}`))
	var f *fault.Error
	if !errors.As(err, &f) || len(f.Problems) != 3 || !strings.HasSuffix(f.Message, "(and 2 more)") {
		t.Errorf("got %v, %+v", err, f)
	}
}

func TestEachFileIsNamedAsItsProvider(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("data/*.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		p, err := provider.Parse(file, data)
		if err != nil {
			t.Error(err)
			continue
		}
		if got, want := p.Name+".json", filepath.Base(file); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		if len(data) > 4<<10 {
			t.Errorf("%s has %d bytes, want at most 4 KiB", file, len(data))
		}
	}
}

func TestASetTakesOtherFolders(t *testing.T) {
	t.Parallel()
	set, err := load(t).With("/etc/providers", fstest.MapFS{"acme.json": {Data: []byte(small)}, "readme.txt": {Data: []byte("x")}, "more/b.json": {Data: []byte("x")}})
	if err != nil {
		t.Fatal(err)
	}
	if p, err := set.Provider("acme"); err != nil || p.Title != "Acme" {
		t.Errorf("got %v, %v", p, err)
	}
	if _, err := load(t).Provider("acme"); err == nil {
		t.Error("the set that comes with the program has changed")
	}
}

func TestANameIsTakenOnce(t *testing.T) {
	t.Parallel()
	_, err := load(t).With("plugin orders", fstest.MapFS{"a.json": {Data: []byte(strings.Replace(small, `"acme"`, `"github"`, 1))}})
	var f *fault.Error
	if !errors.As(err, &f) || f.Class != fault.Conflict || f.Message != `plugin orders: a.json: /name is "github", which built in: github.json has` || !strings.Contains(f.Hint, `"github-custom"`) {
		t.Errorf("got %v, hint %q", err, f.Hint)
	}
}

func TestAFolderWithABadFileIsRefused(t *testing.T) {
	t.Parallel()
	_, err := provider.Set{}.With("here", fstest.MapFS{"a.json": {Data: []byte("{")}})
	if err == nil || !strings.Contains(err.Error(), "here: a.json: is not JSON: unexpected end of JSON input") {
		t.Errorf("got %v", err)
	}
}

func TestAnUnknownProviderNamesANearOne(t *testing.T) {
	t.Parallel()
	set := load(t)
	for name, hint := range map[string]string{
		"gihub": `Did you mean "github"?`, "Slack": `Did you mean "slack"?`, "salesforc": `Did you mean "salesforce"?`,
		"zzzzzzzz": "List all with: cofferdam provider list", "": "List all with: cofferdam provider list", strings.Repeat("x", 300): "List all with: cofferdam provider list",
	} {
		_, err := set.Provider(name)
		var f *fault.Error
		if !errors.As(err, &f) || f.Code != "provider_not_found" || f.Hint != hint || len(f.Message) > 200 {
			t.Errorf("%q: got %v, want the hint %s", name, f, hint)
		}
	}
}

func TestQuirksAreSaid(t *testing.T) {
	t.Parallel()
	tests := map[string][]string{
		"github": {
			"The token request has the client secret in its body.",
			"The error bad_refresh_token means invalid_grant.",
			"The response separates scopes by \",\".",
			"A token without a lifetime never expires.",
			"Refresh tokens rotate: each is good for one use.",
		},
		"fiserv-banking-hub": {"The token request has id and secret in HTTP Basic, without form encoding.", "The lifetime is in milliseconds."},
		"instagram":          {"Tokens are refreshed at another endpoint, https://graph.instagram.com/refresh_access_token.", "The refresh is a GET.", "There are no refresh tokens: the token is refreshed while it works."},
		"tiktok":             {"client_id is sent as client_key.", "Scopes are separated by \",\"."},
	}
	for name, want := range tests {
		got := named(t, name).Quirks()
		for _, sentence := range want {
			if !strings.Contains(strings.Join(got, "\n"), sentence) {
				t.Errorf("%s: got %q, want %q among them", name, got, sentence)
			}
		}
	}
	plain, err := provider.Parse("acme.json", []byte(small))
	if err != nil || len(plain.Quirks()) != 0 {
		t.Errorf("a standard one has %q, %v", plain.Quirks(), err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(small))
	f.Add([]byte(`{"variables":{"a":{"pattern":"^(("}}}`))
	files, err := filepath.Glob("data/*.json")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := provider.Parse("fuzz.json", data)
		if err != nil {
			return
		}
		again, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := provider.Parse("again.json", again); err != nil {
			t.Fatalf("what was read is not read again: %v\n%s", err, again)
		}
		values := map[string]string{}
		for name, v := range p.Variables {
			values[name] = v.Example
		}
		if _, err := p.Resolve(values); err != nil {
			t.Fatalf("its own examples are refused: %v\n%s", err, again)
		}
		p.Quirks()
	})
}

func TestQuirksThatNoBuiltInProviderHasAreSaid(t *testing.T) {
	t.Parallel()
	p := named(t, "slack")
	p.TokenHeaders = map[string]string{"Accept": "application/json"}
	p.Response.ErrorWhen = map[string]any{"/ok": false}
	got := p.Quirks()
	for _, want := range []string{
		"Token requests have the headers Accept=application/json.",
		"An answer in which /ok is false is an error, whatever its status.",
	} {
		if !strings.Contains(strings.Join(got, "\n"), want) {
			t.Errorf("got %q, want %q among them", got, want)
		}
	}
}

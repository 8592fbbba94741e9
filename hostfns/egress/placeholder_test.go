package egress_test

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdam-run/cofferdam/hostfns"
	"github.com/cofferdam-run/cofferdam/hostfns/egress"
	"github.com/cofferdam-run/cofferdam/runtime"
)

// parts are a credential, for the server of a bundle.
type parts struct {
	has  map[string]string
	host string
	// opened counts how often it was asked for.
	opened *int
}

// Apply implements egress.Credentials.
func (p parts) Apply(_ context.Context, _ string, r *http.Request) ([]string, error) {
	r.Header.Set("Authorization", "Bearer "+stolen)
	return []string{stolen}, nil
}

// Parts implements egress.Placeable.
func (p parts) Parts(_ context.Context, name string, r *http.Request) (map[string]string, error) {
	if p.opened != nil {
		*p.opened++
	}
	if name != "c" {
		return nil, fmt.Errorf("%w: grant it", egress.ErrNoConnection)
	}
	if r.URL.Host != p.host {
		return nil, fmt.Errorf("%w: it is for %s", egress.ErrHostNotAllowed, p.host)
	}
	return maps.Clone(p.has), nil
}

func allSlots() map[string]egress.Slots {
	return map[string]egress.Slots{"c": {
		Headers: []string{"X-Token", "Authorization"}, Query: []string{"sig"}, JSON: []string{"/auth/token", "/list/1", "/a~1b"}, Form: []string{"client_secret"},
	}}
}

// placing may use placeholders.
func (b testBundle) placing(p parts) *egress.Session {
	p.host = b.host
	return b.egress.Session(egress.Permissions{Rules: []egress.Rule{rule(b.host)}, Credentials: p, Slots: allSlots(), Pool: "ten_a"})
}

func TestPlaceholdersAreFilledInTheirSlots(t *testing.T) {
	t.Parallel()
	const secret = `a"b\c&d=e%f+g h/ü`
	var got *http.Request
	var body string
	b := setup(t, func(_ http.ResponseWriter, r *http.Request) {
		raw, _ := io.ReadAll(r.Body)
		got, body = r, string(raw)
	}, nil)
	s := b.placing(parts{has: map[string]string{"token": secret, "ascii": "Tok/en+1", "empty": ""}})
	ask := func(path string, request map[string]any) {
		t.Helper()
		must(t, s, with(request, map[string]any{"connection": "c", "url": "https://" + b.host + path}))
	}
	post := func(kind, body string) map[string]any {
		return map[string]any{"method": "POST", "body": body, "headers": map[string]any{"content-type": []string{kind}}}
	}
	equal := func(got, want string) {
		t.Helper()
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}

	ask("/", map[string]any{"method": "GET", "headers": map[string]any{
		"x-token": []string{"{{connection.ascii}}", "v1 {{connection.ascii}}:{{connection.ascii}}{{connection.empty}}"}, "authorization": []string{"Token {{connection.ascii}}"},
	}})
	equal(strings.Join(got.Header["X-Token"], ", "), "Tok/en+1, v1 Tok/en+1:Tok/en+1")
	equal(got.Header.Get("Authorization"), "Token Tok/en+1") // And no other one.

	ask("/?a=%41&sig={{connection.token}}&sig=x%7B%7Bconnection.token%7D%7D&b", map[string]any{"method": "GET"})
	equal(got.URL.RawQuery, "a=%41&sig="+url.QueryEscape(secret)+"&sig=x"+url.QueryEscape(secret)+"&b")
	if len(got.Header["Authorization"]) > 0 {
		t.Error("the credential went to its usual place, too")
	}

	const document = ` {"auth": {"token" : "{{connection.token}}", "n":1.50}, "list":["é","v {{connection.token}}"],"a/b":"{{connection.empty}}"} `
	quoted, _ := json.Marshal(secret)
	for _, kind := range []string{"application/json", "application/vnd.api+json; charset=utf-8"} {
		ask("/", post(kind, document))
		equal(body, strings.NewReplacer("{{connection.token}}", strings.TrimSuffix(string(quoted[1:]), `"`), "{{connection.empty}}", "").Replace(document))
		var read struct{ Auth struct{ Token string } }
		if err := json.Unmarshal([]byte(body), &read); err != nil || read.Auth.Token != secret {
			t.Errorf("it reads as %q, %v", read.Auth.Token, err)
		}
		equal(got.Header.Get("Content-Length"), fmt.Sprint(len(body)))
	}

	ask("/", post("application/x-www-form-urlencoded", "grant_type=x&client_secret={{connection.token}}&y=%7e"))
	equal(body, "grant_type=x&client_secret="+url.QueryEscape(secret)+"&y=%7e")

	for _, text := range []string{"{{connection.token}}", `{"auth":{"token":"{{connection.token}}"}}`} {
		ask("/?sig={{connection.token}}", with(post("application/json", text), map[string]any{"literal": true}))
		equal(body, text)
		equal(got.URL.Query().Get("sig"), "{{connection.token}}")
		equal(got.Header.Get("Authorization"), "Bearer "+stolen)
	}
}

func TestPlaceholdersElsewhereAreRefused(t *testing.T) {
	t.Parallel()
	b := setup(t, func(http.ResponseWriter, *http.Request) { t.Error("it was sent") }, nil)
	const mark = "{{connection.token}}"
	headers := func(name, value string) map[string]any {
		return map[string]any{"headers": map[string]any{name: []string{value}}}
	}
	body := func(kind, text string) map[string]any {
		return with(headers("content-type", kind), map[string]any{"body": text})
	}
	const deep = 100
	tests := map[string]struct {
		request map[string]any
		path    string
		want    string
	}{
		"another header":          {headers("x-other", "a "+mark), "", `the header "x-other" has a placeholder, and is no slot of the connection "c": the manifest would have to name it under its "slots"."headers", which has X-Token, Authorization`},
		"a header's other name":   {headers("x_token", mark), "", `"x_token"`},
		"the agent":               {headers("user-agent", mark), "", `"user-agent"`},
		"an escaped header":       {headers("x-other", "%7B%7Bconnection.token}}"), "", `"x-other"`},
		"another parameter":       {nil, "/?a=1&q=" + mark, `the query parameter "q" has a placeholder`},
		"a parameter's name":      {nil, "/?" + mark + "=1", "in the name of a query parameter"},
		"an escaped parameter":    {nil, "/?q=%7b%7bconnection.token%7d%7d", `the query parameter "q"`},
		"the path":                {nil, "/" + mark, "in the path"},
		"the path, escaped":       {nil, "/%7B%7Bconnection.token%7D%7D", "in the path"},
		"the path, escaped twice": {nil, "/%257B%257Bconnection.token%257D%257D", "in the path"},
		"the key":                 {map[string]any{"idempotency_key": "a" + mark}, "", `"idempotency_key" is there`},
		"another JSON field":      {body("application/json", `{"auth":{"other":"`+mark+`"}}`), "", `the JSON field "/auth/other" has a placeholder`},
		"an element":              {body("application/json", `{"list":["`+mark+`","x"]}`), "", `"/list/0"`},
		"all of the document":     {body("application/json", `"`+mark+`"`), "", `the JSON field ""`},
		"a look-alike of a path":  {body("application/json", `{"auth/token":"`+mark+`"}`), "", `"/auth~1token"`},
		"a member's name":         {body("application/json", `{"`+mark+`":1}`), "", "in the name of a member"},
		"no JSON":                 {body("application/json", `{"auth":"`+mark), "", "that is not JSON"},
		"two documents":           {body("application/json", `{"auth":{"token":"`+mark+`"}} {}`), "", "that is not JSON"},
		"deep":                    {body("application/json", strings.Repeat("[", deep)+`"`+mark+`"`+strings.Repeat("]", deep)), "", "64 levels"},
		"another form field":      {body("application/x-www-form-urlencoded", "x="+url.QueryEscape(mark)), "", `the form field "x"`},
		"text":                    {body("text/plain", "a "+mark), "", "neither JSON nor a form"},
		"no content-type":         {map[string]any{"body": `{"auth":{"token":"` + mark + `"}}`}, "", "neither JSON nor a form"},
		"capitals":                {headers("x-token", "{{connection.Token}}"), "", "a placeholder is like {{connection.token}}"},
		"blanks":                  {headers("x-token", "{{connection.token }}"), "", "a placeholder is like"},
		"an open end":             {headers("x-token", "{{connection.token"), "", "a placeholder is like"},
		"one in the other":        {headers("x-token", "{{connection.{{connection.token}}}}"), "", "a placeholder is like"},
		"no such part":            {headers("x-token", "{{connection.password}}"), "", `has no "password": it has broken and token`},
		"no header's character":   {headers("x-token", "{{connection.broken}}"), "", "a character that a header cannot carry"},
		"no connection":           {with(headers("x-token", mark), map[string]any{"connection": ""}), "", "no connection whose credential"},
		"another connection":      {with(headers("x-token", mark), map[string]any{"connection": "d"}), "", `is no slot of the connection "d"`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			opened := 0
			s := b.placing(parts{has: map[string]string{"token": stolen, "broken": "a\r\nX-Other: b"}, opened: &opened})
			request := with(map[string]any{"connection": "c", "method": "POST", "url": "https://" + b.host + tt.path}, tt.request)
			wantError(t, s, request, hostfns.CodeInvalidRequest, tt.want)
			if sealed := name != "no such part" && name != "no header's character"; sealed != (opened == 0) {
				t.Errorf("the credential was opened %d times", opened)
			}
		})
	}
}

// A placeholder is filled for the hosts in the connection and in the grant, over TLS,
// and by hosts that can.
func TestPlaceholdersStayWithTheirHosts(t *testing.T) {
	t.Parallel()
	never := func(http.ResponseWriter, *http.Request) { t.Error("it was sent") }
	b, other := setup(t, never, nil), setup(t, never, nil)
	request := func(url string) map[string]any {
		return map[string]any{"connection": "c", "method": "GET", "url": url, "headers": map[string]any{"x-token": []string{"{{connection.token}}"}}}
	}
	full := parts{has: map[string]string{"token": stolen}, host: b.host}
	permissions := egress.Permissions{Rules: []egress.Rule{rule(b.host), rule(other.host), rule("127.0.0.1:80")}, Credentials: full, Slots: allSlots()}
	s := b.egress.Session(permissions)
	wantError(t, s, request("https://"+other.host), hostfns.CodeDenied, "the connection is not for this host")
	wantError(t, s, request("http://127.0.0.1:80"), hostfns.CodeDenied, "plain http, in which no placeholder is filled")
	wantError(t, s, request("https://ungranted.example"), hostfns.CodeDenied, "not granted")

	permissions.Credentials = credentials(bearer)
	wantError(t, b.egress.Session(permissions), request("https://"+b.host), hostfns.CodeDenied, "fills no placeholders")
	permissions.Credentials = nil
	wantError(t, b.egress.Session(permissions), request("https://"+b.host), hostfns.CodeNoConnection, "no connections")
	permissions.Credentials, permissions.Slots = full, map[string]egress.Slots{"d": {Headers: []string{"X-Token"}}}
	wantError(t, b.egress.Session(permissions), request("https://"+b.host), hostfns.CodeInvalidRequest, `"slots"."headers", which has none`)
	missing := request("https://" + b.host)
	missing["connection"] = "d"
	wantError(t, b.egress.Session(permissions), missing, hostfns.CodeNoConnection, "no such connection")
}

// Wherever a redirect leads, what was filled is not sent again, and what the server
// writes into a URL is not filled.
func TestRedirectsCarryNothingThatWasFilled(t *testing.T) {
	t.Parallel()
	var seen []string
	b := setup(t, func(w http.ResponseWriter, r *http.Request) {
		raw, _ := io.ReadAll(r.Body)
		if to := r.URL.Query().Get("to"); to != "" {
			location, _ := hex.DecodeString(to)
			w.Header()["Location"] = []string{string(location)}
			w.WriteHeader(int(r.URL.Query().Get("status")[2]-'0') + 300)
			return
		}
		seen = append(seen, fmt.Sprint(r.Method, r.URL, r.Header, string(raw)))
	}, nil)
	s := b.placing(parts{has: map[string]string{"token": stolen}})
	ask := func(method, status, to string) map[string]any {
		r := map[string]any{
			"connection": "c", "method": method, "url": "https://" + b.host + "/?status=" + status + "&sig={{connection.token}}&to=" + hex.EncodeToString([]byte(to)),
			"headers": map[string]any{"x-token": []string{"{{connection.token}}"}, "authorization": []string{"a {{connection.token}}"}, "content-type": []string{"application/json"}},
		}
		if method == "POST" {
			r["body"] = `{"auth":{"token":"{{connection.token}}"}}`
		}
		return r
	}
	for _, tt := range []struct{ method, status string }{{"GET", "301"}, {"GET", "302"}, {"GET", "303"}, {"GET", "307"}, {"GET", "308"}, {"POST", "301"}, {"POST", "302"}, {"POST", "303"}} {
		must(t, s, ask(tt.method, tt.status, "/next"))
	}
	if len(seen) != 8 {
		t.Fatalf("got %d requests after a redirect, want 8", len(seen))
	}
	for _, request := range seen {
		if strings.Contains(request, stolen) || strings.Contains(request, "connection.") || !strings.HasPrefix(request, "GET/next") {
			t.Errorf("got %s", request)
		}
	}
	for _, status := range []string{"307", "308"} {
		wantError(t, s, ask("POST", status, "/next"), hostfns.CodeDenied, "filled for the first URL alone")
	}
	for _, to := range []string{"/?sig={{connection.token}}", "/{{connection.token}}", "/?sig=%7B%7Bconnection.token%7D%7D"} {
		wantError(t, s, ask("GET", "302", to), hostfns.CodeDenied, "redirects to a URL with a placeholder")
	}
	wantError(t, s, ask("GET", "302", "https://evil.example/?t="+url.QueryEscape(stolen)), hostfns.CodeDenied, "with a credential in the URL")
}

// A secret that was filled in is taken out of whatever comes back, in each encoding and
// each place, from each slot; the trace has the placeholder.
func TestHTTPLetsNothingBackThatWasFilled(t *testing.T) {
	t.Parallel()
	all, in := echoes(), places()
	b := setup(t, func(w http.ResponseWriter, r *http.Request) {
		raw, _ := io.ReadAll(r.Body)
		values, _ := url.ParseQuery(string(raw))
		var doc struct{ Auth struct{ Token string } }
		_ = json.Unmarshal(raw, &doc)
		if got := r.Header.Get("X-Token") + r.URL.Query().Get("sig") + values.Get("client_secret") + doc.Auth.Token; got != stolen {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		in[r.Header.Get("X-Place")](w, all[r.Header.Get("X-Encoding")](stolen))
	}, nil)
	const mark = "{{connection.token}}"
	cases := 0
	for slot, fill := range map[string]func(headers map[string][]string) (query, body string){
		"header": func(h map[string][]string) (string, string) { h["X-Token"] = []string{mark}; return "", "" },
		"query":  func(map[string][]string) (string, string) { return "?sig=" + mark, "" },
		"json": func(h map[string][]string) (string, string) {
			h["Content-Type"] = []string{"application/json"}
			return "", `{"auth":{"token":"` + mark + `"}}`
		},
		"form": func(h map[string][]string) (string, string) {
			h["Content-Type"] = []string{"application/x-www-form-urlencoded"}
			return "", "client_secret=" + mark
		},
	} {
		for place := range in {
			for encoding, encode := range all {
				cases++
				t.Run(slot+" "+place+" "+encoding, func(t *testing.T) {
					t.Parallel()
					secrets := hostfns.NewRedactor()
					s := b.egress.Session(egress.Permissions{
						Rules: []egress.Rule{rule(b.host)}, Secrets: secrets, Slots: allSlots(),
						Credentials: parts{has: map[string]string{"token": stolen}, host: b.host},
					})
					gate := hostfns.NewGate(hostfns.GateConfig{Funcs: s.Funcs(), Secrets: secrets, Now: time.Now})
					headers := map[string][]string{"X-Place": {place}, "X-Encoding": {encoding}}
					query, body := fill(headers)
					doc, err := json.Marshal(map[string]any{"connection": "c", "method": "POST", "url": "https://" + b.host + "/" + query, "body": body, "headers": headers})
					if err != nil {
						t.Fatal(err)
					}
					answered, err := gate.Call(t.Context(), runtime.Crossing{Func: "http", Request: doc})
					var response struct{ Result answer }
					if json.Unmarshal(answered.Response, &response) != nil || response.Result.Status == http.StatusUnauthorized && place != "redirect, scheme" {
						t.Fatalf("got %s, %v", answered.Response, err)
					}
					seen := fmt.Sprintf("%s\n%v\n%v\n%v\n%v", answered.Response, err, gate.Steps(), response.Result.Headers, response.Result.text())
					for _, form := range []string{encode(stolen), stolen, strings.ToLower(stolen)} {
						if strings.Contains(seen, form) {
							t.Errorf("the guest or the trace saw %q: %s", form, seen)
						}
					}
					if !strings.Contains(seen, mark) {
						t.Errorf("the trace does not show what the guest wrote: %s", seen)
					}
				})
			}
		}
	}
	t.Logf("%d cases", cases)
}

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/sdk/go/connector"
	"github.com/cofferdam-run/cofferdam/sdk/go/connector/code"
	"github.com/cofferdam-run/cofferdam/sdk/go/connector/connectortest"
)

// api stands in for somebody's API: it remembers what came, and answers by URL.
type api struct {
	requests []string
	header   http.Header
	answers  map[string]answer
}

type answer struct {
	status int
	header map[string]string
	body   string
}

func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	a.requests = append(a.requests, strings.TrimSpace(r.Method+" "+r.URL.String()+" "+string(body)))
	a.header = r.Header
	given := a.answers[r.URL.RequestURI()]
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	for name, value := range given.header {
		w.Header().Set(name, value)
	}
	if given.status != 0 {
		w.WriteHeader(given.status)
	}
	io.WriteString(w, given.body)
}

const base = "https://api.example.com/v1"

// setup installs the connector with more configuration than the base URL, in JSON.
func setup(t *testing.T, answers map[string]answer, config string, connections ...string) (*connectortest.Host, *api) {
	t.Helper()
	all := map[string]any{"base_url": base}
	if config != "" {
		if err := json.Unmarshal([]byte(config), &all); err != nil {
			t.Fatal(err)
		}
	}
	if connections == nil {
		connections = []string{}
	}
	there := &api{answers: answers}
	return connectortest.New(t, generic(), connectortest.Options{Config: all, HTTP: there, Connections: connections}), there
}

// raw is JSON that is written out, for inputs.
func raw(document string) json.RawMessage { return json.RawMessage(document) }

func codeOf(t *testing.T, err error) *connector.Error {
	t.Helper()
	failed, ok := errors.AsType[*connector.Error](err)
	if !ok {
		t.Fatalf("got %v, want an error of the connector", err)
	}
	return failed
}

func TestRequestsAreMadeAsTheyAreAskedFor(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ input, want string }{
		"a path":               {`{"path":"/contacts"}`, "GET " + base + "/contacts"},
		"a query":              {`{"path":"/contacts","query":{"tag":["a","b c"],"n":9007199254740993,"all":true,"not":null}}`, "GET " + base + "/contacts?all=true&n=9007199254740993&tag=a&tag=b+c"},
		"a query of two":       {`{"path":"/contacts?a=1","query":{"b":2}}`, "GET " + base + "/contacts?a=1&b=2"},
		"a body of JSON":       {`{"method":"POST","path":"/contacts","json":{"id":9007199254740993}}`, "POST " + base + `/contacts {"id":9007199254740993}`},
		"JSON's null":          {`{"method":"PUT","path":"/flag","json":false}`, "PUT " + base + "/flag false"},
		"a body of text":       {`{"method":"PUT","path":"/note","text":"hello"}`, "PUT " + base + "/note hello"},
		"an empty text":        {`{"method":"PUT","path":"/note","text":""}`, "PUT " + base + "/note"},
		"a form":               {`{"method":"POST","path":"/token","form":{"b":"2 3","a":"1"}}`, "POST " + base + "/token a=1&b=2+3"},
		"what looks like user": {`{"path":"/@evil.example"}`, "GET " + base + "/@evil.example"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			host, there := setup(t, nil, "")
			if err := host.Action("request", raw(tt.input), nil); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(there.requests, []string{tt.want}) {
				t.Errorf("got %q, want %q", there.requests, tt.want)
			}
		})
	}
}

func TestHeadersOfTheRequestComeBeforeThoseOfTheConfiguration(t *testing.T) {
	t.Parallel()
	host, there := setup(t, nil, `{"headers":{"X-Team":"blue","Accept":"text/csv"}}`)
	if err := host.Action("request", raw(`{"method":"PUT","path":"/x","text":"<a/>","headers":{"x-team":"red","content-type":"text/xml"}}`), nil); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"X-Team": "red", "Accept": "text/csv", "Content-Type": "text/xml", "User-Agent": "cofferdam-http"} {
		if got := there.header.Get(name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}

func TestTheOneConnectionIsUsed(t *testing.T) {
	t.Parallel()
	secret := connectortest.Credential
	for connection, want := range map[string]func(h http.Header, url string) bool{
		"bearer":    func(h http.Header, _ string) bool { return h.Get("Authorization") == "Bearer "+secret("bearer") },
		"basic":     func(h http.Header, _ string) bool { return strings.HasPrefix(h.Get("Authorization"), "Basic ") },
		"api_key":   func(h http.Header, _ string) bool { return h.Get("X-Api-Key") == secret("api_key") },
		"query_key": func(_ http.Header, url string) bool { return strings.HasSuffix(url, "?api_key="+secret("query_key")) },
	} {
		t.Run(connection, func(t *testing.T) {
			t.Parallel()
			host, there := setup(t, nil, "", connection)
			if err := host.Action("request", raw(`{"path":"/me"}`), nil); err != nil {
				t.Fatal(err)
			}
			if !want(there.header, there.requests[0]) {
				t.Errorf("the credential is missing: %v %v", there.requests, there.header)
			}
		})
	}
	host, _ := setup(t, nil, "", "bearer", "basic")
	if got := codeOf(t, host.Action("request", raw(`{"path":"/me"}`), nil)); got.Code != code.InvalidInput || !strings.Contains(got.Message, "basic and bearer") {
		t.Errorf("two connections: got %v", got)
	}
}

func TestWhatLeadsElsewhereIsRefused(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ config, input, want string }{
		"no slash":         {"", `{"path":"@evil.example/"}`, "does not begin with a slash"},
		"a whole URL":      {"", `{"path":"https://evil.example/"}`, "does not begin with a slash"},
		"out of the base":  {"", `{"path":"/../admin"}`, "leads out of the base URL"},
		"a fragment":       {"", `{"path":"/a#b"}`, "write %23"},
		"two bodies":       {"", `{"path":"/a","method":"POST","json":{},"text":""}`, "one body"},
		"a base in pieces": {`{"base_url":"https://api.example.com/v1?x="}`, `{"path":"/a"}`, "without ? and #"},
		"a base of a path": {`{"base_url":"/v1"}`, `{"path":"/a"}`, "a URL with a host"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			host, there := setup(t, nil, tt.config)
			got := codeOf(t, host.Action("request", raw(tt.input), nil))
			if got.Code != code.InvalidInput || !strings.Contains(got.Message, tt.want) {
				t.Errorf("got %v, want %q", got, tt.want)
			}
			if len(there.requests) > 0 {
				t.Errorf("somebody was asked: %v", there.requests)
			}
		})
	}
}

func TestAnAnswerKeepsItsForm(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		answer answer
		want   string
	}{
		"JSON":           {answer{body: `{"id": 9007199254740993}`}, `"json":{"id":9007199254740993}`},
		"a text":         {answer{header: map[string]string{"Content-Type": "text/plain"}, body: "{"}, `"text":"{"`},
		"JSON that lies": {answer{body: `<html>`}, `"text":"\u003chtml\u003e"`},
		"bytes":          {answer{header: map[string]string{"Content-Type": "image/png"}, body: "\x89PNG"}, `"base64":"iVBORw=="`},
		"nothing":        {answer{status: 204}, `{"status":204,"headers":{"content-type":"application/json; charset=utf-8"}}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			host, _ := setup(t, map[string]answer{"/v1/x": tt.answer}, "")
			var got json.RawMessage
			if err := host.Action("request", raw(`{"path":"/x"}`), &got); err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(string(got), tt.want) {
				t.Errorf("got %s, want %s in it", got, tt.want)
			}
		})
	}
}

func TestAStatusSaysWhatFollows(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		answer answer
		accept string
		want   code.Code
		wait   time.Duration
	}{
		"not allowed":         {answer{status: 401}, "", code.Auth, 0},
		"not allowed that":    {answer{status: 403}, "", code.Auth, 0},
		"not there":           {answer{status: 404}, "", code.InvalidInput, 0},
		"not there, accepted": {answer{status: 404, body: "{}"}, `,"accept":[404,409]`, "", 0},
		"a conflict":          {answer{status: 409}, `,"accept":[404]`, code.InvalidInput, 0},
		"wrong":               {answer{status: 422, body: `{"error":"email is taken"}`}, "", code.InvalidInput, 0},
		"too early":           {answer{status: 425}, "", code.RateLimited, 0},
		"too many":            {answer{status: 429, header: map[string]string{"Retry-After": "7"}}, "", code.RateLimited, 7 * time.Second},
		"down":                {answer{status: 503, header: map[string]string{"Retry-After": "30"}}, "", code.UpstreamUnavailable, 30 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			host, _ := setup(t, map[string]answer{"/v1/x": tt.answer}, "")
			err := host.Action("request", raw(`{"path":"/x"`+tt.accept+`}`), nil)
			if tt.want == "" {
				if err != nil {
					t.Errorf("got %v, want an answer", err)
				}
				return
			}
			got := codeOf(t, err)
			if got.Code != tt.want || got.RetryAfter != tt.wait || !strings.Contains(got.Message, fmt.Sprint(tt.answer.status)) || !strings.Contains(got.Message, tt.answer.body) {
				t.Errorf("got %v after %s, want %s after %s", got, got.RetryAfter, tt.want, tt.wait)
			}
		})
	}
}

func TestListsAreFollowedToTheirEnd(t *testing.T) {
	t.Parallel()
	link := func(target string) map[string]string {
		return map[string]string{"Link": `<https://api.example.com/v1/c?page=0>; rel="prev", <` + target + `>; rel="next last"`}
	}
	for name, tt := range map[string]struct {
		input   string
		answers map[string]answer
	}{
		"that is all":       {`{"path":"/c"}`, map[string]answer{"/v1/c": {body: `[1,2,3]`}}},
		"deep in an answer": {`{"path":"/c","items":"/data/a~1b"}`, map[string]answer{"/v1/c": {body: `{"data":{"a/b":[1,2,3]}}`}}},
		"by links": {`{"path":"/c","paging":{"style":"link"}}`, map[string]answer{
			"/v1/c": {body: `[1,2]`, header: link(base + "/c?page=2")}, "/v1/c?page=2": {body: `[3]`},
		}},
		"by links of a path": {`{"path":"/c","paging":{"style":"link"}}`, map[string]answer{
			"/v1/c": {body: `[1,2]`, header: link("/v1/c?page=2")}, "/v1/c?page=2": {body: `[3]`, header: link("?page=3")}, "/v1/c?page=3": {body: `[]`},
		}},
		"by URLs": {`{"path":"/c","items":"/d","paging":{"style":"url","next":"/next"}}`, map[string]answer{
			"/v1/c": {body: `{"d":[1,2],"next":"` + base + `/c/2"}`}, "/v1/c/2": {body: `{"d":[3],"next":null}`},
		}},
		"by cursors": {`{"path":"/c","items":"/d","query":{"n":2},"paging":{"style":"cursor","next":"/meta/next","param":"after"}}`, map[string]answer{
			"/v1/c?n=2": {body: `{"d":[1,2],"meta":{"next":"x y"}}`}, "/v1/c?after=x+y&n=2": {body: `{"d":[3],"meta":{"next":""}}`},
		}},
		"by pages": {`{"path":"/c","paging":{"style":"page"}}`, map[string]answer{
			"/v1/c?page=1": {body: `[1,2]`}, "/v1/c?page=2": {body: `[3]`}, "/v1/c?page=3": {body: `[]`},
		}},
		"by offsets": {`{"path":"/c","paging":{"style":"offset","param":"skip"}}`, map[string]answer{
			"/v1/c": {body: `[1,2]`}, "/v1/c?skip=2": {body: `[3]`}, "/v1/c?skip=3": {body: `[]`},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			host, there := setup(t, tt.answers, "")
			var got json.RawMessage
			if err := host.Action("list", raw(tt.input), &got); err != nil {
				t.Fatalf("%v after %q", err, there.requests)
			}
			if string(got) != `{"items":[1,2,3],"more":false}` || len(there.requests) != len(tt.answers) {
				t.Errorf("got %s after %q", got, there.requests)
			}
		})
	}
}

func TestAListEndsAtItsLimit(t *testing.T) {
	t.Parallel()
	answers := map[string]answer{"/v1/c?page=1": {body: `[1,2]`}, "/v1/c?page=2": {body: `[3,4]`}, "/v1/c?page=3": {body: `[]`}}
	for limit, want := range map[int]string{
		3: `{"items":[1,2,3],"more":true}`, 2: `{"items":[1,2],"more":true}`, 4: `{"items":[1,2,3,4],"more":true}`, 5: `{"items":[1,2,3,4],"more":false}`,
	} {
		host, _ := setup(t, answers, "")
		var got json.RawMessage
		if err := host.Action("list", raw(fmt.Sprintf(`{"path":"/c","limit":%d,"paging":{"style":"page"}}`, limit)), &got); err != nil || string(got) != want {
			t.Errorf("limit %d: got %s, %v, want %s", limit, got, err, want)
		}
	}
}

func TestAListThatIsNoneIsSaidSo(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		input, body string
		want        code.Code
		message     string
	}{
		"not there":        {`{"path":"/c","items":"/data"}`, `{}`, code.ContractChanged, `nothing at "/data"`},
		"null":             {`{"path":"/c","items":"/data"}`, `{"data":null}`, code.ContractChanged, `nothing at "/data"`},
		"an object":        {`{"path":"/c"}`, `{"data":[]}`, code.ContractChanged, "is no list"},
		"no JSON":          {`{"path":"/c"}`, `<html>`, code.ContractChanged, "decode the response"},
		"a pointer":        {`{"path":"/c","items":"data"}`, `{}`, code.InvalidInput, "begins with a slash"},
		"a next pointer":   {`{"path":"/c","paging":{"style":"url","next":"next"}}`, `[]`, code.InvalidInput, "begins with a slash"},
		"a next of nobody": {`{"path":"/c","items":"/d","paging":{"style":"url","next":"/next"}}`, `{"d":[1],"next":"https://evil.example/"}`, code.Denied, "evil.example"},
		"a next of junk":   {`{"path":"/c","items":"/d","paging":{"style":"url","next":"/next"}}`, `{"d":[1],"next":"ht tp://%"}`, code.ContractChanged, "is no URL"},
		"no limit":         {`{"path":"/c","limit":0}`, `[]`, code.InvalidInput, "begins at 1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			host, _ := setup(t, map[string]answer{"/v1/c": {body: tt.body}}, "")
			if got := codeOf(t, host.Action("list", raw(tt.input), nil)); got.Code != tt.want || !strings.Contains(got.Message, tt.message) {
				t.Errorf("got %v, want %s: %s", got, tt.want, tt.message)
			}
		})
	}
}

func TestThePollGoesOnFromItsCursor(t *testing.T) {
	t.Parallel()
	host, there := setup(t, map[string]answer{
		"/v1/c?sort=updated": {body: `{"d":[{"id":7,"at":"2026-01-02T00:00:00Z"},{"id":8,"at":"2026-01-01T00:00:00Z"}]}`},
		"/v1/c?since=2026-01-02T00%3A00%3A00Z&sort=updated": {body: `{"d":[{"id":7,"at":"2026-01-03T00:00:00Z"}]}`},
	}, `{"poll":{"path":"/c","query":{"sort":"updated"},"items":"/d","keys":["/id","/at"],"cursor":"/at","param":"since"}}`)
	first, err := host.Poll("list", nil)
	if err != nil {
		t.Fatal(err)
	}
	if first.Records[0].Key != "7@2026-01-02T00:00:00Z" || len(first.Records) != 2 || string(first.Cursor) != `{"since":"2026-01-02T00:00:00Z"}` {
		t.Errorf("first: got %v", first)
	}
	second, err := host.Poll("list", first.Cursor)
	if err != nil {
		t.Fatalf("%v after %q", err, there.requests)
	}
	if len(second.Records) != 1 || second.Records[0].Key != "7@2026-01-03T00:00:00Z" || string(second.Cursor) != `{"since":"2026-01-03T00:00:00Z"}` {
		t.Errorf("second: got %v", second)
	}
}

func TestCursorsOfManyDigitsStayExact(t *testing.T) {
	t.Parallel()
	host, _ := setup(t, map[string]answer{
		"/v1/c": {body: `[{"id":9007199254740993},{"id":9007199254740992},{"id":10}]`},
	}, `{"poll":{"path":"/c","cursor":"/id"}}`)
	page, err := host.Poll("list", nil)
	if err != nil || string(page.Cursor) != `{"since":9007199254740993}` || page.Records[0].Key != "9007199254740993" {
		t.Errorf("got %v, %v", page, err)
	}
}

func TestThePollSaysWhatIsMissing(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		config, body string
		want         code.Code
		message      string
	}{
		"a path":    {`{}`, `[]`, code.InvalidInput, "no poll.path"},
		"keys":      {`{"poll":{"path":"/c","keys":[]}}`, `[]`, code.InvalidInput, "poll.keys is empty"},
		"a key":     {`{"poll":{"path":"/c"}}`, `[{"name":"a"}]`, code.ContractChanged, `nothing at "/id"`},
		"a cursor":  {`{"poll":{"path":"/c","cursor":"/at"}}`, `[{"id":1}]`, code.ContractChanged, `item "1" has nothing at "/at"`},
		"a pointer": {`{"poll":{"path":"/c","cursor":"at"}}`, `[]`, code.InvalidInput, "begins with a slash"},
		"an end":    {`{"poll":{"path":"/c","items":"/d","paging":{"style":"url","next":"/n"}}}`, `{"d":[],"n":"/v1/c"}`, code.InvalidInput, "more than 100 pages"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			host, _ := setup(t, map[string]answer{"/v1/c": {body: tt.body}}, tt.config)
			_, err := host.Poll("list", nil)
			if got := codeOf(t, err); got.Code != tt.want || !strings.Contains(got.Message, tt.message) {
				t.Errorf("got %v, want %s: %s", got, tt.want, tt.message)
			}
		})
	}
}

func TestTheTestWantsACredentialThatIsKnown(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]code.Code{200: "", 404: "", 405: "", 401: code.Auth, 403: code.Auth, 502: code.UpstreamUnavailable} {
		host, there := setup(t, map[string]answer{"/v1/ping": {status: status}}, `{"test_path":"/ping"}`, "bearer")
		err := host.Test()
		if want == "" && err != nil || want != "" && codeOf(t, err).Code != want {
			t.Errorf("%d: got %v, want %q", status, err, want)
		}
		if len(there.requests) != 1 {
			t.Errorf("requests: %v", there.requests)
		}
	}
}

func TestWhatMayBeAskedTwiceIsAskedAgain(t *testing.T) {
	t.Parallel()
	for target, again := range map[string]bool{
		base + "/search":                  true,
		base + "/search?q=1":              true,
		base + "/contacts/upsert/7":       true,
		base + "/searching":               false,
		base + "/contacts":                false,
		"https://other.example/v1/search": false,
	} {
		host, there := setup(t, nil, `{"repeatable":["/search","/contacts/upsert/","/"]}`)
		got, err := host.Confirm(connector.Request{Method: "POST", URL: target}, time.Now())
		if err != nil || (got.Happened != nil) != again || again && *got.Happened {
			t.Errorf("%s: got %v, %v, want it asked again: %t", target, got.Happened, err, again)
		}
		if len(there.requests) > 0 {
			t.Errorf("somebody was asked: %v", there.requests)
		}
	}
}

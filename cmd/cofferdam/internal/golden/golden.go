// Package golden runs tests of a plugin that are written as JSON: what it is asked
// for, what the world outside answers, and what must come of it. They run in the
// sandbox with the gate of a server and no network.
//
//	{
//	  "about": "an opened issue is counted and labelled",
//	  "webhook": "issues",
//	  "fixture": "webhook.issues.opened.json",
//	  "config": {"label": "triage"},
//	  "state": {"issues/octo-org/lighthouse": 41},
//	  "http": [{
//	    "request": {"method": "POST", "url": "https://api.github.com/repos/octo-org/lighthouse/issues/42/labels", "body": {"labels": ["triage"]}},
//	    "response": {"status": 200, "body": [{"name": "triage"}]}
//	  }],
//	  "expect": {
//	    "output": {"repo": "octo-org/lighthouse", "issue": 42, "label": "triage", "count": 42},
//	    "state": {"issues/octo-org/lighthouse": 42}
//	  }
//	}
//
// What is asked for is one of action, webhook, verify, poll, test or export, with its input,
// body, cursor or a fixture. A verify is a webhook's of which the plugin decides itself whether
// a delivery is authentic; its output is the verdict. Requests are answered in the order in which they stand; one that is not
// there, or other than it is there, or not made, fails the test. Of a request only what is
// written is compared, so that a test may leave out the request, or its body. Of what
// is expected the same holds: without an error in it, the run must succeed.
//
// The world is the same for each run: the clock shows now and stands still but for
// sleeps, and random numbers come from the test's name.
package golden

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/cofferdam-run/cofferdam/cmd/cofferdam/internal/fixture"
	"github.com/cofferdam-run/cofferdam/host/connection"
	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/hostfns/replay"
)

const (
	// Folder is where a project has its tests.
	Folder = "tests"
	// Extension ends the name of a test's file.
	Extension = ".test.json"
	maxBytes  = 32 << 20
)

// Test is one test, as its file has it.
type Test struct {
	About string `json:"about,omitempty"`

	// One of these says what is asked for. Export is of a plain plugin.
	Action  string `json:"action,omitempty"`
	Webhook string `json:"webhook,omitempty"`
	Verify  string `json:"verify,omitempty"`
	Poll    string `json:"poll,omitempty"`
	Test    bool   `json:"test,omitempty"`
	Export  string `json:"export,omitempty"`

	// Fixture is a file in the folder fixtures, in place of Input, Body and Cursor.
	Fixture string            `json:"fixture,omitempty"`
	Input   fixture.Body      `json:"input,omitzero"`
	Body    fixture.Body      `json:"body,omitzero"`
	Cursor  json.RawMessage   `json:"cursor,omitempty"`
	Headers map[string]string `json:"headers,omitempty"`
	Query   string            `json:"query,omitempty"`
	// Secret is the endpoint's, for a Verify. Defaults to that of the fixture. Method and URL default to POST and
	// deliveryURL.
	Secret string `json:"secret,omitempty"`
	Method string `json:"method,omitempty"`
	URL    string `json:"url,omitempty"`

	Config json.RawMessage `json:"config,omitempty"`
	// Connections are the granted ones, with their fields that are not secret.
	// Defaults to all that the manifest has, without fields.
	Connections map[string]json.RawMessage `json:"connections,omitzero"`
	// Credentials are those of connections, for nothing but tests. Default to
	// trial.Throwaway, which is no secret.
	Credentials map[string]connection.Credential `json:"credentials,omitempty"`
	// State is what is stored before.
	State      map[string]json.RawMessage `json:"state,omitempty"`
	Checkpoint json.RawMessage            `json:"checkpoint,omitempty"`
	Attempt    int                        `json:"attempt,omitempty"`
	// Now defaults to 2026-01-02T03:04:05Z.
	Now time.Time `json:"now,omitzero"`

	HTTP []Exchange `json:"http,omitempty"`
	// Functions are the answers of a host app's own functions, in order.
	Functions []Answer `json:"functions,omitempty"`
	// Sign is what is signed, in order. What is nil is not compared.
	Sign []Signature `json:"sign,omitzero"`

	Expect Expect `json:"expect"`
}

// Exchange is a request and what is answered.
type Exchange struct {
	// Request is nil for whatever is asked.
	Request  *Request `json:"request,omitempty"`
	Response Response `json:"response"`
}

// Request is what must be asked; what is left out may be anything.
type Request struct {
	Method string `json:"method,omitempty"`
	URL    string `json:"url,omitempty"`
	// Connection is the one that the request must use; "none" for none.
	Connection string `json:"connection,omitempty"`
	// Headers are some of the request's.
	Headers map[string]string `json:"headers,omitempty"`
	Body    fixture.Body      `json:"body,omitzero"`
}

// UnmarshalJSON implements json.Unmarshaler: "POST https://..." is a request too.
func (r *Request) UnmarshalJSON(doc []byte) error {
	var line string
	if json.Unmarshal(doc, &line) == nil {
		method, url, ok := strings.Cut(line, " ")
		if !ok {
			return fmt.Errorf("the request %q is not a method, a space and a URL", line)
		}
		*r = Request{Method: method, URL: url}
		return nil
	}
	type plain Request
	return strict(doc, (*plain)(r))
}

// Response is what is answered.
type Response struct {
	// Status defaults to 200.
	Status  int               `json:"status,omitempty"`
	Headers map[string]string `json:"headers,omitempty"`
	Body    fixture.Body      `json:"body,omitzero"`
	// Error, instead of all else, is network or timeout: no answer comes.
	Error string `json:"error,omitempty"`
}

// Answer is the answer of a host app's function.
type Answer struct {
	Function string          `json:"function"`
	Request  json.RawMessage `json:"request,omitempty"`
	Result   json.RawMessage `json:"result,omitempty"`
	Error    *replay.Error   `json:"error,omitempty"`
}

// Expect is what must come of it. What is nil is not compared, but for Error.
type Expect struct {
	Output fixture.Body `json:"output,omitzero"`
	Error  *Error       `json:"error,omitempty"`
	// Records, Tags and State are what is left behind. State has the values after the
	// run of all keys that it wrote, and null for one that it deleted.
	Records *[]replay.Record           `json:"records,omitempty"`
	Tags    map[string][]string        `json:"tags,omitzero"`
	State   map[string]json.RawMessage `json:"state,omitzero"`
	// Logs are lines such as "info labelled {\"issue\":42}".
	Logs *[]string `json:"logs,omitempty"`
	// Waits is the checkpoint that the run ended with, and until when it waits.
	Waits *Waits `json:"waits,omitempty"`
}

// Error is how a run must fail. What is left out may be anything.
type Error struct {
	Code         string `json:"code,omitempty"`
	Message      string `json:"message,omitempty"`
	RetryAfterMS int64  `json:"retry_after_ms,omitempty"`
}

// Waits is a wait with a checkpoint.
type Waits struct {
	Until      time.Time       `json:"until,omitzero"`
	Checkpoint json.RawMessage `json:"checkpoint,omitempty"`
}

// Files finds the tests of a project, sorted.
func Files(project string) ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(project, Folder))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("find tests: %w", err)
	}
	var files []string
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), Extension) {
			files = append(files, filepath.Join(project, Folder, e.Name()))
		}
	}
	return files, nil
}

// Read reads a test. Its error says what is wrong with the file.
func Read(path string) (Test, error) {
	info, err := os.Stat(path)
	if err != nil {
		return Test{}, fmt.Errorf("read test: %w", err)
	}
	if info.Size() > maxBytes {
		return Test{}, fmt.Errorf("read test: it has %d bytes, and %d is the limit", info.Size(), maxBytes)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return Test{}, fmt.Errorf("read test: %w", err)
	}
	return Parse(content)
}

// Parse reads the content of a test's file.
func Parse(content []byte) (Test, error) {
	if err := strict(content, new(Test)); err != nil {
		return Test{}, fmt.Errorf("read test: %w", err)
	}
	// What is compared and written again is JSON without the spaces of a file's.
	var t Test
	var compact bytes.Buffer
	if err := errors.Join(json.Compact(&compact, content), json.Unmarshal(compact.Bytes(), &t)); err != nil {
		return t, fmt.Errorf("read test: %w", err)
	}
	if err := errors.Join(t.check(), t.checkSignatures(), t.checkVerify()); err != nil {
		return t, fmt.Errorf("read test: %w", err)
	}
	return t, nil
}

// strict reads one document and nothing that v has no place for.
func strict(doc []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(doc))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return fmt.Errorf("line %d: %w", 1+bytes.Count(doc[:offsetOf(err, doc, d)], []byte("\n")), err)
	}
	if rest := bytes.TrimSpace(doc[d.InputOffset():]); len(rest) > 0 {
		return fmt.Errorf("something follows its end: %.32q", rest)
	}
	return nil
}

// offsetOf is where an error was met, as far as it is known.
func offsetOf(err error, doc []byte, d *json.Decoder) int {
	at := d.InputOffset()
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		at = syntax.Offset
	}
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		at = wrong.Offset
	}
	if _, field, ok := strings.Cut(err.Error(), "unknown field "); ok {
		if i := bytes.Index(doc, []byte(field)); i >= 0 {
			at = int64(i)
		}
	}
	return int(min(at, int64(len(doc))))
}

func (t *Test) check() error {
	n := 0
	for _, asked := range []bool{t.Action != "", t.Webhook != "", t.Verify != "", t.Poll != "", t.Test, t.Export != ""} {
		if asked {
			n++
		}
	}
	if n != 1 {
		return fmt.Errorf("%d of action, webhook, verify, poll, test and export say what is asked for: give one", n)
	}
	given := 0
	for _, some := range []bool{t.Fixture != "", t.Input != nil, t.Body != nil, t.Cursor != nil} {
		if some {
			given++
		}
	}
	switch {
	case given > 1:
		return errors.New("give one of fixture, input, body and cursor")
	case t.Body != nil && t.Webhook == "" && t.Verify == "":
		return errors.New("a body is a webhook's: give an input, or a poll's cursor")
	case t.Cursor != nil && t.Poll == "":
		return errors.New("a cursor is a poll's: give an input, or a webhook's body")
	case t.Input != nil && t.Action == "" && t.Export == "":
		return errors.New("an input is an action's: give a webhook's body, or a poll's cursor")
	case t.Fixture != "" && t.Fixture != filepath.Base(t.Fixture):
		return fmt.Errorf("the fixture %q is the name of a file in the folder fixtures, without a path", t.Fixture)
	}
	for i, x := range t.HTTP {
		if e := x.Response.Error; e != "" && e != "network" && e != "timeout" {
			return fmt.Errorf("http[%d].response.error is %q: it is network or timeout", i, e)
		}
		if s := x.Response.Status; s != 0 && (s < 200 || s > 599) {
			return fmt.Errorf("http[%d].response.status is %d: it is 200 to 599", i, s)
		}
	}
	return nil
}

// kind is what is asked for, by its name; an export of a plain plugin has no kind.
func (t *Test) kind() (event.Kind, string) {
	switch {
	case t.Action != "":
		return event.Action, t.Action
	case t.Webhook != "" || t.Verify != "":
		return event.Webhook, cmp.Or(t.Webhook, t.Verify)
	case t.Poll != "":
		return event.Poll, t.Poll
	case t.Test:
		return event.Test, ""
	default:
		return "", t.Export
	}
}

// Encode gives a test as its file has it.
func Encode(t Test) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(t); err != nil { //nolint:gosec // Secrets of tests are those of nobody.
		return nil, fmt.Errorf("encode test: %w", err)
	}
	return b.Bytes(), nil
}

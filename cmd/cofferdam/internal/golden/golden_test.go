package golden_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdam-run/cofferdam/cmd/cofferdam/internal/fixture"
	"github.com/cofferdam-run/cofferdam/cmd/cofferdam/internal/golden"
	"github.com/cofferdam-run/cofferdam/hostfns/replay"
)

func TestATestSaysWhatIsWrongWithIt(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ content, want string }{
		"no JSON":             {`{`, "line 1: unexpected EOF"},
		"a typo":              {"{\n  \"action\": \"a\",\n  \"expects\": {}\n}", `line 3: json: unknown field "expects"`},
		"another type":        {"{\n  \"action\": 1\n}", "line 2:"},
		"two documents":       {`{"action":"a"} {}`, "something follows its end"},
		"nothing asked":       {`{"expect":{}}`, "0 of action, webhook, verify, poll, test and export say what is asked for: give one"},
		"two things asked":    {`{"action":"a","poll":"b"}`, "2 of action"},
		"two payloads":        {`{"action":"a","input":{},"fixture":"a.json"}`, "give one of fixture, input, body and cursor"},
		"a body of an action": {`{"action":"a","body":{}}`, "a body is a webhook's"},
		"a webhook's cursor":  {`{"webhook":"a","cursor":1}`, "a cursor is a poll's"},
		"a webhook's input":   {`{"webhook":"a","input":1}`, "an input is an action's"},
		"a fixture elsewhere": {`{"action":"a","fixture":"../secret.json"}`, "without a path"},
		"a request":           {`{"action":"a","http":[{"request":"GET"}]}`, `the request "GET" is not a method, a space and a URL`},
		"a request's typo":    {`{"action":"a","http":[{"request":{"uri":"x"}}]}`, `unknown field "uri"`},
		"a status":            {`{"action":"a","http":[{"response":{"status":99}}]}`, "http[0].response.status is 99: it is 200 to 599"},
		"an error":            {`{"action":"a","http":[{"response":{"error":"dns"}}]}`, `http[0].response.error is "dns": it is network or timeout`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := golden.Parse([]byte(tt.content)); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}

func TestATestComesBackFromItsFile(t *testing.T) {
	t.Parallel()
	const content = `{
  "about": "it sends <b>",
  "webhook": "issues",
  "body": {
    "$text": "a=1"
  },
  "http": [
    {
      "request": {
        "method": "POST",
        "url": "https://api.example/a?b=1&c=2"
      },
      "response": {
        "status": 201,
        "body": [
          1
        ]
      }
    }
  ],
  "expect": {
    "output": null,
    "records": [],
    "state": {
      "n": null
    }
  }
}
`
	test, err := golden.Parse([]byte(strings.Replace(content, `    "output": null,
`, "", 1)))
	if err != nil {
		t.Fatal(err)
	}
	got, err := golden.Encode(test)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Replace(content, `    "output": null,
`, "", 1), string(got)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestFilesAreFoundWhateverTheProjectIsCalled(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "a[b]*")
	for _, name := range []string{"b.test.json", "a.test.json", "other.json", "a.test.ts"} {
		if err := os.MkdirAll(filepath.Join(dir, golden.Folder), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, golden.Folder, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, err := golden.Files(dir)
	want := []string{filepath.Join(dir, "tests", "a.test.json"), filepath.Join(dir, "tests", "b.test.json")}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

func TestDiffShowsWhatDiffersAndALittleAroundIt(t *testing.T) {
	t.Parallel()
	want := "{\n  1\n  2\n  3\n  4\n  5\n  six\n  7\n  8\n}"
	got := "{\n  1\n  2\n  3\n  4\n  5\n  6\n  7\n  8\n}"
	lines := golden.Diff(want, got)
	if diff := cmp.Diff([]string{"  ...", "    4", "    5", "-   six", "+   6", "    7", "    8", "  ..."}, lines); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"+ a", "+ b"}, golden.Diff("", "a\nb")); diff != "" {
		t.Errorf("nothing wanted (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"- a"}, golden.Diff("a", "")); diff != "" {
		t.Errorf("nothing there (-want +got):\n%s", diff)
	}
	long := strings.Repeat("x\n", 100_000)
	if lines := golden.Diff(long+"a", long+"b"); len(lines) > 10 || len(lines) == 0 {
		t.Errorf("two long texts gave %d lines", len(lines))
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"action":"a","http":[{"request":"GET https://a.example/","response":{"body":{"$text":"x"}}}],"expect":{"state":{"a":null}}}`))
	f.Fuzz(func(t *testing.T, content []byte) {
		test, err := golden.Parse(content)
		if err != nil {
			return
		}
		encoded, err := golden.Encode(test)
		if err != nil {
			t.Fatalf("it was read and cannot be written: %v", err)
		}
		if _, err := golden.Parse(encoded); err != nil {
			t.Errorf("what was written cannot be read: %v\n%s", err, encoded)
		}
	})
}

// What --update has written means the same when it is read again.
func TestAFileIsReadAsItWasWritten(t *testing.T) {
	t.Parallel()
	written := golden.Test{
		Action: "a", Input: fixture.Body(`{"n":1}`), Connections: map[string]json.RawMessage{},
		HTTP:   []golden.Exchange{{Response: golden.Response{Status: 200, Body: fixture.Body("not JSON")}}},
		Expect: golden.Expect{Records: &[]replay.Record{{Name: "r", Data: replay.Body(`{"a":[1,{"b":"c d"}]}`)}}},
	}
	content, err := golden.Encode(written)
	if err != nil {
		t.Fatal(err)
	}
	read, err := golden.Parse(content)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(written, read); diff != "" {
		t.Errorf("-written +read:\n%s\n%s", diff, content)
	}
}

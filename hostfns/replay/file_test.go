package replay_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdam-run/cofferdam/hostfns"
	"github.com/cofferdam-run/cofferdam/hostfns/emit"
	"github.com/cofferdam-run/cofferdam/hostfns/journal"
	"github.com/cofferdam-run/cofferdam/hostfns/replay"
	"github.com/cofferdam-run/cofferdam/runtime"
)

var update = flag.Bool("update", false, "write testdata/recording.bhx anew")

const golden = "testdata/recording.bhx"

// full is a Recording with something in each of its fields.
func full() replay.Recording {
	at := func(s int) time.Time { return time.Date(2026, 1, 2, 3, 4, s, 5678, time.UTC) }
	module := []byte("\x00asm\x01\x00\x00\x00")
	request := []byte(`{"method":"POST","url":"https://api.example.com/orders?q=<a>&b","body":"{\"n\":1}"}`)
	return replay.Recording{
		Execution: "exe_1", Plugin: "orders", Version: "1.2.3", Kind: "action", Name: "order",
		RecordedAt: at(9), Wall: 1500 * time.Millisecond,
		Export: "action", Input: []byte(`{"execution":"exe_1","input":{"name":"Zoë  & co <1>"}}`), Granted: []string{"plan_of"},
		World: journal.World{
			Model: 1001, Module: replay.DigestOf(module), Image: replay.DigestOf(nil), Seed: journal.Seed{1, 2, 3}, Start: at(0),
			Config: json.RawMessage(`{"a": {"b":  1}}`), Connections: journal.Granted{"crm": json.RawMessage(`{}`)}, Limits: runtime.Limits{Fuel: 5, MemoryBytes: 6},
			Attempt: 1, Cursor: json.RawMessage(`"c"`), Checkpoint: json.RawMessage(`{"at":1}`), Restarts: 1,
			Keys: []journal.UsedKey{{Key: "exe_1/k", Digest: journal.Digest{9}, Asked: at(1)}},
		},
		Entries: []journal.Entry{
			{Func: "start", Effect: hostfns.Read, Outcome: hostfns.Done, Claim: 1, Asked: at(0), Answered: at(0)},
			{
				Ordinal: 1, Func: "http", Effect: hostfns.Unsafe, Outcome: hostfns.Unknown, Digest: journal.DigestOf(request), Request: request,
				Key: "exe_1/k2", Account: "acme", Fuel: 77, Claim: 2, Asked: at(1), Answered: at(2), Resumed: at(3),
				Answer: json.RawMessage(`{"result":{"status":500,"body":"<busy>"}}`),
			},
			{Ordinal: 2, Func: "bytes", Effect: hostfns.Idempotent, Outcome: hostfns.NotDone, Request: []byte{0xff, 0}, Again: true, Confirm: true, Asked: at(4)},
		},
		Outcome: replay.Failed, Output: []byte("no JSON\n"), Error: &replay.Error{Code: "upstream_unavailable", Message: "later"}, Fuel: 1234,
		Left: &replay.Left{
			Records: []replay.Record{{Name: "order", Key: "1", Data: replay.Body(`1`)}}, Tags: []emit.Tag{{Name: "repo", Value: "o/r"}},
			State: []replay.StateWrite{{Key: "a", Value: replay.Body(`[1]`)}, {Key: "b", Delete: true}, {Key: "c", Delta: 2}},
		},
		Missing: []string{"the body of entry 2"}, Module: module,
	}
}

func fileOf(tb testing.TB, r replay.Recording) []byte {
	tb.Helper()
	var file bytes.Buffer
	if err := replay.Write(&file, r); err != nil {
		tb.Fatal(err)
	}
	return file.Bytes()
}

// TestTheFormatIsTheGoldenOne fails when the format changes: then the version has to.
func TestTheFormatIsTheGoldenOne(t *testing.T) {
	t.Parallel()
	got := fileOf(t, full())
	if *update {
		if err := os.MkdirAll(filepath.Dir(golden), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(golden, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("the file differs from %s (-want +got):\n%s", golden, diff)
	}
	read, err := replay.Read(bytes.NewReader(want))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(full(), read); diff != "" {
		t.Errorf("what was read differs from what was written (-want +got):\n%s", diff)
	}
}

func TestAFileReadsWell(t *testing.T) {
	t.Parallel()
	lines := strings.Split(string(fileOf(t, full())), "\n")
	for _, want := range []string{
		`"input": {"execution":"exe_1","input":{"name":"Zoë  & co <1>"}},`,
		`"output": {"$text":"no JSON\n"},`,
		`"outcome": "failed",`,
	} {
		if !slices.Contains(lines, want) {
			t.Errorf("there is no line %s in\n%s", want, strings.Join(lines, "\n"))
		}
	}
	entries := 0
	for _, line := range lines {
		if strings.HasPrefix(line, `  {"ordinal":`) {
			entries++
		}
	}
	if entries != len(full().Entries) {
		t.Errorf("%d entries have a line of their own, want %d", entries, len(full().Entries))
	}
}

func TestBodiesComeBackByteForByte(t *testing.T) {
	t.Parallel()
	bodies := []string{
		``, ` `, `null`, `{}`, `{ }`, `{"a":1.0e2,"a":2}`, `[1,2]`, `"text"`, `text`, "\xff", "{\"a\":\"\xff\"}", `"\ud800"`, "\"\u2028<>&\"",
		`{"$text":"x"}`, `{"$base64":"eA=="}`, `{"$text":1}`, "1\n", "\x00", `12345678901234567890.10`, "a\r\nb",
		strings.Repeat("[", 9995) + strings.Repeat("]", 9995), strings.Repeat(`{"a":`, 5000) + "1" + strings.Repeat("}", 5000),
	}
	for _, body := range bodies {
		r := full()
		r.Input, r.Output = []byte(body), []byte(body)
		r.World.Config, r.Entries[1].Request, r.Entries[1].Answer = json.RawMessage(body), []byte(body), json.RawMessage(body)
		got, err := replay.Read(bytes.NewReader(fileOf(t, r)))
		if err != nil {
			t.Fatalf("%.40q: %v", body, err)
		}
		if diff := cmp.Diff(r, got); diff != "" {
			t.Errorf("%.40q came back otherwise (-want +got):\n%s", body, diff)
		}
	}
}

// signed gives a document the first line that it has to have.
func signed(doc string) string {
	return fmt.Sprintf("cofferdam recording 1 %s\n%s", replay.DigestOf([]byte(doc)), doc)
}

func TestFilesThatAreNoneSayWhatIsWrong(t *testing.T) {
	t.Parallel()
	file := string(fileOf(t, full()))
	head, doc, _ := strings.Cut(file, "\n")
	tests := map[string]struct{ file, want string }{
		"empty":              {"", "it is empty: 'cofferdam execution export' writes one"},
		"something else":     {"PK\x03\x04", `it begins with "PK\x03\x04"`},
		"a document alone":   {doc, `it begins with "{"`},
		"a later version":    {strings.Replace(file, "recording 1", "recording 2", 1), "its version is 2, and this program reads version 1: use the cofferdam that wrote it"},
		"no version":         {strings.Replace(file, "recording 1", "recording one", 1), `its version is "one", which is no number`},
		"no digest":          {strings.Replace(file, head, "cofferdam recording 1", 1), `it begins with "cofferdam recording 1"`},
		"half a digest":      {strings.Replace(file, head, head[:40], 1), "its digest: "},
		"cut off":            {file[:len(file)-100], "it is cut off: copy or export it again: its first line says sha256:"},
		"cut to a line":      {head + "\n", "it is cut off"},
		"altered":            {strings.Replace(file, `"fuel": 1234`, `"fuel": 1235`, 1), "it was altered after it was written: export it again"},
		"other line ends":    {strings.ReplaceAll(file, "\n", "\r\n"), "put '*.bhx -text' into .gitattributes"},
		"no JSON":            {signed("{]}\n"), "after its first line: byte "},
		"not an object":      {signed("[]\n"), "cannot unmarshal array"},
		"unknown fields":     {signed(strings.Replace(doc, `"export"`, `"exports"`, 1)), `unknown field "exports"`},
		"more after its end": {signed(doc + "{}\n"), `"{}" follows its end`},
		"another outcome":    {signed(strings.Replace(doc, `"outcome": "failed"`, `"outcome": "fine"`, 1)), `its outcome is "fine": it is succeeded, failed, suspended or interrupted`},
		"another effect":     {signed(strings.Replace(doc, `"effect":"unsafe"`, `"effect":"safe"`, 1)), `entry 1: its effect: "safe" is none of computed, read, idempotent, unsafe`},
		"an entry's outcome": {signed(strings.Replace(doc, `"outcome":"unknown"`, `"outcome":"x"`, 1)), `entry 1: its outcome: "x" is none of`},
		"a missing entry":    {signed(strings.Replace(doc, `{"ordinal":1,`, `{"ordinal":4,`, 1)), "its entry 1 has the ordinal 4: one is missing"},
		"no export":          {signed(strings.Replace(doc, `"export": "action"`, `"export": ""`, 1)), "it does not say which export was called"},
		"another module":     {signed(strings.Replace(doc, replay.DigestOf(full().Module), replay.DigestOf([]byte("other")), 1)), "the module in it has the digest " + replay.DigestOf(full().Module)},
		"a broken digest":    {signed(strings.Replace(doc, replay.DigestOf(full().Module), "sha256:12", 1)), `the digest of its module: "sha256:12" is not sha256: and 64 hexadecimal digits`},
		"a broken body":      {signed(strings.Replace(doc, `{"$text":"no JSON\n"}`, `{"$text":"a","$base64":"YQ=="}`, 1)), "is neither text nor base64"},
		"a broken seed":      {signed(strings.Replace(doc, `"seed":"01`, `"seed":"0`, 1)), "read seed: it has 63 characters"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := replay.Read(strings.NewReader(tt.file))
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.HasPrefix(err.Error(), "read recording: ") {
				t.Errorf("got %v, want ...%s...", err, tt.want)
			}
		})
	}
}

// endless is a reader of more than may be read.
type endless struct{}

// Read implements io.Reader.
func (endless) Read(p []byte) (int, error) { return len(p), nil }

func TestALargeFileIsNotReadToItsEnd(t *testing.T) {
	t.Parallel()
	_, err := replay.Read(endless{})
	if err == nil || !strings.Contains(err.Error(), "more than 134217728 bytes, which is the limit") {
		t.Errorf("got %v", err)
	}
	broken := errors.New("unplugged")
	if _, err := replay.Read(io.MultiReader(strings.NewReader("cofferdam"), failing{broken})); !errors.Is(err, broken) {
		t.Errorf("got %v, want %v", err, broken)
	}
}

type failing struct{ err error }

// Read implements io.Reader.
func (f failing) Read([]byte) (int, error) { return 0, f.err }

// Write implements io.Writer.
func (f failing) Write([]byte) (int, error) { return 0, f.err }

func TestWriteRefusesWhatCouldNotBeRead(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		change func(*replay.Recording)
		want   string
	}{
		"no outcome":     {func(r *replay.Recording) { r.Outcome = "" }, `its outcome is ""`},
		"too large":      {func(r *replay.Recording) { r.Input = bytes.Repeat([]byte{0xff}, 100<<20) }, "134217728 is the limit: leave the module out"},
		"too many":       {func(r *replay.Recording) { r.Entries = make([]journal.Entry, journal.MaxEntries+2) }, "it has 10001 entries, and 10000 is the limit"},
		"a computed one": {func(r *replay.Recording) { r.Entries[1].Effect = hostfns.Computed }, "its entry 1, http, is no answer from outside"},
		"no time at all": {func(r *replay.Recording) { r.Entries[1].Asked = time.Date(20000, 1, 1, 0, 0, 0, 0, time.UTC) }, "encode entry 1: "},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := full()
			tt.change(&r)
			if err := replay.Write(io.Discard, r); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want ...%s...", err, tt.want)
			}
		})
	}
	broken := errors.New("the disk is full")
	if err := replay.Write(failing{broken}, full()); !errors.Is(err, broken) {
		t.Errorf("got %v, want %v", err, broken)
	}
}

// TestNoCredentialIsInAFile has a vendor give back the credential that it got.
func TestNoCredentialIsInAFile(t *testing.T) {
	t.Parallel()
	l, m := newLab(t), scripted(t)
	r := l.record(t, m, "action", script("", get(l.url+"/a"), post(l.url+"/b", "x")), `{}`)
	file := fileOf(t, r)
	if bytes.Contains(file, []byte(credential)) {
		t.Errorf("the credential is in\n%s", file)
	}
	if !bytes.Contains(file, []byte(`Bearer [redacted`)) {
		t.Errorf("nothing was redacted in\n%s", file)
	}
}

func FuzzRead(f *testing.F) {
	file := fileOf(f, full())
	_, doc, _ := bytes.Cut(file, []byte("\n"))
	f.Add(string(file), false)
	f.Add(string(doc), true)
	f.Add("{\"outcome\":\"succeeded\",\"export\":\"x\",\"world\":{},\"entries\":[{}]}\n", true)
	f.Fuzz(func(t *testing.T, file string, sign bool) {
		if sign { // Else nothing behind the first line is ever reached.
			file = signed(file)
		}
		r, err := replay.Read(strings.NewReader(file))
		if err != nil {
			return
		}
		// What can be read can be written, and read again as the same.
		var again bytes.Buffer
		if err := replay.Write(&again, r); err != nil {
			t.Fatal(err)
		}
		got, err := replay.Read(&again)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(r, got); diff != "" {
			t.Error(diff)
		}
	})
}

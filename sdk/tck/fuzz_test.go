package tck_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/cofferdam-run/cofferdam/runtime"
	"github.com/cofferdam-run/cofferdam/runtime/runtimetest"
)

// FuzzJSONOfGuests holds the readers and writers of JSON that C and Rust have of ours
// against Go's: what is read and written again must be the same, to the last digit.
func FuzzJSONOfGuests(f *testing.F) {
	for _, seed := range []string{
		`null`, ` [ true , false ] `, `{"a":{"b":[1,2,{"c":null}]},"a":2}`, `-0`, `-12.50e+7`, `123456789012345678901234567890`,
		`"\"\\\/\b\f\n\r\t\u00e4\ud83d\ude00\ud83d x\ude00\u0000"`, `"ä日本🕯️` + "\u2028\x7f" + `"`, `{"":"","\u0000":1}`, `[[[[[[[]]]]]]]`,
		`01`, `1.`, `.1`, `1e`, `+1`, `--1`, `tru`, `nulll`, `"`, `"\x"`, `"\u12"`, "\"\n\"", `[1,]`, `[,1]`, `{"a"}`, `{"a":}`, `{a:1}`, `{"a":1,}`, `1 1`, ``,
		"\ufeff1", "\xff", "\"\xff\"", "\"\xed\xa0\x80\"", `[`, `{`, `]`, `}`, strings.Repeat("[", 600) + strings.Repeat("]", 600),
		strings.Repeat("[", 490) + strings.Repeat("]", 490), strings.Repeat(`{"a":`, 490) + "1" + strings.Repeat("}", 490),
		`1},"action":{"`, `"` + strings.Repeat(`\u0041ä`, 3000) + `"`, "[" + strings.Repeat("0.1,", 5000) + "1e-5]",
	} {
		f.Add([]byte(seed))
	}
	modules := map[string]*runtime.Module{}
	rt, err := runtime.New(f.Context(), runtime.Config{Functions: append(slices.Clone(builtIn), "sign"), CacheDir: runtimetest.CacheDir(f)})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = rt.Close(f.Context()) })
	for _, language := range []string{"c", "rust"} {
		if modules[language], err = rt.Prepare(f.Context(), guests()[language](f, "testdata/probe-"+language), runtime.Limits{}); err != nil {
			f.Fatal(err)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		envelope := bytes.Join([][]byte{[]byte(`{"action":"echo","input":`), data, []byte(`}`)}, nil)
		for language, module := range modules {
			result, err := module.Call(t.Context(), runtime.Call{Export: "action", Input: envelope})
			if difference := wrongEcho(envelope, result.Output, err); difference != "" {
				t.Errorf("%s, of %q: %s", language, data, difference)
			}
		}
	})
}

// wrongEcho says what is wrong with the answer to an envelope.
func wrongEcho(envelope, output []byte, err error) string {
	var failure *runtime.Failure
	if err != nil && (!errors.As(err, &failure) || failure.Code != "invalid_input" && failure.Code != runtime.CodePluginBug) {
		return err.Error()
	}
	var want map[string]any // And not a struct, whose fields other cases of their names set, too.
	var got any
	switch {
	case !utf8.Valid(envelope) || bytes.Count(envelope, []byte("["))+bytes.Count(envelope, []byte("{")) > 500:
		return "" // Guests are given no bytes that are not UTF-8, and need not read more than 512 levels.
	case exactly(envelope, &want) != nil:
		if err == nil {
			return "it was read, and is not JSON"
		}
		return ""
	case want["action"] != "echo":
		return ""
	case err != nil:
		return err.Error()
	case exactly(output, &got) != nil:
		return "the output is not JSON: " + string(output)
	case !reflect.DeepEqual(want["input"], got):
		return "the output is " + string(output)
	default:
		return ""
	}
}

// exactly decodes all of a document, and keeps the digits of its numbers.
func exactly(doc []byte, v any) error {
	if !json.Valid(doc) {
		return errors.New("it is not JSON")
	}
	d := json.NewDecoder(bytes.NewReader(doc))
	d.UseNumber()
	return d.Decode(v)
}

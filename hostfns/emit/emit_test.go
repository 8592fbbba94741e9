package emit_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdam-run/cofferdam/hostfns"
	"github.com/cofferdam-run/cofferdam/hostfns/emit"
)

func call(ctx context.Context, k *emit.Kept, name, request string) error {
	for _, f := range k.Funcs() {
		if f.Name == name {
			_, err := f.Answer(ctx, json.RawMessage(request))
			return err
		}
	}
	return fmt.Errorf("no function %q", name)
}

func TestKeptHoldsWhatWasHandedOver(t *testing.T) {
	t.Parallel()
	k := emit.New(emit.Limits{})
	for _, c := range [][2]string{
		{"emit", `{"name":"order.created","key":"o-1","data":{ "n": 1 }}`},
		{"emit", `{"name":"order.created","key":"o-1","data":{"n":2}}`},
		{"emit", `{"name":"note","data":null}`},
		{"emit", `{"name":"note","data":null}`},
		{"tag", `{"name":"order","value":"1001"}`},
		{"tag", `{"name":"order","value":"1002"}`},
		{"tag", `{"name":"order","value":"1001"}`},
	} {
		if err := call(t.Context(), k, c[0], c[1]); err != nil {
			t.Fatalf("%s %s: %v", c[0], c[1], err)
		}
	}
	wantRecords := []emit.Record{
		{Name: "order.created", Key: "o-1", Data: json.RawMessage(`{"n":1}`)},
		{Name: "note", Data: json.RawMessage(`null`)},
		{Name: "note", Data: json.RawMessage(`null`)},
	}
	if diff := cmp.Diff(wantRecords, k.Records()); diff != "" {
		t.Errorf("Records, the first of a key (-want +got):\n%s", diff)
	}
	wantTags := []emit.Tag{{Name: "order", Value: "1001"}, {Name: "order", Value: "1002"}}
	if diff := cmp.Diff(wantTags, k.Tags()); diff != "" {
		t.Errorf("Tags (-want +got):\n%s", diff)
	}
}

func TestKeptRefuses(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 600)
	tests := map[string]struct {
		name, request string
		code          hostfns.Code
		want          string
	}{
		"a record without a name":  {"emit", `{"data":1}`, hostfns.CodeInvalidRequest, `"name" is ""`},
		"a name with other signs":  {"emit", `{"name":"a b","data":1}`, hostfns.CodeInvalidRequest, `"name" is "a b"`},
		"a name that goes on":      {"emit", `{"name":"a\n","data":1}`, hostfns.CodeInvalidRequest, `"name" is "a\n"`},
		"a record without data":    {"emit", `{"name":"a"}`, hostfns.CodeInvalidRequest, `"data" is missing`},
		"a key that is too long":   {"emit", `{"name":"a","key":"` + long + `","data":1}`, hostfns.CodeInvalidRequest, `"key" is 600 bytes long, and 512 is the limit`},
		"a key with a NUL":         {"emit", `{"name":"a","key":"\u0000","data":1}`, hostfns.CodeInvalidRequest, `"key" holds a control character`},
		"data that is too long":    {"emit", `{"name":"a","data":"` + long + `"}`, hostfns.CodeLimitExceeded, `"data" is 602 bytes of JSON, and 100 is the limit`},
		"a tag without a value":    {"tag", `{"name":"a"}`, hostfns.CodeInvalidRequest, `"value" is missing or empty`},
		"a tag's name with =":      {"tag", `{"name":"a=b","value":"c"}`, hostfns.CodeInvalidRequest, `"name" is "a=b"`},
		"a tag that is too long":   {"tag", `{"name":"a","value":"` + long + `"}`, hostfns.CodeInvalidRequest, `"value" is 600 bytes long, and 256 is the limit`},
		"a tag with a line's end":  {"tag", `{"name":"a","value":"b\nc"}`, hostfns.CodeInvalidRequest, `"value" holds a control character`},
		"a tag that is no object":  {"tag", `"a"`, hostfns.CodeInvalidRequest, `it must be an object`},
		"a record with more in it": {"emit", `{"name":"a","data":1,"at":2}`, hostfns.CodeInvalidRequest, `unknown field "at"`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := emit.New(emit.Limits{RecordBytes: 100})
			err := call(t.Context(), k, tt.name, tt.request)
			told, ok := errors.AsType[*hostfns.Error](err)
			if !ok || told.Code != tt.code || !strings.Contains(told.Message, tt.want) {
				t.Errorf("got %v, want %s with %s", err, tt.code, tt.want)
			}
			if len(k.Records())+len(k.Tags()) != 0 {
				t.Error("it kept it")
			}
		})
	}
}

func TestKeptHoldsItsLimits(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		limits  emit.Limits
		name    string
		request string
		fit     int
	}{
		"of records": {emit.Limits{Records: 2}, "emit", `{"name":"a","data":%d}`, 2},
		"of bytes":   {emit.Limits{TotalBytes: 7}, "emit", `{"name":"a","data":10%d}`, 2},
		"of tags":    {emit.Limits{Tags: 3}, "tag", `{"name":"a","value":"%d"}`, 3},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := emit.New(tt.limits)
			for i := range tt.fit + 2 {
				err := call(t.Context(), k, tt.name, fmt.Sprintf(tt.request, i))
				told, refused := errors.AsType[*hostfns.Error](err)
				if refused != (i >= tt.fit) || refused && told.Code != hostfns.CodeLimitExceeded {
					t.Errorf("number %d: got %v, and %d fit", i+1, err, tt.fit)
				}
			}
		})
	}
}

func TestSummaries(t *testing.T) {
	t.Parallel()
	tests := map[string][2]string{
		`{"name":"order.paid","key":"1001","data":1}`: {`order.paid "1001"`, ``},
		`{"name":"order.paid","data":1}`:              {`order.paid`, ``},
		`{"name":"order","value":"1001"}`:             {``, `order=1001`},
		`nonsense`:                                    {``, ``},
	}
	funcs := emit.New(emit.Limits{}).Funcs()
	for request, want := range tests {
		got := [2]string{funcs[0].Summarize(json.RawMessage(request)), funcs[1].Summarize(json.RawMessage(request))}
		if got != want {
			t.Errorf("%s: got %q, want %q", request, got, want)
		}
	}
}

func ExampleNew() {
	kept := emit.New(emit.Limits{})
	err := call(context.Background(), kept, "emit", `{"name":"order.paid","key":"1001","data":{"total":42}}`)
	for _, r := range kept.Records() {
		fmt.Println(r.Name, r.Key, string(r.Data), err)
	}
	// Output: order.paid 1001 {"total":42} <nil>
}

package document_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdam-run/cofferdam/host/document"
	"github.com/cofferdam-run/cofferdam/host/fault"
)

type recipe struct {
	Name  string            `json:"name"`
	Steps []step            `json:"steps,omitempty"`
	Notes map[string]string `json:"notes,omitempty"`
	Other any               `json:"other,omitempty"`
}

type step struct {
	Minutes int   `json:"minutes"`
	Hot     *bool `json:"hot,omitempty"`
}

func TestCheckListsAllThatIsWrong(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, data, where, want string }{
		{"nothing", `{"name":"soup","steps":[{"minutes":1,"hot":true}],"notes":{"a/b":"c"},"other":[1,{}]}`, "", ""},
		{"no JSON", `{`, "", "is not JSON"},
		{"bytes that are no text", "\"\xff\"", "", "is not UTF-8"},
		{"too much", `"` + strings.Repeat("a", document.MaxBytes) + `"`, "", "has 65538 bytes"},
		{"a list for an object", `[]`, "", "write an object in braces"},
		{"an object for a list", `{"steps":{}}`, "/steps", "write a list in brackets"},
		{"a field of another case", `{"Name":"soup"}`, "/Name", "one of name, notes, other, steps"},
		{"a field twice", `{"name":"soup","name":"stew"}`, "/name", "is there twice"},
		{"a fraction", `{"steps":[{"minutes":1},{"minutes":1.5}]}`, "/steps/1/minutes", "a whole number"},
		{"a text for a flag", `{"steps":[{"hot":"yes"}]}`, "/steps/0/hot", "true or false"},
		{"a null", `{"name":null}`, "/name", "a text in quotes"},
		{"a number in a map", `{"notes":{"a/b":1}}`, "/notes/a~1b", "a text in quotes"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var problems document.Problems
			document.Check([]byte(tt.data), reflect.TypeFor[recipe](), &problems)
			got := fault.From(problems.Err("recipe_invalid", "soup.json"))
			switch {
			case tt.want == "":
				if got != nil {
					t.Error(got)
				}
			case got == nil || got.Where != tt.where || !strings.Contains(got.Message, tt.want):
				t.Errorf("got %v, want %q at %q", got, tt.want, tt.where)
			}
		})
	}
}

func TestErrNamesTheFirstAndHasAll(t *testing.T) {
	t.Parallel()
	var problems document.Problems
	problems.Add("/a", "is %d", 1)
	problems.Add(document.Element("/b", 2), "is %s", document.Quoted(strings.Repeat("x", 61)))
	got := fault.From(problems.Err("recipe_invalid", "soup.json"))
	if got.Message != "soup.json: /a is 1 (and 1 more)" || problems.Len() != 2 {
		t.Errorf("got %q", got.Message)
	}
	want := []fault.Problem{{Where: "/a", Message: "is 1"}, {Where: "/b/2", Message: `is "` + strings.Repeat("x", 57) + `..." (61 bytes)`}}
	if diff := cmp.Diff(want, got.Problems); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

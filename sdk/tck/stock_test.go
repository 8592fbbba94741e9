package tck_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"

	extism "github.com/extism/go-sdk"
	"github.com/google/go-cmp/cmp"

	"github.com/cofferdam-run/cofferdam/sdk"
)

// stock is Extism's own Go SDK, as a host that knows of Cofferdam only that there are
// functions to be answered.
type stock struct {
	plugin *extism.Plugin
	// answers are what the guest is going to be told, asked what it has asked for.
	answers []json.RawMessage
	asked   []string
}

// builtIn are the functions of a Cofferdam host that everything may import, whether it
// uses them or not. Sign is none of them: only what signs imports it.
var builtIn = []string{"http", "state_get", "state_set", "state_delete", "state_cas", "state_add", "state_list", "log", "emit", "tag", "sleep"}

func newStock(t *testing.T, wasm []byte) *stock {
	t.Helper()
	s := &stock{}
	var functions []extism.HostFunction
	for _, name := range builtIn {
		functions = append(functions, extism.NewHostFunctionWithStack(name, func(_ context.Context, p *extism.CurrentPlugin, stack []uint64) {
			request, err := p.ReadString(stack[0])
			if err == nil {
				stack[0], err = p.WriteBytes(s.answer(name, request))
			}
			if err != nil {
				panic(err)
			}
		}, []extism.ValueType{extism.ValueTypePTR}, []extism.ValueType{extism.ValueTypePTR}))
		functions[len(functions)-1].SetNamespace("extism:host/user")
	}
	var err error
	s.plugin, err = extism.NewPlugin(t.Context(), extism.Manifest{Wasm: []extism.Wasm{extism.WasmData{Data: wasm}}}, extism.PluginConfig{EnableWasi: true}, functions)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.plugin.Close(context.WithoutCancel(t.Context())) })
	return s
}

func (s *stock) answer(name, request string) []byte {
	if name == "log" {
		return []byte(`{"result":{}}`)
	}
	s.asked = append(s.asked, name+" "+urlOf(request))
	if len(s.asked) > len(s.answers) {
		return []byte(`{"error":{"code":"internal","message":"nobody expected that"}}`)
	}
	return s.answers[len(s.asked)-1]
}

// urlOf is enough of a request to know it by.
func urlOf(request string) string {
	var r struct{ Method, URL, Key, Name, Value string }
	_ = json.Unmarshal([]byte(request), &r) // What is no JSON has none of them.
	return strings.Join([]string{r.Method, r.URL, r.Key, r.Name, r.Value}, " ")
}

// read is a vector as any program can read it.
type read struct {
	Name, Export string
	Let          json.RawMessage
	Input        json.RawMessage
	Calls        []struct {
		Func            string
		Request, Answer json.RawMessage
	}
	Output json.RawMessage
	Error  *struct{ Code string }
}

// TestHellosRunInStockExtism makes the calls of the vectors without anything of
// Cofferdam's, all in one instance that is never reset.
func TestHellosRunInStockExtism(t *testing.T) {
	t.Parallel()
	for language, guest := range guests() {
		t.Run(language, func(t *testing.T) {
			t.Parallel()
			s := newStock(t, guest(t, examples+"hello-"+language))
			_, manifest, err := s.plugin.CallWithContext(t.Context(), "describe", nil)
			if err != nil || !strings.Contains(string(manifest), `"hello-`+language+`"`) {
				t.Fatalf("describe: got %s, %v", manifest, err)
			}
			for _, v := range simpleVectors(t) {
				for _, difference := range s.play(t, v) {
					t.Errorf("%s: %s", v.Name, difference)
				}
			}
		})
	}
}

func (s *stock) play(t *testing.T, v read) (differences []string) {
	t.Helper()
	s.answers, s.asked = nil, nil
	var want []string
	for _, c := range v.Calls {
		s.answers = append(s.answers, c.Answer)
		want = append(want, c.Func+" "+urlOf(string(c.Request)))
	}
	code, output, err := s.plugin.CallWithContext(t.Context(), v.Export, v.Input)
	if !slices.Equal(s.asked, want) {
		differences = append(differences, "asked (-want +got):\n"+cmp.Diff(want, s.asked))
	}
	if v.Error == nil {
		if got, want := normal(output), normal(v.Output); err != nil || code != 0 || got != want {
			differences = append(differences, fmt.Sprintf("got %s, %d and %v, want %s", got, code, err, want))
		}
		return differences
	}
	var failure struct{ Code, Message string }
	if err == nil || json.Unmarshal([]byte(err.Error()), &failure) != nil || failure.Code != v.Error.Code || failure.Message == "" || code == 0 {
		differences = append(differences, fmt.Sprintf("got %d and %v, want %s", code, err, v.Error.Code))
	}
	return differences
}

// normal writes JSON in one way.
func normal(raw []byte) string {
	var v any
	if err := json.Unmarshal(raw, &v); err != nil {
		return err.Error()
	}
	return fmt.Sprint(v)
}

// simpleVectors are those of the hello connectors without words to fill in, and whose
// end does not depend on the clock.
func simpleVectors(t *testing.T) (all []read) {
	t.Helper()
	files := sdk.Vectors("hello")
	names, err := fs.Glob(files, "*.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		text, err := fs.ReadFile(files, name)
		if err != nil {
			t.Fatal(err)
		}
		var file struct{ Vectors []read }
		if err := json.Unmarshal(text, &file); err != nil {
			t.Fatal(err)
		}
		all = append(all, slices.DeleteFunc(file.Vectors, func(v read) bool { return v.Let != nil })...)
	}
	if len(all) < 40 {
		t.Fatalf("there are %d vectors, want more", len(all))
	}
	return all
}

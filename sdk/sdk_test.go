package sdk_test

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"github.com/cofferdam-run/cofferdam/sdk"
)

func ExampleVectors() {
	text, err := fs.ReadFile(sdk.Vectors("hello"), "webhook.json")
	if err != nil {
		panic(err)
	}
	var file struct {
		Vectors []struct{ Name, About string }
	}
	if err := json.Unmarshal(text, &file); err != nil {
		panic(err)
	}
	fmt.Println(file.Vectors[0].Name+":", file.Vectors[0].About)
	// Output: opened: An issue that is opened is counted, labelled, and told.
}

func TestEveryVectorSaysWhatItShows(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"hello", "probe"} {
		files := sdk.Vectors(kind)
		names, err := fs.Glob(files, "*.json")
		if err != nil || len(names) < 5 {
			t.Fatalf("%s: got %q, %v", kind, names, err)
		}
		for _, name := range names {
			text, err := fs.ReadFile(files, name)
			if err != nil {
				t.Fatal(err)
			}
			var file struct {
				Vectors []struct{ Name, About string }
			}
			if err := json.Unmarshal(text, &file); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			for _, v := range file.Vectors {
				if v.Name == "" || !strings.HasSuffix(v.About, ".") && !strings.HasSuffix(v.About, ",") {
					t.Errorf("%s/%s: %q is about %q", kind, name, v.Name, v.About)
				}
			}
		}
	}
}

func TestVectorsOfNoKindAreAMistake(t *testing.T) {
	t.Parallel()
	defer func() {
		if recover() == nil {
			t.Error("there were some")
		}
	}()
	sdk.Vectors("helo")
}

package descriptor_test

import (
	"testing"

	"github.com/cofferdam-run/cofferdam/host/webhook/descriptor"
)

func TestEachThatComesWithTheProgram(t *testing.T) {
	t.Parallel()
	all, err := descriptor.Load()
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 58 {
		t.Errorf("%d descriptors, want 58 at least", len(all))
	}
	for i, d := range all {
		if d.Name != descriptor.Names()[i] {
			t.Errorf("%s.json has the name %q", descriptor.Names()[i], d.Name)
		}
		if len(d.Docs) == 0 {
			t.Errorf("%s names no page that its facts are from", d.Name)
		}
	}
}

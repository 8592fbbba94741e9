package descriptor

import (
	"embed"
	"fmt"
	"slices"
	"strings"

	"github.com/cofferdam-run/cofferdam/host/document"
	"github.com/cofferdam-run/cofferdam/host/fault"
)

//go:embed data/*.json
var embedded embed.FS

// Names are the names of the descriptors that come with the program, sorted.
func Names() []string {
	files, _ := embedded.ReadDir("data") // It is in the program.
	names := make([]string, len(files))
	for i, f := range files {
		names[i] = strings.TrimSuffix(f.Name(), ".json")
	}
	slices.Sort(names) // The files are by name with its ending, which is another order.
	return names
}

// Find returns the descriptor of this name that comes with the program. Its error is a
// *fault.Error of the code unknown_scheme.
func Find(name string) (Descriptor, error) {
	if !slices.Contains(Names(), name) {
		return Descriptor{}, fault.New(fault.InvalidInput, "unknown_scheme", "there is no signature scheme %s: there are %s",
			document.Quoted(name), document.Or(Names())).
			WithHint("Describe one of your own: give the endpoint a descriptor.")
	}
	data, err := embedded.ReadFile("data/" + name + ".json")
	if err != nil {
		return Descriptor{}, fmt.Errorf("read a descriptor: %w", err)
	}
	return Parse(name+".json", data)
}

// Load returns all that come with the program, by name.
func Load() ([]Descriptor, error) {
	var all []Descriptor
	for _, name := range Names() {
		d, err := Find(name)
		if err != nil {
			return nil, err
		}
		all = append(all, d)
	}
	return all, nil
}

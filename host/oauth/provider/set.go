package provider

import (
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"github.com/cofferdam-run/cofferdam/host/document"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/registry/manifest"
)

//go:embed data/*.json
var embedded embed.FS

// Set is a number of providers, each with a name of its own. It never changes.
type Set struct {
	byName map[string]Provider
	// from has the file of each.
	from map[string]string
}

// Load returns the providers that come with the program.
func Load() (Set, error) {
	data, err := fs.Sub(embedded, "data")
	if err != nil {
		return Set{}, fmt.Errorf("open the embedded providers: %w", err)
	}
	return Set{}.With(builtIn, data)
}

// builtIn is the source of what comes with the program.
const builtIn = "built in"

// BuiltIn says that the provider of this name comes with the program. Of another, whoever
// sends secrets to it keeps a copy: its file may be changed.
func (s Set) BuiltIn(name string) bool { return strings.HasPrefix(s.from[name], builtIn+": ") }

// With returns the set and the descriptors of a folder: its files that end in .json,
// and none below. source says whose they are, such as a folder's path or a plugin's
// name. A name that the set has already is refused: an app keeps its name, and must
// not find another server behind it.
func (s Set) With(source string, folder fs.FS) (Set, error) {
	files, err := fs.Glob(folder, "*.json")
	if err != nil {
		return Set{}, fmt.Errorf("list the providers of %s: %w", source, err)
	}
	slices.Sort(files)
	for _, file := range files {
		data, err := fs.ReadFile(folder, file)
		if err != nil {
			return Set{}, fmt.Errorf("read a provider of %s: %w", source, err)
		}
		if s, err = s.Add(source+": "+file, data); err != nil {
			return Set{}, err
		}
	}
	return s, nil
}

// Add returns the set and one more descriptor, whose file is named so.
func (s Set) Add(file string, data []byte) (Set, error) {
	p, err := Parse(file, data)
	if err != nil {
		return Set{}, err
	}
	if other, taken := s.from[p.Name]; taken {
		return Set{}, fault.New(fault.Conflict, codeTaken, "%s: /name is %q, which %s has", file, p.Name, other).
			At("/name").WithHint("Give yours a name of its own, such as %q.", p.Name+"-custom")
	}
	byName, from := maps.Clone(s.byName), maps.Clone(s.from)
	if byName == nil {
		byName, from = map[string]Provider{}, map[string]string{}
	}
	byName[p.Name], from[p.Name] = p, file
	return Set{byName: byName, from: from}, nil
}

// Check says what is wrong with a descriptor of a plugin's manifest, as pointers into it:
// what Parse finds, and a name that the set has, or what comes with the program. The empty
// set will do where no other is at hand.
func (s Set) Check(descriptor json.RawMessage) []manifest.Problem {
	p, err := Parse("descriptor", descriptor)
	if f, ok := errors.AsType[*fault.Error](err); ok {
		found := make([]manifest.Problem, len(f.Problems))
		for i, problem := range f.Problems {
			found[i] = manifest.Problem(problem)
		}
		return found
	}
	_, taken := s.byName[p.Name]
	if _, err := fs.Stat(embedded, "data/"+p.Name+".json"); taken || err == nil {
		return []manifest.Problem{{Where: "/name", Message: fmt.Sprintf("%q is a provider that the host has: name it in connections, and leave its descriptor out; or give yours a name of its own, such as %q", p.Name, p.Name+"-custom")}}
	}
	return nil
}

// All returns the providers by name.
func (s Set) All() []Provider {
	all := make([]Provider, 0, len(s.byName))
	for _, name := range slices.Sorted(maps.Keys(s.byName)) {
		all = append(all, s.byName[name])
	}
	return all
}

// Provider returns the one of this name. Its error is a *fault.Error of the code
// provider_not_found, which names one that is written almost so.
func (s Set) Provider(name string) (Provider, error) {
	if p, ok := s.byName[name]; ok {
		return p, nil
	}
	err := fault.New(fault.InvalidInput, codeNotFound, "there is no provider %s", document.Quoted(name))
	if near := s.near(name); near != "" {
		return Provider{}, err.WithHint("Did you mean %q?", near)
	}
	return Provider{}, err.WithHint("List all with: cofferdam provider list")
}

// near finds a name that has the other in it, or that is at most two edits away.
func (s Set) near(name string) string {
	name = strings.ToLower(name)
	if name == "" || len(name) > 63 {
		return ""
	}
	best, nearest := 3, ""
	for _, known := range slices.Sorted(maps.Keys(s.byName)) {
		if strings.Contains(known, name) || strings.Contains(name, known) {
			return known
		}
		if d := distance(name, known); d < best {
			best, nearest = d, known
		}
	}
	return nearest
}

// distance counts the letters to put in, take out or change between two words.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}

package sourcemap

import (
	"encoding/json"
	"path"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/go-sourcemap/sourcemap"
)

const (
	// maxBytes is how long a source map may be. That of 500 KB of code has as many.
	maxBytes = 8 << 20
	// maxMappings bounds what is kept of it, at 24 bytes each.
	maxMappings = 1 << 19
	// maxSources is how many files a bundle may be of.
	maxSources = 20_000
	// maxName is where a path is cut.
	maxName = 200
)

// sources is a source map that was read.
type sources struct {
	names    []string
	consumer *sourcemap.Consumer
}

// parse returns nil for what is no source map, or too large to be one. Only what is
// needed is handed to the library: mappings that were counted, and sources that have
// their indices for names.
func parse(text []byte) (s *sources) {
	defer func() {
		if recover() != nil { // The bytes are a stranger's.
			s = nil
		}
	}()
	if len(text) > maxBytes {
		return nil
	}
	var given, minimal struct {
		Version  int      `json:"version"`
		Sources  []string `json:"sources"`
		Mappings string   `json:"mappings"`
	}
	if err := json.Unmarshal(text, &given); err != nil || given.Version != 3 || len(given.Sources) > maxSources {
		return nil
	}
	if strings.Count(given.Mappings, ",")+strings.Count(given.Mappings, ";") > maxMappings {
		return nil
	}
	s = &sources{}
	minimal.Version, minimal.Mappings = given.Version, given.Mappings
	for i, name := range given.Sources {
		s.names = append(s.names, tidy(name))
		minimal.Sources = append(minimal.Sources, strconv.Itoa(i))
	}
	text, err := json.Marshal(minimal)
	if err == nil {
		s.consumer, err = sourcemap.Parse("", text)
	}
	if err != nil {
		return nil
	}
	return s
}

// origin is a place in a source. Lines are counted from 1, columns from 0.
type origin struct {
	name         string
	line, column int
}

// lookup finds where a line and a column of the bundle come from.
func (s *sources) lookup(line, column int) (o origin, ok bool) {
	defer func() {
		if recover() != nil { // The map names a source that it does not have.
			ok = false
		}
	}()
	index, _, line, column, found := s.consumer.Source(line, column)
	n, err := strconv.Atoi(index)
	if !found || err != nil || line < 1 || column < 0 {
		return o, false
	}
	return origin{name: s.names[n], line: line, column: column}, true
}

// tidy makes a path relative, without what tells of the machine that it was on, and
// without what would end a string or a line.
func tidy(name string) string {
	name = strings.ReplaceAll(name, `\`, "/")
	if at := strings.LastIndex("/"+name, "/node_modules/"); at >= 0 {
		name = name[at:]
	} else if _, rest, ok := strings.Cut(name, "://"); ok {
		name = path.Base(rest)
	} else if path.IsAbs(name) || len(name) > 2 && name[1] == ':' && name[2] == '/' {
		name = path.Base(name)
	}
	name = strings.TrimPrefix(path.Clean("/"+name), "/")
	name = strings.Map(func(r rune) rune {
		if r == '"' || r == utf8.RuneError || !unicode.IsPrint(r) {
			return '_'
		}
		return r
	}, name)
	if len(name) > maxName {
		name = strings.ToValidUTF8(name[:maxName], "") + "..."
	}
	switch name {
	case "":
		return "unknown"
	case Bundle: // A source at the root that is called as the bundle is.
		return "./" + name
	default:
		return name
	}
}

package wasm

import (
	"fmt"
	"maps"
	"slices"
	"unicode/utf8"
)

// Custom returns what the first custom section of a name holds, a part of module.
// There is none in bytes that are no module. Nothing but the sections' lengths is
// looked at.
func Custom(module []byte, name string) ([]byte, bool) {
	s, err := customs(module)
	if err != nil {
		return nil, false
	}
	for _, c := range s {
		if c.name == name {
			return module[c.content:c.to:c.to], true
		}
	}
	return nil, false
}

// WithCustom returns a module with these custom sections, at its end and in the order
// of their names, instead of those that it has of the same names. A nil content
// only removes. Other sections stay as they are, and are not looked at.
func WithCustom(module []byte, contents map[string][]byte) ([]byte, error) {
	s, err := customs(module)
	if err != nil {
		return nil, err
	}
	var out []byte
	from := 0
	for _, c := range s {
		if _, replaced := contents[c.name]; replaced {
			out = append(out, module[from:c.from]...)
			from = c.to
		}
	}
	out = append(out, module[from:]...)
	for _, name := range slices.Sorted(maps.Keys(contents)) {
		if !utf8.ValidString(name) {
			return nil, fmt.Errorf("add custom section: its name %.128q is not UTF-8", name)
		}
		if content := contents[name]; content != nil {
			out = appendBytes(append(out, sectionCustom), append(appendText(nil, name), content...))
		}
	}
	return out, nil
}

// custom is where a custom section lies: from its id to its end, and the content
// behind its name.
type custom struct {
	name              string
	from, content, to int
}

func customs(module []byte) ([]custom, error) {
	if err := checkHeader(module); err != nil {
		return nil, err
	}
	var found []custom
	r := &reader{data: module, at: len(Header)}
	for r.left() > 0 {
		c := custom{from: r.at}
		id := r.byte()
		content := r.take(r.u32())
		c.to = r.at
		if id == sectionCustom && r.err == nil {
			inner := &reader{data: content, base: r.at - len(content)}
			c.name, c.content = inner.text(), inner.base+inner.at
			r.err = inner.err
		}
		if r.err != nil {
			return nil, r.err
		}
		if id == sectionCustom {
			found = append(found, c)
		}
	}
	return found, nil
}

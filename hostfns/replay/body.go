package replay

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"unicode/utf8"
)

// Body is bytes that read well in JSON and come back as they were: JSON as itself,
// other text as {"$text": "..."}, and all else as {"$base64": "..."}. It has to be
// encoded without the escapes of HTML.
type Body []byte

// wrapped is a Body that is not JSON.
type wrapped struct {
	Text   *string `json:"$text,omitempty"`
	Base64 *[]byte `json:"$base64,omitempty"`
}

// wrapper begins every wrapped, and therefore no Body as itself.
const wrapper = `{"$`

// MarshalJSON implements json.Marshaler.
func (b Body) MarshalJSON() ([]byte, error) {
	switch {
	case b == nil:
		return []byte("null"), nil
	case b.isPlain():
		return b, nil
	case utf8.Valid(b):
		text := string(b)
		return encode(wrapped{Text: &text})
	default:
		return encode(wrapped{Base64: (*[]byte)(&b)})
	}
}

// UnmarshalJSON implements json.Unmarshaler.
func (b *Body) UnmarshalJSON(doc []byte) error {
	*b = nil
	if string(doc) == "null" {
		return nil
	}
	if !bytes.HasPrefix(doc, []byte(wrapper)) {
		*b = bytes.Clone(doc)
		return nil
	}
	var w wrapped
	if err := decode(doc, &w); err != nil {
		return err
	}
	switch {
	case (w.Text == nil) == (w.Base64 == nil):
		return fmt.Errorf("%.64q is neither text nor base64", doc)
	case w.Text != nil:
		*b = Body(*w.Text)
	default:
		*b = *w.Base64
	}
	return nil
}

// isPlain says whether b is JSON that an encoder and a decoder leave alone, inside
// of other JSON.
func (b Body) isPlain() bool {
	if !utf8.Valid(b) || !json.Valid(b) || string(b) == "null" || bytes.HasPrefix(b, []byte(wrapper)) {
		return false
	}
	var compact bytes.Buffer
	if json.Compact(&compact, b) != nil || !bytes.Equal(compact.Bytes(), b) {
		return false
	}
	// The standard library reads 10,000 levels.
	const few, levels = 9000, 16
	if bytes.Count(b, []byte("["))+bytes.Count(b, []byte("{")) < few {
		return true
	}
	return json.Valid(slices.Concat(bytes.Repeat([]byte("["), levels), b, bytes.Repeat([]byte("]"), levels)))
}

// encode writes JSON on one line, characters of HTML as they are.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// decode reads one document, and nothing that v has no place for.
func decode(doc []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(doc))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return fmt.Errorf("byte %d: %w", d.InputOffset(), err)
	}
	if rest := bytes.TrimSpace(doc[d.InputOffset():]); len(rest) > 0 {
		return fmt.Errorf("byte %d: %.32q follows its end", d.InputOffset(), rest)
	}
	return nil
}

package signature

import (
	"bytes"
	"encoding/json"
	"errors"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/cofferdam-run/cofferdam/host/webhook/descriptor"
)

// reading is a request whose places are looked up. What has to be decoded for that is, once.
type reading struct {
	Request
	body    any
	isJSON  bool
	decoded bool
	query   url.Values
	form    url.Values
	isForm  bool
}

func read(r Request) *reading { return &reading{Request: r} }

// one returns the value at a place, or "" where there is none. Several values that differ
// are refused.
func (r *reading) one(place string) (string, error) {
	all, err := r.all(place)
	if err != nil || len(all) == 0 {
		return "", err
	}
	for _, v := range all[1:] {
		if v != all[0] {
			return "", invalid("%s is there %d times with different values", named(place), len(all))
		}
	}
	return all[0], nil
}

// all returns all values at a place.
func (r *reading) all(place string) ([]string, error) {
	kind, name := descriptor.Place(place)
	switch kind {
	case "header":
		return r.Header.Values(name), nil
	case "query":
		if r.query == nil {
			query, err := url.ParseQuery(r.Query)
			if err != nil {
				return nil, invalid("the query cannot be read")
			}
			r.query = query
		}
		return r.query[name], nil
	case "form":
		r.parseForm()
		return r.form[name], nil
	default:
		return texts(r.nodes(name)), nil
	}
}

// nodes returns what the JSON body has at a pointer in which * is every element.
func (r *reading) nodes(pointer string) []any {
	if !r.decoded {
		r.body, r.isJSON = decode(r.Body)
		r.decoded = true
	}
	if !r.isJSON {
		return nil
	}
	found := []any{r.body}
	if pointer == "" {
		return found
	}
	unescape := strings.NewReplacer("~1", "/", "~0", "~")
	for token := range strings.SplitSeq(pointer[1:], "/") {
		var next []any
		for _, node := range found {
			next = append(next, step(node, unescape.Replace(token))...)
		}
		found = next
	}
	return found
}

func step(node any, token string) []any {
	switch node := node.(type) {
	case map[string]any:
		if value, ok := node[token]; ok {
			return []any{value}
		}
	case []any:
		if token == "*" {
			return node
		}
		if i, err := strconv.Atoi(token); err == nil && i >= 0 && i < len(node) && strconv.Itoa(i) == token {
			return []any{node[i]}
		}
	}
	return nil
}

// texts are the values that are texts, numbers, true or false; a number is as it was written.
func texts(nodes []any) []string {
	var all []string
	for _, node := range nodes {
		switch v := node.(type) {
		case string:
			all = append(all, v)
		case json.Number:
			all = append(all, v.String())
		case bool:
			all = append(all, strconv.FormatBool(v))
		}
	}
	return all
}

// parseForm reads a body that says that it is a form, and is.
func (r *reading) parseForm() {
	if r.form != nil {
		return
	}
	r.form = url.Values{}
	if len(r.Body) == 0 {
		r.isForm = true
		return
	}
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/x-www-form-urlencoded" {
		return
	}
	if form, err := url.ParseQuery(string(r.Body)); err == nil {
		r.form, r.isForm = form, true
	}
}

// named is a place in words.
func named(place string) string {
	kind, name := descriptor.Place(place)
	switch kind {
	case "header":
		return "the header " + http.CanonicalHeaderKey(name)
	case "query":
		return "the parameter " + name + " of the query"
	case "form":
		return "the field " + name + " of the form"
	default:
		return "what the body has at " + name
	}
}

// maxDepth bounds the stack that a body can make this program use.
const maxDepth = 100

// decode reads JSON with its numbers as written. An object with a name twice is refused, for
// whoever reads it next may take the other one.
func decode(body []byte) (any, bool) {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	value, err := decodeValue(d, 0)
	if err != nil {
		return nil, false
	}
	_, err = d.Token()
	return value, err != nil && !d.More()
}

var errNotJSON = errors.New("not such JSON")

func decodeValue(d *json.Decoder, depth int) (any, error) {
	token, err := d.Token()
	if err != nil || depth > maxDepth {
		return nil, errNotJSON
	}
	switch token {
	case json.Delim('{'):
		return decodeObject(d, depth)
	case json.Delim('['):
		list := []any{}
		for d.More() {
			value, err := decodeValue(d, depth+1)
			if err != nil {
				return nil, err
			}
			list = append(list, value)
		}
		_, err := d.Token()
		return list, err //nolint:wrapcheck // Nobody sees it.
	default:
		return token, nil
	}
}

func decodeObject(d *json.Decoder, depth int) (any, error) {
	object := map[string]any{}
	for d.More() {
		name, err := d.Token()
		text, ok := name.(string)
		if err != nil || !ok {
			return nil, errNotJSON
		}
		if _, twice := object[text]; twice {
			return nil, errNotJSON
		}
		if object[text], err = decodeValue(d, depth+1); err != nil {
			return nil, err
		}
	}
	_, err := d.Token()
	return object, err //nolint:wrapcheck // Nobody sees it.
}

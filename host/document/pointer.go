package document

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// At finds a place in a document that encoding/json has decoded into any, by a JSON
// pointer (RFC 6901). The empty pointer is the document.
func At(document any, place string) (any, bool) {
	if place == "" {
		return document, true
	}
	unescape := strings.NewReplacer("~1", "/", "~0", "~")
	for token := range strings.SplitSeq(strings.TrimPrefix(place, "/"), "/") {
		token = unescape.Replace(token)
		switch node := document.(type) {
		case map[string]any:
			next, ok := node[token]
			if !ok {
				return nil, false
			}
			document = next
		case []any:
			i, err := strconv.Atoi(token)
			if err != nil || i < 0 || i >= len(node) || strconv.Itoa(i) != token {
				return nil, false
			}
			document = node[i]
		default:
			return nil, false
		}
	}
	return document, true
}

// Text writes a decoded JSON value as text: a number without an exponent, a string as it
// is.
func Text(value any) string {
	switch v := value.(type) {
	case string:
		return v
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	case json.Number:
		return v.String()
	case nil:
		return ""
	default:
		return fmt.Sprint(v)
	}
}

// IsPointer holds the form of a JSON pointer.
func IsPointer(place string) bool {
	return place == "" || place[0] == '/' && !strings.Contains(strings.NewReplacer("~0", "", "~1", "").Replace(place), "~")
}

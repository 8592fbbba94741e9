package hostfns

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Decode reads a guest's request into a T. What does not fit is an
// *Error with CodeInvalidRequest that says where: a field that T lacks is
// refused too, because a misspelt "connection" would otherwise send a request
// without its credential. Bytes that are not UTF-8 are refused, so that nothing
// a guest hands over can fail later in a database.
func Decode[T any](request json.RawMessage) (T, error) {
	var v T
	if !utf8.Valid(request) {
		return v, Errorf(CodeInvalidRequest, "the request is not UTF-8: send JSON in UTF-8, and other bytes in base64")
	}
	if !hasRoom(request) {
		return v, Errorf(CodeInvalidRequest, "the request is nested thousands of levels deep: make it flatter")
	}
	d := json.NewDecoder(bytes.NewReader(request))
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil {
		return v, decodeError(err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return v, Errorf(CodeInvalidRequest, "the request goes on after its JSON object, at byte %d", d.InputOffset())
	}
	return v, nil
}

// hasRoom says whether a document can be kept inside of others. The standard
// library reads 10,000 levels: what a guest has filled them with could be stored in
// a trace, which nobody could read then.
func hasRoom(doc []byte) bool {
	const few, levels = 9000, 64
	if bytes.Count(doc, []byte("["))+bytes.Count(doc, []byte("{")) < few {
		return true
	}
	inside := slices.Concat(bytes.Repeat([]byte("["), levels), doc, bytes.Repeat([]byte("]"), levels))
	return json.Valid(inside) || !json.Valid(doc) // What is no JSON is refused with a better reason.
}

func decodeError(err error) *Error {
	var wrongType *json.UnmarshalTypeError
	var syntax *json.SyntaxError
	var instant *time.ParseError
	switch {
	case errors.As(err, &instant):
		return Errorf(CodeInvalidRequest, "%q is not a time such as 2026-01-02T15:04:05Z", clip(instant.Value, 64))
	case errors.As(err, &wrongType) && wrongType.Field != "":
		return Errorf(CodeInvalidRequest, "%q cannot be a JSON %s", clip(wrongType.Field, 64), wrongType.Value)
	case errors.As(err, &wrongType):
		return Errorf(CodeInvalidRequest, "the request is a JSON %s: it must be an object", wrongType.Value)
	case errors.As(err, &syntax):
		return Errorf(CodeInvalidRequest, "the request is not JSON: at byte %d: %s", syntax.Offset, syntax.Error())
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return Errorf(CodeInvalidRequest, "the request is empty or ends too early: it must be a JSON object")
	default:
		// What is left is the decoder's "json: unknown field ...", which has no type.
		return Errorf(CodeInvalidRequest, "the request has an %s", clip(strings.TrimPrefix(err.Error(), "json: "), 128))
	}
}

// clip cuts s to at most limit bytes, at a rune's boundary, and replaces what a
// database refuses in text: NUL and bytes that are not UTF-8.
func clip(s string, limit int) string {
	if len(s) > limit {
		for limit > 0 && !utf8.RuneStart(s[limit]) {
			limit--
		}
		s = s[:limit]
	}
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}

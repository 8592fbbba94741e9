package main

import (
	"encoding/json"
	"strings"

	"github.com/cofferdam-run/cofferdam/sdk/go/connector"
	"github.com/cofferdam-run/cofferdam/sdk/go/connector/code"
)

// at finds a place in a document by a JSON pointer, such as /data/items, see
// <https://www.rfc-editor.org/rfc/rfc6901>. The empty one is the whole document. It
// gives nil for what is not there, and for null.
func at(document json.RawMessage, pointer string) json.RawMessage {
	unescape := strings.NewReplacer("~1", "/", "~0", "~")
	for _, token := range strings.Split(pointer, "/")[1:] {
		var object map[string]json.RawMessage
		if json.Unmarshal(document, &object) != nil {
			return nil
		}
		document = object[unescape.Replace(token)]
	}
	if string(document) == "null" {
		return nil
	}
	return document
}

// check refuses what is no pointer to a property.
func checkPointer(pointer string) error {
	if pointer != "" && !strings.HasPrefix(pointer, "/") {
		return connector.Errorf(code.InvalidInput, "%q is no JSON pointer: it begins with a slash, such as /data", pointer)
	}
	return nil
}

// items finds a list in a document.
func items(document json.RawMessage, pointer string) ([]json.RawMessage, error) {
	if err := checkPointer(pointer); err != nil {
		return nil, err
	}
	value := at(document, pointer)
	if value == nil {
		return nil, connector.Errorf(code.ContractChanged, "the answer has nothing at %q, where the items should be", pointer)
	}
	list := []json.RawMessage{}
	if err := json.Unmarshal(value, &list); err != nil {
		return nil, connector.Errorf(code.ContractChanged, "what the answer has at %q is no list", pointer)
	}
	return list, nil
}

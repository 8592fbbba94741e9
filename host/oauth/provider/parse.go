package provider

import (
	"encoding/json"
	"reflect"

	"github.com/cofferdam-run/cofferdam/host/document"
)

// Parse reads a descriptor and fills in its defaults. Its error is a *fault.Error that
// names file, lists every field that is not a descriptor's and every value that cannot
// be, as JSON pointers, and says what to write.
func Parse(file string, data []byte) (Provider, error) {
	var p Provider
	var problems document.Problems
	document.Check(data, reflect.TypeFor[Provider](), &problems)
	if err := problems.Err(codeInvalid, file); err != nil {
		return Provider{}, err
	}
	if err := json.Unmarshal(data, &p); err != nil {
		problems.Add("", "cannot be read: %v", err)
		return Provider{}, problems.Err(codeInvalid, file)
	}
	p = p.withDefaults()
	p.validate(&problems)
	if err := problems.Err(codeInvalid, file); err != nil {
		return Provider{}, err
	}
	return p, nil
}

package descriptor

import (
	"encoding/json"
	"reflect"

	"github.com/cofferdam-run/cofferdam/host/document"
)

// codeInvalid is the code of a descriptor's faults.
const codeInvalid = "descriptor_invalid"

// Parse reads a descriptor and fills in its defaults. Its error is a *fault.Error that names
// source, lists every field that is not a descriptor's and every value that cannot be, as
// JSON pointers, and says what to write.
func Parse(source string, data []byte) (Descriptor, error) {
	var d Descriptor
	var problems document.Problems
	document.Check(data, reflect.TypeFor[Descriptor](), &problems)
	if err := problems.Err(codeInvalid, source); err != nil {
		return Descriptor{}, err
	}
	if err := json.Unmarshal(data, &d); err != nil {
		problems.Add("", "cannot be read: %v", err)
		return Descriptor{}, problems.Err(codeInvalid, source)
	}
	d = d.withDefaults()
	d.validate(&problems)
	if err := problems.Err(codeInvalid, source); err != nil {
		return Descriptor{}, err
	}
	return d, nil
}

func (d Descriptor) withDefaults() Descriptor {
	fill(&d.Secret, "ours")
	fill(&d.Parse.As, "plain")
	if d.Parse.As == "kv" {
		fill(&d.Parse.Separator, ",")
	}
	for i := range d.Signatures {
		s := &d.Signatures[i]
		fill(&s.Key, "utf8")
		fill(&s.Enc, "hex")
		fill(&s.Query.Values, ",")
	}
	if d.Dedupe.Or == "" {
		d.Dedupe.Or = "body"
		if d.Dedupe.headersAlone() || len(d.Dedupe.From) == 0 && d.hasID() {
			d.Dedupe.Or = "refuse"
		}
	}
	for i := range d.Handshakes {
		fill(&d.Handshakes[i].Method, "POST")
		if d.Handshakes[i].Respond.Status == 0 {
			d.Handshakes[i].Respond.Status = 200
		}
	}
	if d.Answer == 0 {
		d.Answer = 202
	}
	return d
}

func fill(s *string, value string) {
	if *s == "" {
		*s = value
	}
}

func (d Dedupe) headersAlone() bool {
	for _, place := range d.From {
		if kind, _ := Place(place); kind != "header" {
			return false
		}
	}
	return len(d.From) > 0
}

func (d Descriptor) hasID() bool {
	return len(d.Parts) > 0 && d.Parts[0].ID != ""
}

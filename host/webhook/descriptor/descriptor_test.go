package descriptor_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/webhook/descriptor"
)

func TestEachThatComesWithTheProgram(t *testing.T) {
	t.Parallel()
	all, err := descriptor.Load()
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 58 {
		t.Errorf("%d descriptors, want 58 at least", len(all))
	}
	for i, d := range all {
		if d.Name != descriptor.Names()[i] {
			t.Errorf("%s.json has the name %q", descriptor.Names()[i], d.Name)
		}
		if len(d.Docs) == 0 {
			t.Errorf("%s names no page that its facts are from", d.Name)
		}
	}
}

// base is a descriptor of one's own that can be.
const base = `{"name":"acme","title":"Acme","docs":["https://acme.example/webhooks"],
	"parts":[{"id":"header:X-Id","timestamp":"header:X-Time","signature":["header:X-Signature"]}],
	"signatures":[{"alg":"hmac-sha256","signed":"{id}.{ts}.{body}"}],
	"timestamp":{"unit":"s","tolerance_seconds":300}}`

// changed is base with some members of it replaced, or taken away by null.
func changed(t *testing.T, members string) []byte {
	t.Helper()
	var d, m map[string]json.RawMessage
	if err := errors.Join(json.Unmarshal([]byte(base), &d), json.Unmarshal([]byte(members), &m)); err != nil {
		t.Fatal(err)
	}
	for name, value := range m {
		if d[name] = value; string(value) == "null" {
			delete(d, name)
		}
	}
	text, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestWhatADescriptorCannotSay(t *testing.T) {
	t.Parallel()
	if _, err := descriptor.Parse("it", []byte(base)); err != nil {
		t.Fatalf("the base: %v", err)
	}
	const kv = `"parse":{"as":"kv","timestamp":"t","signatures":["v1"]},`
	tests := map[string]struct{ members, where, says string }{
		"no name":                         {`{"name":null}`, "/name", "lower-case"},
		"a name with a space":             {`{"name":"a b"}`, "/name", "lower-case"},
		"no title":                        {`{"title":null}`, "/title", "1 to 200"},
		"a page over plain http":          {`{"docs":["http://acme.example/"]}`, "/docs/0", "https"},
		"an unknown member":               {`{"signature":1}`, "/signature", ""},
		"a number for a text":             {`{"name":7}`, "/name", ""},
		"a secret of nobody's":            {`{"secret":"theirs"}`, "/secret", "vendor"},
		"an answer that is an error":      {`{"answer":500}`, "/answer", "200 to 299"},
		"no parts":                        {`{"parts":[]}`, "/parts", "1 to"},
		"no place of a signature":         {`{"parts":[{"id":"header:X-Id","timestamp":"header:X-Time","signature":[]}]}`, "/parts/0/signature", "1 to"},
		"a place that there is not":       {`{"parts":[{"id":"header:X-Id","timestamp":"header:X-Time","signature":["cookie:a"]}]}`, "/parts/0/signature/0", ""},
		"a header that is none":           {`{"parts":[{"id":"header:X Id","timestamp":"header:X-Time","signature":["header:A"]}]}`, "/parts/0/id", ""},
		"a pointer that is none":          {`{"parts":[{"id":"body:id","timestamp":"header:X-Time","signature":["header:A"]}]}`, "/parts/0/id", ""},
		"parsed in an unknown way":        {`{"parse":{"as":"xml"}}`, "/parse/as", "plain"},
		"a separator for what is plain":   {`{"parse":{"as":"plain","separator":","}}`, "/parse", "kv"},
		"members without a name":          {`{"parse":{"as":"kv","timestamp":"t"}}`, "/parse/signatures", "v1"},
		"an odd separator":                {`{"parse":{"as":"kv","separator":"|","signatures":["v1"]}}`, "/parse/separator", "comma"},
		"no signatures":                   {`{"signatures":[]}`, "/signatures", "1 to"},
		"an unknown algorithm":            {`{"signatures":[{"alg":"hmac-md5","signed":"{body}"}]}`, "/signatures/0/alg", "hmac-sha256"},
		"a key of another algorithm":      {`{"signatures":[{"alg":"ed25519","key":"spki","signed":"{ts}{body}"}]}`, "/signatures/0/key", ""},
		"an unknown encoding":             {`{"signatures":[{"alg":"hmac-sha256","enc":"b32","signed":"{body}"}]}`, "/signatures/0/enc", "hex"},
		"nothing is signed":               {`{"signatures":[{"alg":"hmac-sha256","signed":""}]}`, "/signatures/0/signed", ""},
		"nothing of the delivery":         {`{"parts":[{"timestamp":"header:X-Time","signature":["header:A"]}],"signatures":[{"alg":"hmac-sha256","signed":"{ts}"}]}`, "/signatures/0/signed", "{body}"},
		"a brace that does not close":     {`{"signatures":[{"alg":"hmac-sha256","signed":"{body"}]}`, "/signatures/0/signed", "{"},
		"a part that there is not":        {`{"signatures":[{"alg":"hmac-sha256","signed":"{cookie}"}]}`, "/signatures/0/signed", "{cookie}"},
		"an id without a place":           {`{"parts":[{"timestamp":"header:X-Time","signature":["header:A"]}],"signatures":[{"alg":"hmac-sha256","signed":"{id}{ts}{body}"}]}`, "/signatures/0/signed", "{id}"},
		"where one ends nobody can tell":  {`{"signatures":[{"alg":"hmac-sha256","signed":"{id}{body}"}]}`, "/signatures/0/signed", "where one ends"},
		"two that may be anything":        {`{"signatures":[{"alg":"hmac-sha256","signed":"{body}.{form}"}]}`, "/signatures/0/signed", "where one ends"},
		"a parameter that is not told":    {`{"signatures":[{"alg":"hmac-sha256","signed":"{parameter:a}{body}"}]}`, "/signatures/0/signed", "parameters"},
		"the secret in an HMAC":           {`{"signatures":[{"alg":"hmac-sha256","signed":"{secret}{body}"}]}`, "/signatures/0/signed", "sha256-concat"},
		"a plain hash without the secret": {`{"signatures":[{"alg":"sha256-concat","signed":"{body}"}]}`, "/signatures/0/signed", "{secret}"},
		"a signed text of what is equal":  {`{"signatures":[{"alg":"equal","signed":"{body}"}]}`, "/signatures/0/signed", "leave it out"},
		"a certificate from anywhere":     {`{"signatures":[{"alg":"rsa-pkcs1-sha256","key":"x509","signed":"{body}","certificate":{"at":"header:Cert"}}]}`, "/signatures/0/certificate", ""},
		"a certificate's open pattern":    {`{"signatures":[{"alg":"rsa-pkcs1-sha256","key":"x509","signed":"{body}","certificate":{"at":"header:Cert","host":"acme\\.example"}}]}`, "/signatures/0/certificate", ""},
		"a certificate of an HMAC":        {`{"signatures":[{"alg":"hmac-sha256","signed":"{body}","certificate":{"at":"header:Cert","host":"^a$"}}]}`, "/signatures/0/certificate", "x509"},
		"keys over plain http":            {`{"secret":"none","signatures":[{"alg":"jwt","key":"jwks","jwt":{"alg":"RS256","url":"http://acme.example/keys"}}]}`, "/signatures/0/jwt/url", "https"},
		"keys of whoever says so":         {`{"secret":"none","parameters":{"a":{"title":"A"}},"signatures":[{"alg":"jwt","key":"jwks","jwt":{"alg":"RS256","url":"https://{parameter:a}/keys"}}]}`, "/signatures/0/jwt/url", "domain"},
		"a token signed by nobody":        {`{"secret":"none","signatures":[{"alg":"jwt","key":"jwks","jwt":{"alg":"none","url":"https://acme.example/keys"}}]}`, "/signatures/0/jwt/alg", "RS256"},
		"a time without a unit":           {`{"timestamp":{"tolerance_seconds":300}}`, "/timestamp/unit", ""},
		"a time that is good for ever":    {`{"timestamp":{"unit":"s"}}`, "/timestamp/tolerance_seconds", "1 to"},
		"a time that is good for a week":  {`{"timestamp":{"unit":"s","tolerance_seconds":604800}}`, "/timestamp/tolerance_seconds", "86400"},
		"a unit without a time":           {`{"parts":[{"id":"header:X-Id","signature":["header:A"]}],"signatures":[{"alg":"hmac-sha256","signed":"{body}"}]}`, "/timestamp", "no place"},
		"duplicates are known by nothing": {`{` + kv + `"dedupe":{"or":"maybe"}}`, "/dedupe/or", "body"},
		"a handshake of every delivery":   {`{"handshakes":[{"name":"a","respond":{"text":"ok"}}]}`, "/handshakes/0/when", "tells it"},
		"a handshake that nobody signs":   {`{"handshakes":[{"name":"a","method":"GET","when":[{"at":"query:c","present":true}]}]}`, "/handshakes/0/method", "unsigned"},
		"an answer of two kinds":          {`{"handshakes":[{"name":"a","when":[{"at":"query:c","present":true}],"respond":{"text":"a","json":{"a":1}}}]}`, "/handshakes/0/respond", "one of them"},
		"an answer that is an error, too": {`{"handshakes":[{"name":"a","when":[{"at":"query:c","present":true}],"respond":{"status":404}}]}`, "/handshakes/0/respond/status", "200 to 299"},
		"a secret that comes uncalled":    {`{"handshakes":[{"name":"a","when":[{"at":"query:c","present":true}],"adopt":"header:X-Secret"}]}`, "/handshakes/0/adopt", "handshake"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := descriptor.Parse("it", changed(t, tt.members))
			if err == nil {
				t.Fatal("it was taken")
			}
			f := fault.From(err)
			problems := f.Problems
			if len(problems) == 0 {
				problems = []fault.Problem{{Where: f.Where, Message: f.Message}}
			}
			if f.Code != "descriptor_invalid" || !slices.ContainsFunc(problems, func(p fault.Problem) bool {
				return strings.HasPrefix(p.Where, tt.where) && strings.Contains(p.Message, tt.says)
			}) {
				t.Errorf("got %s %+v, want %s with %q", f.Code, problems, tt.where, tt.says)
			}
		})
	}
	for _, text := range []string{"", "null", "[]", `"a"`, `{"name":"a","name":"b"}`, `{`, "\xff"} {
		if _, err := descriptor.Parse("it", []byte(text)); fault.From(err) == nil || fault.From(err).Code != "descriptor_invalid" {
			t.Errorf("%q: got %v", text, err)
		}
	}
}

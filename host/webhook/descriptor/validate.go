package descriptor

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/cofferdam-run/cofferdam/host/document"
)

// Caps of a descriptor: what each delivery is compared with is little.
const (
	maxSignatures = 16
	maxMatches    = 16
	maxHandshakes = 16
	maxPlaces     = 16
	maxTolerance  = 86_400 // Replays are to be refused, and a day is far more than any clock is off.
)

// Algorithms of signatures, with the forms that a key of each may have.
func algorithms() map[string][]string {
	shared := []string{"utf8", "b64", "hex", "whsec"}
	public := []string{"spki", "x509"}
	return map[string][]string{
		"hmac-sha1": shared, "hmac-sha256": shared, "hmac-sha512": shared,
		"sha256-concat": {"utf8"}, "equal": {"utf8"},
		"ed25519": {"hex", "b64", "whpk"}, "ecdsa-p256": {"spki"},
		"rsa-pkcs1-sha1": public, "rsa-pkcs1-sha256": public, "jwt": {"jwks"},
	}
}

func (d Descriptor) validate(problems *document.Problems) {
	if !isName(d.Name) {
		problems.Add("/name", "is %s: write 1 to 63 lower-case letters, digits and hyphens, beginning with a letter", document.Quoted(d.Name))
	}
	if d.Title == "" || len(d.Title) > 200 {
		problems.Add("/title", "has %d bytes: write what people call it, in 1 to 200", len(d.Title))
	}
	for i, page := range d.Docs {
		if u, err := url.Parse(page); err != nil || u.Scheme != "https" || u.Host == "" {
			problems.Add(document.Element("/docs", i), "is %s: write the https URL of a page", document.Quoted(page))
		}
	}
	word(problems, "/secret", d.Secret, "ours", "vendor", "handshake", "none")
	if d.Answer < 200 || d.Answer > 299 {
		problems.Add("/answer", "is %d: write a status from 200 to 299", d.Answer)
	}
	d.validateParameters(problems)
	d.validateParts(problems)
	d.validateParse(problems)
	d.validateSignatures(problems)
	d.validateTime(problems)
	matches(problems, "/require", d.Require, d.Parameters)
	d.validateDedupe(problems)
	d.validateHandshakes(problems)
}

func (d Descriptor) validateParameters(problems *document.Problems) {
	if len(d.Parameters) > maxPlaces {
		problems.Add("/parameters", "has %d: at most %d are allowed", len(d.Parameters), maxPlaces)
	}
	for _, name := range slices.Sorted(maps.Keys(d.Parameters)) {
		p, where := d.Parameters[name], document.Pointer("/parameters", name)
		if !isName(strings.ReplaceAll(name, "_", "-")) {
			problems.Add(where, "is no name of a parameter: write lower-case letters, digits and underscores")
		}
		if p.Title == "" {
			problems.Add(where+"/title", "is missing: write what people call it")
		}
		if p.Pattern == "" {
			continue
		}
		if pattern(problems, where+"/pattern", p.Pattern) {
			for field, value := range map[string]string{"example": p.Example, "default": p.Default} {
				if value != "" && !regexp.MustCompile(p.Pattern).MatchString(value) {
					problems.Add(where+"/"+field, "is %s, which does not match the pattern", document.Quoted(value))
				}
			}
		}
	}
}

func (d Descriptor) validateParts(problems *document.Problems) {
	if len(d.Parts) == 0 || len(d.Parts) > maxPlaces {
		problems.Add("/parts", "has %d sets of places: write 1 to %d", len(d.Parts), maxPlaces)
	}
	for i, set := range d.Parts {
		where := document.Element("/parts", i)
		if len(set.Signature) == 0 || len(set.Signature) > maxPlaces {
			problems.Add(where+"/signature", "names %d places: write 1 to %d", len(set.Signature), maxPlaces)
		}
		for j, at := range set.Signature {
			place(problems, document.Element(where+"/signature", j), at)
		}
		if set.ID != "" {
			place(problems, where+"/id", set.ID)
		}
		if set.Timestamp != "" {
			place(problems, where+"/timestamp", set.Timestamp)
		}
	}
}

func (d Descriptor) validateParse(problems *document.Problems) {
	word(problems, "/parse/as", d.Parse.As, "plain", "list", "kv")
	if d.Parse.As != "kv" {
		if d.Parse.Separator != "" || d.Parse.Timestamp != "" || len(d.Parse.Signatures) > 0 {
			problems.Add("/parse", "has a separator, a timestamp or signatures, which are for kv: as is %s", d.Parse.As)
		}
		return
	}
	if !slices.Contains([]string{",", ", ", ";", "&", " "}, d.Parse.Separator) {
		problems.Add("/parse/separator", "is %s: write a comma, a comma and a space, a semicolon, & or a space", document.Quoted(d.Parse.Separator))
	}
	if len(d.Parse.Signatures) == 0 {
		problems.Add("/parse/signatures", "is missing: name the members that have signatures, such as \"v1\"")
	}
}

func (d Descriptor) validateSignatures(problems *document.Problems) {
	if n := len(d.Signatures); n == 0 || n > maxSignatures {
		problems.Add("/signatures", "has %d ways of signing: write 1 to %d", n, maxSignatures)
	}
	for i, s := range d.Signatures {
		d.validateSignature(problems, document.Element("/signatures", i), s)
	}
}

func (d Descriptor) validateSignature(problems *document.Problems, where string, s Signature) {
	keys, known := algorithms()[s.Alg]
	if !known {
		problems.Add(where+"/alg", "is %s: write %s", document.Quoted(s.Alg), document.Or(slices.Sorted(maps.Keys(algorithms()))))
		return
	}
	word(problems, where+"/key", s.Key, keys...)
	word(problems, where+"/enc", s.Enc, "hex", "b64")
	matches(problems, where+"/when", s.When, d.Parameters)
	if s.BodySHA256 != "" {
		place(problems, where+"/body_sha256", s.BodySHA256)
	}
	if s.Alg == "equal" || s.Alg == "jwt" {
		if s.Signed != "" {
			problems.Add(where+"/signed", "is %s, but nothing is signed with %s: leave it out", document.Quoted(s.Signed), s.Alg)
		}
	} else {
		d.validateSigned(problems, where+"/signed", s)
	}
	if s.Key == "x509" {
		address(problems, where+"/certificate", s.Certificate)
	} else if s.Certificate != (Certificate{}) {
		problems.Add(where+"/certificate", "is for the key x509: it is %s", s.Key)
	}
	if s.Alg == "jwt" {
		d.validateJWT(problems, where+"/jwt", s.JWT)
	}
}

// validateSigned holds that a signature covers something, and the delivery's body or what
// stands for it, and that nothing but a plain hash has the secret.
func (d Descriptor) validateSigned(problems *document.Problems, where string, s Signature) {
	if s.Signed == "" {
		problems.Add(where, "is missing: write what is signed, such as {body}; a signature of nothing is the same for every delivery")
		return
	}
	if err := d.checkSigned(s.Signed); err != nil {
		problems.Add(where, "is %s, which %v", document.Quoted(s.Signed), err)
		return
	}
	hasSecret := strings.Contains(s.Signed, "{secret}")
	if hasSecret != (s.Alg == "sha256-concat") {
		problems.Add(where, "is %s: {secret} is for sha256-concat, which needs it", document.Quoted(s.Signed))
	}
	pieces, _ := Split(s.Signed) // It was split before.
	if !slices.ContainsFunc(pieces, func(p Piece) bool { return !p.fixed() || strings.HasSuffix(p.Name, "line") }) && s.BodySHA256 == "" && !d.partsOfBody() {
		problems.Add(where, "is %s, which has nothing of the delivery: write {body}", document.Quoted(s.Signed))
	}
}

// partsOfBody says that the parts themselves are all that is known of a delivery.
func (d Descriptor) partsOfBody() bool {
	return slices.ContainsFunc(d.Parts, func(p Parts) bool { return p.ID != "" || strings.HasPrefix(p.Timestamp, "body:") })
}

func (d Descriptor) validateJWT(problems *document.Problems, where string, j JWT) {
	word(problems, where+"/alg", j.Alg, "RS256", "ES256")
	u, err := url.Parse(strings.NewReplacer("{", "", "}", "", ":", "").Replace(strings.TrimPrefix(j.URL, "https://")))
	if !strings.HasPrefix(j.URL, "https://") || err != nil || u == nil {
		problems.Add(where+"/url", "is %s: write the https URL of the vendor's keys", document.Quoted(j.URL))
		return
	}
	host, _, _ := strings.Cut(strings.TrimPrefix(j.URL, "https://"), "/")
	if tail := host[strings.LastIndexByte(host, '}')+1:]; strings.Count(strings.TrimPrefix(tail, "."), ".") < 1 || strings.ContainsAny(tail, ":@?#") {
		problems.Add(where+"/url", "is %s: its host must end in a domain of the vendor's, without a port", document.Quoted(j.URL))
	}
	for _, text := range append(slices.Collect(maps.Values(j.Ask)), append(slices.Collect(maps.Values(j.Claims)), j.URL)...) {
		pieces, err := Split(text)
		if err != nil {
			problems.Add(where, "has %s, which %v", document.Quoted(text), err)
		}
		for _, p := range pieces {
			if _, known := d.Parameters[p.Of]; p.Name == "parameter" && !known {
				problems.Add(where, "has {parameter:%s}, which is not in parameters: describe it there", p.Of)
			}
		}
	}
}

func (d Descriptor) validateTime(problems *document.Problems) {
	has := d.Parse.Timestamp != "" || slices.ContainsFunc(d.Parts, func(p Parts) bool { return p.Timestamp != "" })
	if !has {
		if d.Timestamp != (Timestamp{}) {
			problems.Add("/timestamp", "is there, but parts and parse name no place of one")
		}
		return
	}
	word(problems, "/timestamp/unit", d.Timestamp.Unit, "s", "ms", "rfc3339", "imf")
	if n := d.Timestamp.ToleranceSeconds; n < 1 || n > maxTolerance {
		problems.Add("/timestamp/tolerance_seconds", "is %d: write 1 to %d; 300 is usual", n, maxTolerance)
	}
}

func (d Descriptor) validateDedupe(problems *document.Problems) {
	if len(d.Dedupe.From) > maxPlaces {
		problems.Add("/dedupe/from", "has %d places: at most %d are allowed", len(d.Dedupe.From), maxPlaces)
	}
	for i, at := range d.Dedupe.From {
		place(problems, document.Element("/dedupe/from", i), at)
	}
	word(problems, "/dedupe/or", d.Dedupe.Or, "body", "none", "refuse")
}

func (d Descriptor) validateHandshakes(problems *document.Problems) {
	if len(d.Handshakes) > maxHandshakes {
		problems.Add("/handshakes", "has %d: at most %d are allowed", len(d.Handshakes), maxHandshakes)
	}
	for i, h := range d.Handshakes {
		where := document.Element("/handshakes", i)
		word(problems, where+"/method", h.Method, http.MethodPost, http.MethodGet, http.MethodHead, http.MethodOptions)
		if h.Method != http.MethodPost && !h.Unsigned && !slices.ContainsFunc(d.Signatures, func(s Signature) bool { return s.Alg == "equal" }) {
			problems.Add(where+"/method", "is %s, which no vendor signs: set unsigned", h.Method)
		}
		if len(h.When) == 0 && h.Method != http.MethodHead {
			problems.Add(where+"/when", "is missing: write what tells it from a delivery")
		}
		matches(problems, where+"/when", h.When, d.Parameters)
		if h.Adopt != "" {
			place(problems, where+"/adopt", h.Adopt)
			if d.Secret != "handshake" {
				problems.Add(where+"/adopt", "is there, but secret is %s: write handshake", d.Secret)
			}
		}
		if h.Confirm != (Certificate{}) {
			address(problems, where+"/confirm", h.Confirm)
		}
		respond(problems, where+"/respond", h.Respond)
	}
}

func respond(problems *document.Problems, where string, r Respond) {
	if r.Status < 200 || r.Status > 299 {
		problems.Add(where+"/status", "is %d: write one from 200 to 299", r.Status)
	}
	if r.Text != "" && r.JSON != nil {
		problems.Add(where, "has a text and a json: an answer has one of them")
	}
	texts := map[string]string{where + "/text": r.Text}
	for name, value := range r.Header {
		texts[document.Pointer(where+"/header", name)] = value
		if !isToken(name) {
			problems.Add(document.Pointer(where+"/header", name), "is no name of a header")
		}
	}
	for name, value := range r.JSON {
		texts[document.Pointer(where+"/json", name)] = fmt.Sprint(value)
	}
	for at, text := range texts {
		pieces, err := Split(text)
		if err != nil {
			problems.Add(at, "is %s, which %v", document.Quoted(text), err)
		}
		for _, p := range pieces {
			of := p.Name + ":" + p.Of
			if p.Name == "hmac-hex" || p.Name == "hmac-b64" {
				of = p.Of
			}
			if p.Name != "" {
				place(problems, at, of)
			}
		}
	}
}

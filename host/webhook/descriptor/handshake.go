package descriptor

// Handshake is a request by which a vendor tries an endpoint.
type Handshake struct {
	Name string `json:"name"`
	// Method is that of the request. Defaults to POST.
	Method string `json:"method,omitempty"`
	// Unsigned says that the vendor does not sign it. All others are verified first.
	Unsigned bool `json:"unsigned,omitempty"`
	// When tells it from deliveries: all must hold.
	When []Match `json:"when"`
	// Adopt is the place of the secret that it brings: it is taken while the endpoint waits
	// for one, and never else.
	Adopt string `json:"adopt,omitempty"`
	// Confirm is a request that has to be made before it is answered.
	Confirm Certificate `json:"confirm,omitzero"`
	Respond Respond     `json:"respond,omitzero"`
}

// Respond is the answer to a handshake. Its values are templates: what stands in braces is a
// place, or hmac-hex:PLACE or hmac-b64:PLACE, the HMAC of what is there under the secret.
type Respond struct {
	// Status defaults to 200.
	Status int `json:"status,omitempty"`
	// Text is answered as text/plain, and JSON as an object.
	Text   string            `json:"text,omitempty"`
	JSON   map[string]any    `json:"json,omitempty"`
	Header map[string]string `json:"header,omitempty"`
}

// Match is something that holds of a request or does not: what is at a place, and one thing
// that is asked of it.
type Match struct {
	At string `json:"at"`
	// Is compares with a text. Numbers, true and false of JSON count as their texts.
	Is string `json:"is,omitempty"`
	// Parameter compares with what the endpoint was told; Among has it among words of that.
	Parameter string `json:"parameter,omitempty"`
	Among     string `json:"among,omitempty"`
	// Pattern is a regular expression from ^ to $.
	Pattern string `json:"matches,omitempty"`
	// Count is how many elements the list there has.
	Count int `json:"count,omitempty"`
	// Type is object or list.
	Type string `json:"type,omitempty"`
	// Absent says that there is nothing, Present that there is something.
	Absent  bool `json:"absent,omitempty"`
	Present bool `json:"present,omitempty"`
}

// Certificate is an address in a delivery that is asked: only over https, only at hosts that
// match, and only through the guard.
type Certificate struct {
	// At is the place of the URL.
	At string `json:"at,omitempty"`
	// Host and Path are regular expressions from ^ to $; Host ends in a domain of the
	// vendor's.
	Host string `json:"host,omitempty"`
	Path string `json:"path,omitempty"`
	// Names says that the certificate has to be one that public authorities vouch for, for a
	// name that matches this. Defaults to whatever is at that address, within its dates.
	Names string `json:"names,omitempty"`
}

// JWT is what has to hold of a token.
type JWT struct {
	// Alg is the one algorithm that is accepted: RS256 or ES256.
	Alg string `json:"alg,omitempty"`
	// URL is where the vendor's keys are: a template over {kid} and {parameter:NAME}, whose
	// host ends in a domain of the vendor's.
	URL string `json:"url,omitempty"`
	// Ask is the JSON that is sent to URL with POST; its values may have {secret}, too.
	// Defaults to a GET.
	Ask map[string]string `json:"ask,omitempty"`
	// At is the pointer of the one key in the answer. Defaults to a list in keys.
	At string `json:"at,omitempty"`
	// Issuers are those that are accepted. Defaults to any.
	Issuers []string `json:"issuers,omitempty"`
	// Claims have to be equal to these: texts, which may be {parameter:NAME}.
	Claims map[string]string `json:"claims,omitempty"`
	// BodySHA256 is the claim with the body's SHA-256 in hexadecimal digits.
	BodySHA256 string `json:"body_sha256,omitempty"`
	// AgeSeconds is how far iat may be from now. Defaults to no bound: exp is held always.
	AgeSeconds int `json:"age_seconds,omitempty"`
}

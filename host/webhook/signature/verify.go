package signature

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/webhook/descriptor"
)

const (
	// maxID bounds what is kept as the key of duplicates. GitHub's ids have 36 characters,
	// Svix's 31.
	maxID = 256
	// maxGiven bounds the signatures that are compared: a vendor sends one for each of its
	// live keys.
	maxGiven = 16
)

// judgement is a case while it is judged.
type judgement struct {
	*Scheme
	Case
	*reading
	parts  descriptor.Parts
	given  []string
	id, ts string
}

func (s *Scheme) judge(c Case) *judgement {
	c.Parameters = s.parameters(c.Parameters)
	return &judgement{Scheme: s, Case: c, reading: read(c.Request)}
}

// parameters fills in what has a default.
func (s *Scheme) parameters(given map[string]string) map[string]string {
	all := make(map[string]string, len(s.Parameters))
	for name, p := range s.Parameters {
		all[name] = p.Default
	}
	maps.Copy(all, given)
	return all
}

// steps are what is judged, in this order.
func (j *judgement) steps() []judged {
	return []judged{
		{"parts", func(context.Context) error { return j.find() }},
		{"timestamp", func(context.Context) error { return j.time() }},
		{"signature", j.signature},
		{"requirements", func(context.Context) error { return j.requirements() }},
	}
}

type judged struct {
	name  string
	check func(context.Context) error
}

// Verify judges a delivery, or a handshake that the vendor signs. Its errors are
// *fault.Error: signature_missing, signature_invalid, timestamp_out_of_range,
// delivery_id_missing, delivery_id_invalid, delivery_refused, vendor_keys_unavailable,
// endpoint_incomplete.
func (s *Scheme) Verify(ctx context.Context, c Case) (Verified, error) {
	j := s.judge(c)
	for _, step := range j.steps() {
		if err := step.check(ctx); err != nil {
			return Verified{}, err
		}
	}
	reply, err := j.handshake(ctx)
	if err != nil || reply != nil {
		return Verified{Handshake: reply}, err
	}
	id, err := j.deliveryID()
	return Verified{ID: id}, err
}

// find finds the parts of the delivery.
func (j *judgement) find() error {
	j.parts = j.present()
	for _, place := range j.parts.Signature {
		given, err := j.givenAt(place)
		if err != nil {
			return err
		}
		j.given = append(j.given, given...)
	}
	if len(j.given) == 0 {
		return missing(j.parts.Signature[0])
	}
	if err := j.split(); err != nil {
		return err
	}
	return j.findID()
}

// givenAt is what stands at a place. Where that is a place in each element of a list, each
// has to have it.
func (j *judgement) givenAt(place string) ([]string, error) {
	if before, _, each := strings.Cut(place, "*"); each {
		_, pointer := descriptor.Place(before)
		all, err := j.all(place)
		if n := len(j.nodes(pointer + "*")); err == nil && n != len(all) {
			return nil, fault.New(fault.Auth, codeMissing, "%d of %d elements have not %s", n-len(all), n, named(place))
		}
		return all, err
	}
	value, err := j.one(place)
	if err != nil || value == "" {
		return nil, err
	}
	return []string{value}, nil
}

func missing(place string) error {
	return fault.New(fault.Auth, codeMissing, "the delivery has not %s", named(place)).
		WithHint("Give the vendor this endpoint's signing secret, and let it sign its deliveries.")
}

// present returns the set of places that the delivery uses: the first of which any has
// something, or else the first.
func (j *judgement) present() descriptor.Parts {
	for _, set := range j.Parts {
		for _, place := range append([]string{set.ID, set.Timestamp}, set.Signature...) {
			if place == "" {
				continue
			}
			if values, err := j.all(place); err == nil && len(values) > 0 {
				return set
			}
		}
	}
	return j.Parts[0]
}

// split takes apart what stands in one place.
func (j *judgement) split() error {
	switch j.Parse.As {
	case "list":
		var all []string
		for _, one := range j.given {
			all = append(all, strings.Split(one, " ")...)
		}
		j.given = all
	case "kv":
		if err := j.members(); err != nil {
			return err
		}
	}
	if len(j.given) > maxGiven && !strings.Contains(j.parts.Signature[0], "*") {
		return invalid("the delivery has %d signatures: at most %d are compared", len(j.given), maxGiven)
	}
	return nil
}

// members takes apart name=value members. A time that is there twice is refused unless it is
// the same.
func (j *judgement) members() error {
	var signatures []string
	separator := strings.TrimSpace(j.Parse.Separator)
	if separator == "" {
		separator = " "
	}
	for _, one := range j.given {
		for member := range strings.SplitSeq(one, separator) {
			if len(j.Parse.Separator) > 1 {
				member = strings.TrimPrefix(member, " ")
			}
			name, value, _ := strings.Cut(member, "=")
			switch {
			case name == j.Parse.Timestamp && name != "":
				if j.ts != "" && j.ts != value {
					return invalid("the timestamp is there twice with different values")
				}
				j.ts = value
			case slices.Contains(j.Parse.Signatures, name) && value != "":
				signatures = append(signatures, value)
			}
		}
	}
	if len(signatures) == 0 {
		return fault.New(fault.Auth, codeMissing, "%s has no signature of a version that is known: %s",
			named(j.parts.Signature[0]), strings.Join(j.Parse.Signatures, ", "))
	}
	j.given = signatures
	return nil
}

// findID finds the id that is one of the parts.
func (j *judgement) findID() error {
	if j.parts.ID == "" {
		return nil
	}
	id, err := j.one(j.parts.ID)
	if err != nil {
		return err
	}
	if id == "" {
		return fault.New(fault.InvalidInput, codeNoID, "the delivery has not %s, by which a second delivery of it would be known", named(j.parts.ID))
	}
	if len(id) > maxID || !visible(id) {
		return fault.New(fault.InvalidInput, codeBadID, "%s must have 1 to %d printable ASCII characters, and has %d bytes", named(j.parts.ID), maxID, len(id))
	}
	j.id = id
	return nil
}

func visible(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}

// requirements hold of every delivery.
func (j *judgement) requirements() error {
	for _, m := range j.require {
		if !j.hold(m, j.Parameters) {
			return fault.New(fault.Auth, codeRefused, "%s", m.words())
		}
	}
	return nil
}

// signature judges the signature, by each way that applies and each secret.
func (j *judgement) signature(ctx context.Context) error {
	refusal := error(invalid("no way of signing applies to the delivery"))
	for _, w := range j.ways {
		if !j.holds(w.when, j.Parameters) {
			continue
		}
		if err := j.bodyHash(w); err != nil {
			return err
		}
		err := j.try(ctx, w)
		if err == nil {
			return nil
		}
		refusal = err
	}
	return refusal
}

func (j *judgement) filling(w way, secret string) *filling {
	return &filling{reading: j.reading, id: j.id, ts: j.ts, secret: secret, parameters: j.Parameters, query: w.Query}
}

// try judges by one way.
func (j *judgement) try(ctx context.Context, w way) error {
	switch {
	case w.Alg == "jwt":
		return j.token(ctx, w)
	case w.Key == "x509":
		key, err := j.Vendors.certified(ctx, w.at, j.reading)
		if err != nil {
			return err
		}
		return j.public(w, key)
	}
	usable := false
	for _, secret := range j.Secrets {
		key, err := keyOf(w.Signature, secret)
		if err != nil {
			continue // It is of another way: a scheme may have a shared secret or a public key.
		}
		usable = true
		right, err := j.right(w, key, secret)
		if err != nil || right {
			return err
		}
	}
	if !usable && len(j.Secrets) == 0 {
		return setup("the endpoint has no signing secret yet").
			WithHint("Give it the vendor's: POST .../endpoints/{endpoint}/rotate, or `cofferdam endpoint rotate`.")
	}
	return j.wrong()
}

func (j *judgement) wrong() error {
	return invalid("the signature in %s is not that of this delivery under this endpoint's secret", named(j.parts.Signature[0]))
}

// right says whether one of the signatures that came is right under one key.
func (j *judgement) right(w way, key any, secret string) (bool, error) {
	f := j.filling(w, secret)
	if shared, ok := key.([]byte); ok {
		want, err := j.sum(w, shared, f)
		if err != nil {
			return false, err
		}
		return j.equal(want), nil
	}
	err := j.public(w, key)
	if fault.From(err) != nil && fault.From(err).Code == codeInvalid {
		return false, nil
	}
	return err == nil, err
}

// equal compares in constant time. Where a place has several, all have to be right.
func (j *judgement) equal(want string) bool {
	every := strings.Contains(j.parts.Signature[0], "*")
	some := false
	for _, one := range j.given {
		same := sameText(one, want)
		if every && !same {
			return false
		}
		some = some || same
	}
	return some
}

func (j *judgement) bodyHash(w way) error {
	if w.BodySHA256 == "" {
		return nil
	}
	given, err := j.one(w.BodySHA256)
	if err != nil {
		return err
	}
	if !sameText(given, sha256Hex(j.reading.Body)) {
		return invalid("%s is not the SHA-256 of the body", named(w.BodySHA256))
	}
	return nil
}

// time judges how old the delivery is.
func (j *judgement) time() error {
	at := j.parts.Timestamp
	if at == "" && j.Parse.Timestamp == "" {
		return nil
	}
	if at != "" {
		var err error
		if j.ts, err = j.one(at); err != nil {
			return err
		}
	}
	if j.ts == "" {
		if at == "" {
			return fault.New(fault.Auth, codeMissing, "%s has no %s=, the time", named(j.parts.Signature[0]), j.Parse.Timestamp)
		}
		return fault.New(fault.Auth, codeMissing, "the delivery has not %s", named(at))
	}
	seconds, err := parseTime(j.Timestamp.Unit, j.ts)
	if err != nil {
		return invalid("the timestamp is not %v", err)
	}
	off, limit := seconds-j.Now.Unix(), int64(j.Timestamp.ToleranceSeconds)
	if off < -limit || off > limit {
		return fault.New(fault.Auth, codeTime, "the delivery was signed %d s from now, and %d s is the limit", off, limit).
			WithHint("A redelivery must be signed anew. If all deliveries are refused, compare the clocks.")
	}
	return nil
}

// deliveryID is by what a second delivery of the same is known.
func (j *judgement) deliveryID() (string, error) {
	from := j.Dedupe.From
	if len(from) == 0 && j.id != "" {
		return j.id, nil
	}
	var values []string
	for _, place := range from {
		all, err := j.all(place)
		if err != nil {
			return "", err
		}
		values = append(values, fmt.Sprint(len(all)))
		values = append(values, all...)
	}
	if len(values) > len(from) {
		if len(values) == 2 && values[0] == "1" && len(values[1]) <= maxID && visible(values[1]) && values[1] != "" {
			return values[1], nil
		}
		return joined(values), nil
	}
	switch j.Dedupe.Or {
	case "none":
		return "", nil
	case "refuse":
		place := append(slices.Clone(from), "header:id")[0]
		return "", fault.New(fault.InvalidInput, codeNoID, "the delivery has not %s, by which a second delivery of it would be known", named(place))
	default:
		return "sha256:" + sha256Hex(j.reading.Body), nil
	}
}

// joined makes one id of several values, each with its length, so that "a", "bc" is not
// "ab", "c".
func joined(values []string) string {
	var b strings.Builder
	for _, v := range values {
		fmt.Fprintf(&b, "%d:%s", len(v), v)
	}
	return "sha256:" + sha256Hex([]byte(b.String()))
}

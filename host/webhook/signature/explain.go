package signature

import (
	"bytes"
	"context"
	"errors"
	"unicode/utf8"

	"github.com/cofferdam-run/cofferdam/host/fault"
)

// Report says what became of a sample delivery, step by step.
type Report struct {
	// Verified says that a live delivery like it would be taken.
	Verified bool        `json:"verified"`
	Scheme   string      `json:"scheme"`
	Steps    []Explained `json:"steps"`
	// Signed is the signed text with which the signature was compared, {secret} for a secret
	// in it. It is a base64 text where Encoding says so.
	Signed   string `json:"signed,omitempty"`
	Encoding string `json:"encoding,omitempty"`
	// DeliveryID is by what a second delivery of it would be known.
	DeliveryID string `json:"delivery_id,omitempty"`
	// Handshake names the vendor's handshake that it is.
	Handshake string `json:"handshake,omitempty"`
}

// Explained is a step.
type Explained struct {
	Step string `json:"step"`
	// Result is ok, failed, or skipped because a step before it failed.
	Result string `json:"result"`
	Code   string `json:"code,omitempty"`
	Reason string `json:"reason,omitempty"`
	Hint   string `json:"hint,omitempty"`
}

// Explain judges as Verify does, goes on where a step fails, and says why. It tells neither a
// secret nor the signature that would be right, asks nobody to confirm anything, and what it
// reports is safe to show to whoever has the sample.
func (s *Scheme) Explain(ctx context.Context, c Case) Report {
	report := Report{Scheme: s.Name, Verified: true}
	if reply, err := s.Unsigned(c); reply != nil && err == nil {
		report.Handshake = reply.Name
		report.Steps = []Explained{{Step: "handshake", Result: "ok", Reason: "the vendor does not sign it"}}
		return report
	}
	j := s.judge(c)
	lost := false
	for _, step := range j.steps() {
		one := Explained{Step: step.name, Result: "ok"}
		if lost {
			one.Result = "skipped"
		} else if err := step.check(ctx); err != nil {
			one = explain(step.name, err)
			report.Verified = false
			lost = step.name == "parts" // Without them there is nothing to judge.
		}
		report.Steps = append(report.Steps, one)
	}
	if lost {
		return report
	}
	report.Signed, report.Encoding = j.signedText()
	for _, h := range j.handshakes {
		if !h.Unsigned && h.Method == j.Case.Method && j.holds(h.when, j.Parameters) {
			report.Handshake = h.Name
			return report
		}
	}
	one := Explained{Step: "delivery id", Result: "ok"}
	var err error
	if report.DeliveryID, err = j.deliveryID(); err != nil {
		one, report.Verified = explain(one.Step, err), false
	} else if report.DeliveryID == "" {
		one.Reason = "each delivery counts"
	}
	report.Steps = append(report.Steps, one)
	return report
}

func explain(step string, err error) Explained {
	one := Explained{Step: step, Result: "failed"}
	if f, ok := errors.AsType[*fault.Error](err); ok {
		one.Code, one.Reason, one.Hint = f.Code, f.Message, f.Hint
	}
	return one
}

// signedText is what the first way that applies covers.
func (j *judgement) signedText() (text, encoding string) {
	for _, w := range j.ways {
		var b bytes.Buffer
		if len(w.signed) == 0 || !j.holds(w.when, j.Parameters) || w.signed.write(&b, j.filling(w, "{secret}")) != nil {
			continue
		}
		if !utf8.Valid(b.Bytes()) {
			return encode("b64", b.Bytes()), "base64"
		}
		return b.String(), ""
	}
	return "", ""
}

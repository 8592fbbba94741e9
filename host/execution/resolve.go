package execution

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/hostfns"
	"github.com/cofferdam-run/cofferdam/hostfns/journal"
)

// httpFunc is the function whose answers have a shape that is known here.
const httpFunc = "http"

// Resolution is what a person has decided about an effect of which nobody knew
// whether it has happened.
type Resolution struct {
	// SendAgain has it sent again, byte for byte: it has not happened.
	SendAgain bool
	// Answer is what the guest is told was answered: it has happened. For http it is
	// {"status", "headers", "body" or "body_base64"}.
	Answer json.RawMessage
}

// Resolve decides about the ambiguous effect that a dead or cancelled execution has
// ended with, and has the execution go on from there: in its world, on its version.
func (x *Executions) Resolve(ctx context.Context, tenant, id string, r Resolution) (Execution, error) {
	if r.SendAgain == (r.Answer != nil) {
		return Execution{}, fault.New(fault.InvalidInput, "resolution_invalid", "it is either sent again or answered").
			At("/choice").WithHint(`choose "send_again", or "answer" with an answer`)
	}
	e, err := x.c.Store.Execution(ctx, tenant, id)
	if err != nil {
		return Execution{}, err
	}
	if e.State != Dead && e.State != Cancelled {
		return Execution{}, notRedrivable(e)
	}
	p, err := x.past(ctx, e)
	if err != nil {
		return Execution{}, err
	}
	entry := p.ambiguous(e)
	if entry == nil {
		return Execution{}, fault.New(fault.Conflict, "not_ambiguous", "of every effect of the execution %q it is known whether it has happened", id).
			WithHint("`cofferdam execution redrive %s` has it go on", id)
	}
	if err := p.decide(entry, r, x.c.Now()); err != nil {
		return Execution{}, err
	}
	segment, err := journal.NewSegment(p.seq, entry.Ordinal, []journal.Entry{*entry})
	if err != nil {
		return Execution{}, fmt.Errorf("record what was decided: %w", err)
	}
	return x.redrive(ctx, e, Redriving{SameVersion: true, Journal: &segment, Claim: e.Claim})
}

// ambiguous is the entry that is to be decided about. An answer that did not say
// whether it was done is one too, if the execution has died of it.
func (p past) ambiguous(e Execution) *journal.Entry {
	if open := p.unclear(); open != nil {
		return open
	}
	last := p.last()
	if last == nil || last.Effect != hostfns.Unsafe || last.Outcome != hostfns.Unknown || e.Error == nil || e.Error.Code != CodeAmbiguousEffect {
		return nil
	}
	return last
}

// decide changes the last entry into what was decided about it.
func (p past) decide(e *journal.Entry, r Resolution, now time.Time) error {
	e.Again, e.Confirm = r.SendAgain, false
	if r.SendAgain {
		// A person takes it on themselves: whether the other side still knows the key
		// does not matter. It gets the same one again.
		e.Key = ""
		return nil
	}
	answer, err := checkAnswer(e.Func, r.Answer)
	if err != nil {
		return err
	}
	if e.Answer, err = hostfns.Envelope(answer, nil); err != nil {
		return fmt.Errorf("encode answer: %w", err)
	}
	e.Outcome, e.Answered, e.Resumed = hostfns.Done, now, time.Time{}
	if e.Answered.Before(e.Asked) {
		e.Answered = e.Asked // The guest's clock does not go back.
	}
	size := 0
	for i := range p.entries {
		size += p.entries[i].Size()
	}
	if size > journal.MaxBytes {
		return fault.New(fault.LimitExceeded, "answer_too_large", "with this answer the journal would have %d bytes, and the most is %d", size, journal.MaxBytes).
			At("/answer").WithHint("leave out of the answer what the plugin does not read")
	}
	return nil
}

// checkAnswer returns an answer as it is kept.
func checkAnswer(function string, answer json.RawMessage) (json.RawMessage, error) {
	if !json.Valid(answer) {
		return nil, answerFault("/answer", "it is not JSON")
	}
	if function == httpFunc {
		return checkResponse(answer)
	}
	var b bytes.Buffer
	if err := json.Compact(&b, answer); err != nil {
		return nil, fmt.Errorf("compact answer: %w", err)
	}
	return b.Bytes(), nil
}

// response is what the http function answers a guest; see package egress.
type response struct {
	Status     int                 `json:"status"`
	Headers    map[string][]string `json:"headers"`
	Body       *string             `json:"body,omitempty"`
	BodyBase64 *string             `json:"body_base64,omitempty"`
}

// checkResponse returns an answer of http with what may be left out.
func checkResponse(answer json.RawMessage) (json.RawMessage, error) {
	d := json.NewDecoder(bytes.NewReader(answer))
	d.DisallowUnknownFields()
	var r *response
	if err := d.Decode(&r); err != nil {
		return nil, responseFault(err)
	}
	switch {
	case r == nil:
		return nil, answerFault("/answer", "it is null")
	case r.Status < 200 || r.Status > 599:
		return nil, answerFault("/answer/status", "it is %d, and a final status is 200 to 599", r.Status)
	case r.Body != nil && r.BodyBase64 != nil:
		return nil, answerFault("/answer/body_base64", "there is a body already")
	}
	if r.BodyBase64 != nil {
		if _, err := base64.StdEncoding.DecodeString(*r.BodyBase64); err != nil {
			return nil, answerFault("/answer/body_base64", "it is not base64 of the standard alphabet, with padding")
		}
	} else if r.Body == nil {
		r.Body = new(string)
	}
	headers := map[string][]string{}
	for _, name := range slices.Sorted(maps.Keys(r.Headers)) {
		lower := strings.ToLower(name)
		headers[lower] = append(headers[lower], r.Headers[name]...)
	}
	r.Headers = headers
	kept, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("encode response: %w", err)
	}
	return kept, nil
}

// responseFault says what of an answer does not fit.
func responseFault(err error) error {
	if kind, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		where := "/answer"
		if kind.Field != "" {
			where += "/" + strings.ReplaceAll(kind.Field, ".", "/")
		}
		return answerFault(where, "it is a %s", kind.Value)
	}
	const unknown = "json: unknown field "
	if name, ok := strings.CutPrefix(err.Error(), unknown); ok {
		return answerFault("/answer/"+strings.Trim(name, `"`), "there is no such property")
	}
	if errors.Is(err, io.EOF) {
		return answerFault("/answer", "it is empty")
	}
	return answerFault("/answer", "it cannot be read")
}

func answerFault(where, format string, args ...any) *fault.Error {
	return fault.New(fault.InvalidInput, "answer_invalid", "this is not what the function answers: "+format, args...).
		At(where).WithHint(`an answer of http is {"status": 201, "headers": {"content-type": ["application/json"]}, "body": "{}"}, or body_base64 instead of body`)
}

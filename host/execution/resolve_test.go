package execution_test

import (
	"encoding/json"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/hostfns"
	"github.com/cofferdam-run/cofferdam/hostfns/journal"
)

// resolved resolves the execution and returns its journal's last entry.
func (b *bundle) resolved(t *testing.T, r execution.Resolution) journal.Entry {
	t.Helper()
	e, err := b.executions.Resolve(t.Context(), "ten_a", "exe_1", r)
	if err != nil || e.State != execution.Queued {
		t.Fatalf("resolve gave %s and %v", e.State, err)
	}
	asked := b.store.redriven[0]
	if !asked.SameVersion || asked.Mode != "" || asked.Claim != 4 || asked.Journal.Seq != 4 {
		t.Errorf("asked the store for %+v", asked)
	}
	if len(b.woken) != 1 {
		t.Error("nobody was woken")
	}
	entries, err := journal.Join(b.store.journals["exe_1"])
	if err != nil {
		t.Fatal(err)
	}
	return entries[len(entries)-1]
}

func TestResolveSendsAgain(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.past(t, deadly(execution.CodeAmbiguousEffect), "rp.")
	got := b.resolved(t, execution.Resolution{SendAgain: true})
	if !got.Again || got.Outcome != hostfns.Unknown || got.Ordinal != 2 || len(got.Request) == 0 {
		t.Errorf("the entry is %+v, want the same request, to be made again", got)
	}
}

func TestResolveAnswers(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ answer, want string }{
		"as it was":             {`{"status":201,"headers":{"Content-Type":["text/plain"]},"body":"ok"}`, `{"result":{"status":201,"headers":{"content-type":["text/plain"]},"body":"ok"}}`},
		"with the least":        {` {"status": 204} `, `{"result":{"status":204,"headers":{},"body":""}}`},
		"with bytes":            {`{"status":500,"body_base64":"AP8="}`, `{"result":{"status":500,"headers":{},"body_base64":"AP8="}}`},
		"with headers in cases": {`{"status":200,"headers":{"b":["2"],"B":["1"]}}`, `{"result":{"status":200,"headers":{"b":["1","2"]},"body":""}}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.past(t, deadly(execution.CodeAmbiguousEffect), "rp?")
			got := b.resolved(t, execution.Resolution{Answer: json.RawMessage(test.answer)})
			if diff := gocmp.Diff(test.want, string(got.Answer)); diff != "" || got.Outcome != hostfns.Done || !got.Answered.Equal(epoch) || got.Again {
				t.Errorf("the entry is %+v (-want +got):\n%s", got, diff)
			}
		})
	}
}

func TestResolveAnswersOtherFunctionsWithAnyDocument(t *testing.T) {
	t.Parallel()
	b := setup(t)
	e := deadly("completion_refused") // What is open is ambiguous whatever it died of.
	e.State = execution.Cancelled
	entries := []journal.Entry{
		{Func: "start", Effect: hostfns.Read, Outcome: hostfns.Done, Asked: epoch, Answered: epoch},
		{Ordinal: 1, Func: "orders.place", Effect: hostfns.Unsafe, Asked: epoch.AddDate(0, 0, 1)},
	}
	segment, err := journal.NewSegment(3, 0, entries)
	if err != nil {
		t.Fatal(err)
	}
	b.store.journals["exe_1"] = []journal.Segment{segment}
	b.store.change(e)
	got := b.resolved(t, execution.Resolution{Answer: json.RawMessage(` {"order": 7} `)})
	if string(got.Answer) != `{"result":{"order":7}}` {
		t.Errorf("the answer is %s", got.Answer)
	}
	if !got.Answered.Equal(got.Asked) {
		t.Errorf("it was answered at %v, before it was asked at %v", got.Answered, got.Asked)
	}
}

func TestWhatCannotBeResolved(t *testing.T) {
	t.Parallel()
	ok := json.RawMessage(`{"status":200}`)
	unclear, trapped := deadly(execution.CodeAmbiguousEffect), deadly("trapped")
	runs := deadly(execution.CodeAmbiguousEffect)
	runs.State = execution.Running
	tests := map[string]struct {
		e           execution.Execution
		past        string
		r           execution.Resolution
		code, where string
	}{
		"neither":                        {unclear, "p.", execution.Resolution{}, "resolution_invalid", "/choice"},
		"both":                           {unclear, "p.", execution.Resolution{SendAgain: true, Answer: ok}, "resolution_invalid", "/choice"},
		"it runs":                        {runs, "p.", execution.Resolution{SendAgain: true}, execution.CodeNotRedrivable, ""},
		"nothing was asked":              {unclear, "", execution.Resolution{SendAgain: true}, "not_ambiguous", ""},
		"all is known":                   {trapped, "rp", execution.Resolution{SendAgain: true}, "not_ambiguous", ""},
		"it died of something else":      {trapped, "rp?", execution.Resolution{SendAgain: true}, "not_ambiguous", ""},
		"it is no effect":                {unclear, "r.", execution.Resolution{SendAgain: true}, "not_ambiguous", ""},
		"an answer that is no JSON":      {unclear, "p.", answering(`{`), "answer_invalid", "/answer"},
		"an answer that is no object":    {unclear, "p.", answering(`[]`), "answer_invalid", "/answer"},
		"an answer that is null":         {unclear, "p.", answering(`null`), "answer_invalid", "/answer"},
		"a status that is a word":        {unclear, "p.", answering(`{"status":"ok"}`), "answer_invalid", "/answer/status"},
		"a status that is not final":     {unclear, "p.", answering(`{"status":100}`), "answer_invalid", "/answer/status"},
		"no status":                      {unclear, "p.", answering(`{"body":"x"}`), "answer_invalid", "/answer/status"},
		"headers that are no lists":      {unclear, "p.", answering(`{"status":200,"headers":{"a":"b"}}`), "answer_invalid", "/answer/headers"},
		"a body that is no text":         {unclear, "p.", answering(`{"status":200,"body":{}}`), "answer_invalid", "/answer/body"},
		"two bodies":                     {unclear, "p.", answering(`{"status":200,"body":"","body_base64":""}`), "answer_invalid", "/answer/body_base64"},
		"a body that is no base64":       {unclear, "p.", answering(`{"status":200,"body_base64":"*"}`), "answer_invalid", "/answer/body_base64"},
		"a property that is not there":   {unclear, "p.", answering(`{"status":200,"colour":"red"}`), "answer_invalid", "/answer/colour"},
		"an answer beyond the journal":   {unclear, "p.", execution.Resolution{Answer: large(t)}, "answer_too_large", "/answer"},
		"something follows the answer":   {unclear, "p.", answering(`{"status":200} {}`), "answer_invalid", "/answer"},
		"an effect that was not sent":    {unclear, "p!", execution.Resolution{SendAgain: true}, "not_ambiguous", ""},
		"an idempotent one needs it not": {unclear, "u.", execution.Resolution{SendAgain: true}, "not_ambiguous", ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.past(t, test.e, test.past)
			_, err := b.executions.Resolve(t.Context(), "ten_a", "exe_1", test.r)
			f := fault.From(err)
			if codeOf(err) != test.code || f.Where != test.where || test.code != execution.CodeNotRedrivable && f.Hint == "" {
				t.Errorf("got %v at %q, want %s at %q, with a hint", err, f.Where, test.code, test.where)
			}
			if len(b.store.redriven) != 0 {
				t.Errorf("the store was asked for %+v", b.store.redriven)
			}
		})
	}
}

func answering(answer string) execution.Resolution {
	return execution.Resolution{Answer: json.RawMessage(answer)}
}

// large is an answer that no journal has room for.
func large(t *testing.T) json.RawMessage {
	t.Helper()
	body := make([]byte, journal.MaxBytes)
	for i := range body {
		body[i] = 'x'
	}
	doc, err := json.Marshal(map[string]any{"status": 200, "body": string(body)})
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

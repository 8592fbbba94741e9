package shadow

import (
	"encoding/json"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/cofferdam-run/cofferdam/hostfns/replay"
	"github.com/cofferdam-run/cofferdam/runtime"
)

// The keys of what cannot be compared.
const (
	whyInterrupted = "the recorded run was ended from outside, and is the same up to there"
	whyMachine     = "the replay was ended by this machine: "
	whyBaseline    = "the recording does not replay on its own version: "
)

// judge says how a replayed run compares with its recording.
func judge(of *replay.Recording, r *replay.Report) result {
	var res result
	if len(r.Differences) > 0 {
		res.sample.Recorded, res.sample.Now = cut(r.Differences[0].Recorded), cut(r.Differences[0].Now)
	}
	switch v := r.Verdict(); {
	case isMachines(r):
		res.verdict, res.key = NotComparable, whyMachine+r.Error.Code
	case v == replay.CallsDiffer:
		judgeCalls(of, r, &res)
	case v == replay.Same && of.Outcome == replay.Interrupted:
		res.verdict, res.key = NotComparable, whyInterrupted
	case v == replay.Same:
		res.verdict = Same
	case v == replay.OutcomeDiffers && r.Outcome == replay.Failed && of.Outcome != replay.Failed:
		judgeFailure(r, &res)
	case v == replay.OutcomeDiffers:
		res.verdict = OutcomeDiffers
		if of.Outcome == replay.Failed && r.Outcome == replay.Succeeded {
			res.verdict = Mended
		}
		res.key = ending(of.Outcome, of.Error) + " becomes " + ending(r.Outcome, r.Error)
	case v == replay.OutputDiffers:
		res.verdict = OutputDiffers
		res.differ(changes(of.Output, replay.Kept(r.Output)))
	case v == replay.LeftDiffers:
		res.verdict = LeftDiffers
		res.differ(changes(encoded(of.Left), encoded(r.Left)))
	default:
		res.verdict, res.key = FuelDiffers, "of one module"
	}
	return res
}

// ended says that both versions came to their end, after the same calls.
func (r *result) ended() bool {
	return slices.Contains([]Verdict{Same, OutputDiffers, LeftDiffers, FuelDiffers}, r.verdict)
}

// differ makes the key of changes, and shows some of them.
func (r *result) differ(all []Change) {
	r.key = pointers(all)
	r.sample.Changes = all[:min(len(all), changesShown)]
}

// isMachines says that it was not the guest's doing that the run ended.
func isMachines(r *replay.Report) bool {
	if r.Outcome != replay.Failed || r.Error == nil {
		return false
	}
	code := runtime.Code(r.Error.Code)
	return code == runtime.CodeDeadlineExceeded || code == runtime.CodeKilled
}

func judgeCalls(of *replay.Recording, r *replay.Report, res *result) {
	expected, actual := r.Divergence.Expected, r.Divergence.Actual
	switch {
	case actual == nil && r.Outcome == replay.Failed && of.Outcome != replay.Failed:
		judgeFailure(r, res)
	case actual == nil:
		res.verdict, res.key = CallsDiffer, callKey(expected)+" is not asked for"
	case expected == nil:
		res.verdict, res.key = AsksBeyond, callKey(actual)
	default:
		res.verdict = CallsDiffer
		was, is := callKey(expected), callKey(actual)
		all := changes(expected.Request, actual.Request)
		if was != is {
			res.key = was + " becomes " + is
		} else if expected.Request != nil {
			res.key = was + ": " + pointers(all)
		} else {
			res.key = was
		}
		if expected.Request != nil {
			res.sample.Changes = all[:min(len(all), changesShown)]
		}
	}
}

func judgeFailure(r *replay.Report, res *result) {
	res.verdict, res.key = Fails, string(replay.Failed)
	if r.Error != nil {
		res.key = r.Error.Code + ": " + cut(varying.ReplaceAllLiteralString(r.Error.Message, "*"))
		res.sample.Now = cut(r.Error.Code + ": " + r.Error.Message)
	}
}

// varying is what differs between failures of one cause.
var varying = regexp.MustCompile(`"[^"]*"|'[^']*'|\S*[0-9]\S*`)

func ending(o replay.Outcome, e *replay.Error) string {
	if o != replay.Failed || e == nil {
		return string(o)
	}
	return fmt.Sprintf("%s with %s", o, cut(e.Code))
}

// callKey says what a call is about: its function, and for HTTP the method and the
// path, but not the host, which may be a tenant's own.
func callKey(c *replay.Call) string {
	var request struct{ Method, URL string }
	if json.Unmarshal(c.Request, &request) != nil || request.URL == "" {
		return cut(c.Func)
	}
	u, err := url.Parse(request.URL)
	if err != nil {
		return cut(c.Func)
	}
	parts := strings.Split(u.Path, "/")
	for i, p := range parts {
		parts[i] = pattern(p)
	}
	method := request.Method
	if method == "" {
		method = "GET"
	}
	return cut(strings.Join([]string{c.Func, strings.ToUpper(method), "/" + strings.TrimPrefix(strings.Join(parts, "/"), "/")}, " "))
}

// encoded is what a run left behind as JSON.
func encoded(l *replay.Left) []byte {
	doc, err := json.Marshal(l)
	if err != nil {
		return nil // It is compared as a whole.
	}
	return doc
}

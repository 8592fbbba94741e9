package shadow

// Share, Changes, Pointers and CallKey are tested by themselves.
var (
	Share    = share
	Changes  = changes
	Pointers = pointers
	CallKey  = callKey
)

// Tally adds results of a verdict and key each, with the fuel of both versions.
func Tally(verdict Verdict, keys []string, fuel [][2]int64) Report {
	var t tally
	for _, k := range keys {
		t.add(result{verdict: verdict, key: k, sample: Sample{Execution: k}})
	}
	for _, f := range fuel {
		t.add(result{verdict: Same, recorded: f[0], now: f[1]})
	}
	return t.report()
}

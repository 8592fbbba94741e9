package journal_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdam-run/cofferdam/hostfns"
	"github.com/cofferdam-run/cofferdam/hostfns/journal"
)

var epoch = time.Date(2026, 3, 1, 12, 0, 0, 123456789, time.UTC)

func encoded(tb testing.TB, e journal.Entry) []byte {
	tb.Helper()
	b, err := e.MarshalBinary()
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func full() journal.Entry {
	return journal.Entry{
		Ordinal: 7, Func: "http", Effect: hostfns.Unsafe, Outcome: hostfns.Unknown, Again: true,
		Digest: journal.DigestOf([]byte("x")), Request: []byte("x"), Claim: 3,
		Key: "exe_1/charge", Account: "con_1", Fuel: 1 << 40, Confirm: true, Waits: true,
		Asked: epoch, Answered: epoch.Add(time.Second), Resumed: epoch.Add(time.Minute), Answer: []byte(`{"result":1}`),
	}
}

func TestEntriesComeBackAsTheyWere(t *testing.T) {
	t.Parallel()
	for name, e := range map[string]journal.Entry{
		"all fields":         full(),
		"none":               {},
		"one that goes on":   {Ordinal: 1, GoesOn: true},
		"one that ends it":   {Ordinal: 300, Of: 200, Answer: []byte(`{}`)},
		"empty is not nil":   {Request: []byte{}, Answer: []byte{}},
		"before 1970 plus 1": {Asked: time.Unix(0, 0).UTC()},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got journal.Entry
			if err := got.UnmarshalBinary(encoded(t, e)); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(e, got); diff != "" {
				t.Errorf("entry (-want +got):\n%s", diff)
			}
		})
	}
}

func TestWhatIsNoEntryIsRefused(t *testing.T) {
	t.Parallel()
	whole := encoded(t, full())
	tests := map[string]struct {
		give []byte
		want string
	}{
		"nothing":                {nil, "byte 0: it is cut off"},
		"another version":        {append([]byte{9}, whole[1:]...), "its version is 9, and this program knows version 1"},
		"more behind":            {append(bytes.Clone(whole), 1, 2), "2 bytes follow its end"},
		"an effect that is none": {replaced(whole, 7, 200), "byte 7: 200 is more than 3"},
		"a flag that is none":    {replaced(whole, 9, 32), "byte 9: 32 is more than 31"},
		"a length beyond":        {replaced(whole, 2, 0x7f), "it is cut off"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := full()
			err := e.UnmarshalBinary(test.give)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
			if diff := cmp.Diff(full(), e); diff != "" {
				t.Errorf("it was changed (-want +got):\n%s", diff)
			}
		})
	}
	for n := range whole {
		if err := new(journal.Entry).UnmarshalBinary(whole[:n]); err == nil {
			t.Errorf("the first %d bytes of %d were taken for all", n, len(whole))
		}
	}
}

func replaced(b []byte, at int, with byte) []byte {
	b = bytes.Clone(b)
	b[at] = with
	return b
}

func FuzzUnmarshalEntry(f *testing.F) {
	f.Add(encoded(f, full()))
	f.Add(encoded(f, journal.Entry{}))
	f.Fuzz(func(t *testing.T, b []byte) {
		var e journal.Entry
		if e.UnmarshalBinary(b) != nil {
			return
		}
		var again journal.Entry
		if err := again.UnmarshalBinary(encoded(t, e)); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(e, again); diff != "" {
			t.Errorf("entry (-first +second):\n%s", diff)
		}
	})
}

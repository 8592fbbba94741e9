package oauthtest_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdam-run/cofferdam/host/oauth/oauthtest"
)

func TestTheBehavioursAreAllThere(t *testing.T) {
	t.Parallel()
	want := map[string]int{
		"RFC 6749": 22, "RFC 7636": 9, "RFC 8414": 8, "RFC 9207": 6, "RFC 9700": 16, "RFC 8628": 8, "RFC 7523": 10,
		"RFC 8693, 8707, 7009, 7662": 9, "RFC 6819": 6, "concurrency": 10,
	}
	got, by, seen := map[string]int{}, map[string]int{}, map[string]bool{}
	for _, b := range oauthtest.Behaviours() {
		got[b.RFC]++
		if seen[b.String()] || len(b.By) == 0 {
			t.Errorf("%s is there twice, or nobody's", b)
		}
		seen[b.String()] = true
		for _, who := range b.By {
			if by[who]++; !slices.Contains([]string{oauthtest.Client, oauthtest.Fosite, oauthtest.Authorizations, oauthtest.Connect}, who) {
				t.Errorf("%s is tested by %q, whom nobody knows", b, who)
			}
		}
	}
	if diff := cmp.Diff(want, got); diff != "" || len(seen) != 104 {
		t.Errorf("%d behaviours, -want +got:\n%s", len(seen), diff)
	}
	t.Logf("behaviours by who tests them: %v", by)
}

package guest_test

import (
	"strings"
	"testing"

	"github.com/cofferdam-run/cofferdam/bench/internal/guest"
)

func TestOrdersNeedsItsSource(t *testing.T) {
	t.Parallel()
	if _, err := guest.BuildOrders(t.Context(), t.TempDir(), "1.0.0"); err == nil || !strings.Contains(err.Error(), "build the guest") {
		t.Errorf("got %v", err)
	}
}

func TestRequestsAreJSON(t *testing.T) {
	t.Parallel()
	for got, want := range map[string]string{
		guest.Get("http://a/b", 2).Request:          `{"method":"GET","url":"http://a/b"}`,
		guest.Post("http://a/b", "", 1).Request:     `{"method":"POST","url":"http://a/b","headers":{"Content-Type":["application/json"]},"body":"{\"id\":\"1001\"}"}`,
		guest.Post("http://a/b", "note", 1).Request: `{"method":"POST","url":"http://a/b","headers":{"Content-Type":["application/json"]},"body":"{\"id\":\"1001\",\"note\":\"note\"}"}`,
	} {
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

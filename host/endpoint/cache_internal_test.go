package endpoint

import (
	"testing"
	"time"
)

func TestCacheForgetsTheLeastRecentlyUsed(t *testing.T) {
	t.Parallel()
	c := newCache(2, time.Second)
	now := time.Unix(1, 0)
	for _, id := range []string{"a", "b"} {
		c.put(Endpoint{ID: id}, id, now, 0)
	}
	c.get("a", now)
	c.put(Endpoint{ID: "c"}, "c", now, 0)
	c.put(Endpoint{ID: "c"}, "c again", now, 0)
	for id, want := range map[string]string{"a": "a", "b": "", "c": "c again"} {
		got := ""
		if o, _ := c.get(id, now); o != nil {
			got = o.secret
		}
		if got != want {
			t.Errorf("%s: got %q, want %q", id, got, want)
		}
	}
	if c.used.Len() != 2 || len(c.byID) != 2 {
		t.Errorf("holds %d and %d, want 2", c.used.Len(), len(c.byID))
	}
}

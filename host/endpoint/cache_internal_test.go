package endpoint

import (
	"testing"
	"time"
)

func held(id, secret string) Opened {
	return Opened{Endpoint{ID: id}, sealed{Keys: []Key{{Secret: secret}}}}
}

func TestCacheForgetsTheLeastRecentlyUsed(t *testing.T) {
	t.Parallel()
	c := newCache(2, time.Second)
	now := time.Unix(1, 0)
	for _, id := range []string{"a", "b"} {
		c.put(held(id, id), now, 0)
	}
	c.get("a", now)
	c.put(held("c", "c"), now, 0)
	c.put(held("c", "c again"), now, 0)
	for id, want := range map[string]string{"a": "a", "b": "", "c": "c again"} {
		got := ""
		if o, _ := c.get(id, now); o != nil {
			got = o.Keys[0].Secret
		}
		if got != want {
			t.Errorf("%s: got %q, want %q", id, got, want)
		}
	}
	if c.used.Len() != 2 || len(c.byID) != 2 {
		t.Errorf("holds %d and %d, want 2", c.used.Len(), len(c.byID))
	}
}

func TestCacheIsTrimmed(t *testing.T) {
	t.Parallel()
	c := newCache(9, time.Second)
	now := time.Unix(1, 0)
	c.put(held("a", "a"), now, 0)
	c.put(held("b", "b"), now.Add(time.Millisecond), 0)
	for _, step := range []struct {
		after time.Duration
		left  int
	}{{0, 2}, {time.Second, 1}, {time.Minute, 0}} {
		if c.trim(now.Add(step.after)); c.used.Len() != step.left || len(c.byID) != step.left {
			t.Errorf("after %s: %d and %d are left, want %d", step.after, c.used.Len(), len(c.byID), step.left)
		}
	}
}

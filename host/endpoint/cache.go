package endpoint

import (
	"container/list"
	"sync"
	"time"
)

// cache holds the endpoints that deliveries came to last, for a while, with
// their secrets. What this process changes is dropped at once; what another
// changes is seen when the while is over.
type cache struct {
	max int
	ttl time.Duration

	mu   sync.Mutex
	byID map[string]*list.Element
	// used is in order of use, the latest in front.
	used *list.List
	// epoch counts drops. A look-up that began before a drop may carry what was
	// dropped, and is not put.
	epoch uint64
}

type opened struct {
	Opened
	until time.Time
}

func newCache(limit int, ttl time.Duration) *cache {
	return &cache{max: limit, ttl: ttl, byID: map[string]*list.Element{}, used: list.New()}
}

// get returns the endpoint, or nil and the epoch to put it with.
func (c *cache) get(id string, now time.Time) (*opened, uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.byID[id]
	if !ok {
		return nil, c.epoch
	}
	o := e.Value.(*opened) // Only put fills the list.
	if !now.Before(o.until) {
		c.remove(e)
		return nil, c.epoch
	}
	c.used.MoveToFront(e)
	return o, c.epoch
}

func (c *cache) put(e Opened, now time.Time, epoch uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if epoch != c.epoch {
		return
	}
	if old, ok := c.byID[e.ID]; ok {
		c.remove(old)
	}
	c.byID[e.ID] = c.used.PushFront(&opened{e, now.Add(c.ttl)})
	if c.used.Len() > c.max {
		c.remove(c.used.Back())
	}
}

func (c *cache) drop(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.epoch++
	if e, ok := c.byID[id]; ok {
		c.remove(e)
	}
}

// trim drops what get would not return any more.
func (c *cache) trim(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for e := c.used.Front(); e != nil; {
		next := e.Next()
		if !now.Before(e.Value.(*opened).until) { // Only put fills the list.
			c.remove(e)
		}
		e = next
	}
}

func (c *cache) remove(e *list.Element) {
	o := c.used.Remove(e).(*opened) // Only put fills the list.
	delete(c.byID, o.ID)
}

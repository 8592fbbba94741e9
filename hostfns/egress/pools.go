package egress

import (
	"container/list"
	"crypto/tls"
	"net/http"
	"sync"
	"time"
)

// pool holds the transports of one tenant.
type pool struct {
	key           string
	secure, plain *http.Transport
}

func (p *pool) closeIdle() {
	p.secure.CloseIdleConnections()
	p.plain.CloseIdleConnections()
}

// pools keeps the pools that were used last. A request in flight on a pool that
// was dropped goes on, and its connection is closed once it has idled for a
// while.
type pools struct {
	config Config
	guard  *Guard
	// single serves requests without a pool: each has a connection of its own.
	single *pool

	mu    sync.Mutex
	byKey map[string]*list.Element
	// order holds *pool, the last used first.
	order *list.List
}

func newPools(c Config) *pools {
	p := &pools{
		config: c,
		guard:  NewGuard(c.AllowAddrs, c.DenyAddrs),
		byKey:  map[string]*list.Element{},
		order:  list.New(),
	}
	p.single = p.open("", false)
	return p
}

func (p *pools) get(key string) *pool {
	if key == "" {
		return p.single
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if e, open := p.byKey[key]; open {
		p.order.MoveToFront(e)
		return e.Value.(*pool)
	}
	opened := p.open(key, true)
	p.byKey[key] = p.order.PushFront(opened)
	if p.order.Len() > p.config.Pools {
		oldest := p.order.Remove(p.order.Back()).(*pool)
		delete(p.byKey, oldest.key)
		oldest.closeIdle()
	}
	return opened
}

func (p *pools) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.single.closeIdle()
	for e := p.order.Front(); e != nil; e = e.Next() {
		e.Value.(*pool).closeIdle()
	}
}

func (p *pools) open(key string, keepAlive bool) *pool {
	return &pool{key: key, secure: p.transport(keepAlive, false), plain: p.transport(keepAlive, true)}
}

func (p *pools) transport(keepAlive, plain bool) *http.Transport {
	d := dialer{guard: p.guard, resolver: p.config.Resolver, plain: plain}
	return &http.Transport{
		// A proxy would resolve and dial where no guard looks.
		Proxy:               nil,
		DialContext:         d.dial,
		TLSClientConfig:     &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: p.config.RootCAs},
		TLSHandshakeTimeout: dialTimeout,
		// An empty map keeps HTTP/2 out, and with it one connection for
		// several hosts.
		TLSNextProto:           map[string]func(string, *tls.Conn) http.RoundTripper{},
		DisableCompression:     true,
		DisableKeepAlives:      !keepAlive,
		MaxIdleConns:           4,
		MaxIdleConnsPerHost:    2,
		IdleConnTimeout:        30 * time.Second,
		MaxResponseHeaderBytes: int64(p.config.HeaderBytes),
	}
}

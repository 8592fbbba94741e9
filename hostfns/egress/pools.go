package egress

import (
	"bytes"
	"container/list"
	"crypto/sha256"
	"crypto/tls"
	"net/http"
	"sync"
	"time"
)

// pool holds the transports of one tenant.
type pool struct {
	key           string
	secure, plain *wire
	// unused is how often the pools were trimmed since it was used.
	unused int
}

func (p *pool) closeIdle() {
	p.secure.CloseIdleConnections()
	p.plain.CloseIdleConnections()
}

// trims is after how many calls of Trim a pool that nobody uses is dropped.
const trims = 3

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
	p.single = p.open("", false, nil)
	return p
}

// get gives the pool of a key. Connections that show a certificate serve requests that
// show the same one, and no others.
func (p *pools) get(key string, shown *tls.Certificate) *pool {
	if key == "" && shown == nil {
		return p.single
	}
	if key == "" {
		return p.open("", false, shown)
	}
	if shown != nil {
		sum := sha256.Sum256(bytes.Join(shown.Certificate, nil))
		key += "\x00" + string(sum[:])
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if e, open := p.byKey[key]; open {
		p.order.MoveToFront(e)
		found := e.Value.(*pool)
		found.unused = 0
		return found
	}
	opened := p.open(key, true, shown)
	p.byKey[key] = p.order.PushFront(opened)
	if p.order.Len() > p.config.Pools {
		oldest := p.order.Remove(p.order.Back()).(*pool)
		delete(p.byKey, oldest.key)
		oldest.closeIdle()
	}
	return opened
}

// trim drops the pools that were not used since it was called some times before.
func (p *pools) trim() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for e := p.order.Back(); e != nil; {
		oldest, newer := e.Value.(*pool), e.Prev()
		if oldest.unused++; oldest.unused >= trims {
			p.order.Remove(e)
			delete(p.byKey, oldest.key)
			oldest.closeIdle()
		}
		e = newer
	}
}

func (p *pools) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.single.closeIdle()
	for e := p.order.Front(); e != nil; e = e.Next() {
		e.Value.(*pool).closeIdle()
	}
}

func (p *pools) open(key string, keepAlive bool, shown *tls.Certificate) *pool {
	secured := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: p.config.RootCAs}
	if shown != nil {
		secured.Certificates = []tls.Certificate{*shown}
	}
	return &pool{key: key, secure: p.wire(keepAlive, secured), plain: p.wire(keepAlive, nil)}
}

// wire is what carries requests; without a configuration of TLS, in plain http.
func (p *pools) wire(keepAlive bool, secured *tls.Config) *wire {
	d := p.dialer(secured == nil)
	return &wire{
		dial: d.dial, tls: secured, large: p.transport(keepAlive, d, secured),
		headerBytes: int64(p.config.HeaderBytes), keepAlive: keepAlive,
	}
}

func (p *pools) dialer(plain bool) dialer {
	return dialer{guard: p.guard, resolver: p.config.Resolver, proxy: p.config.Proxy, roots: p.config.RootCAs, plain: plain}
}

func (p *pools) transport(keepAlive bool, d dialer, secured *tls.Config) *http.Transport {
	return &http.Transport{
		// A proxy would resolve and dial where no guard looks.
		Proxy:               nil,
		DialContext:         d.dial,
		TLSClientConfig:     secured,
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

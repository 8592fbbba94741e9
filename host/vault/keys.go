package vault

import (
	"container/list"
	"sync"

	"github.com/tink-crypto/tink-go/v2/tink"
)

// keys holds the unwrapped keys of the tenants that were used last.
type keys struct {
	max int

	mu       sync.Mutex
	byTenant map[string]*list.Element
	// used is in order of use, the latest in front.
	used *list.List
}

type held struct {
	tenant string
	key    tink.AEAD
}

func newKeys(limit int) *keys {
	return &keys{max: limit, byTenant: map[string]*list.Element{}, used: list.New()}
}

// get returns nil if the tenant's key is not held.
func (k *keys) get(tenant string) tink.AEAD {
	k.mu.Lock()
	defer k.mu.Unlock()
	e, ok := k.byTenant[tenant]
	if !ok {
		return nil
	}
	k.used.MoveToFront(e)
	return e.Value.(*held).key // Only put fills the list.
}

func (k *keys) put(tenant string, key tink.AEAD) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if _, ok := k.byTenant[tenant]; ok {
		return // Two goroutines unwrapped it at once; a stored key never changes.
	}
	k.byTenant[tenant] = k.used.PushFront(&held{tenant: tenant, key: key})
	if k.used.Len() > k.max {
		oldest := k.used.Remove(k.used.Back()).(*held) // Only put fills the list.
		delete(k.byTenant, oldest.tenant)
	}
}

func (k *keys) drop(tenant string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if e, ok := k.byTenant[tenant]; ok {
		k.used.Remove(e)
		delete(k.byTenant, tenant)
	}
}

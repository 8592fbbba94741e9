package vault

import "testing"

type aeadStub struct{ name string }

func (aeadStub) Encrypt(p, _ []byte) ([]byte, error) { return p, nil }
func (aeadStub) Decrypt(c, _ []byte) ([]byte, error) { return c, nil }

func TestKeysForgetTheLeastRecentlyUsed(t *testing.T) {
	t.Parallel()
	k := newKeys(2)
	k.put("a", aeadStub{"a"})
	k.put("b", aeadStub{"b"})
	k.put("a", aeadStub{"again"})
	if got := k.get("a"); got != (aeadStub{"a"}) {
		t.Errorf("got %v, want the first a", got)
	}
	k.put("c", aeadStub{"c"})
	for tenant, want := range map[string]bool{"a": true, "b": false, "c": true} {
		if got := k.get(tenant) != nil; got != want {
			t.Errorf("%s is held: got %t, want %t", tenant, got, want)
		}
	}
	if k.used.Len() != 2 || len(k.byTenant) != 2 {
		t.Errorf("holds %d and %d keys, want 2", k.used.Len(), len(k.byTenant))
	}
}

func TestKeysAreDropped(t *testing.T) {
	t.Parallel()
	k := newKeys(2)
	k.put("a", aeadStub{"a"})
	k.put("b", aeadStub{"b"})
	k.drop("a")
	k.drop("nobody")
	if k.get("a") != nil || k.get("b") == nil || k.used.Len() != 1 {
		t.Errorf("holds %d keys, want b's", k.used.Len())
	}
	k.put("a", aeadStub{"new"})
	if got := k.get("a"); got != (aeadStub{"new"}) {
		t.Errorf("got %v, want the new a", got)
	}
}

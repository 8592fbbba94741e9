package vault

import "context"

// Place is a column of sealed bytes.
type Place struct {
	Table, Name string
	// Payload says that it holds payloads, of whose openings nobody keeps account.
	Payload bool
}

// Sealed is the sealed bytes of a field.
type Sealed struct {
	Field
	Bytes []byte
}

// Records finds what a tenant has sealed, so that it can be sealed anew. A header is
// how all begins that was sealed under one key; see Vault.Header.
type Records interface {
	Keysets
	// SealedPlaces are the columns that hold what is sealed.
	SealedPlaces() []Place
	// StaleRecords lists, in order of the record and after one, what begins otherwise:
	// fewer than limit where they are large, and none only where there are none.
	StaleRecords(ctx context.Context, tenant string, p Place, header []byte, after string, limit int) ([]Sealed, error)
	// CountStale counts it in all places.
	CountStale(ctx context.Context, tenant string, header []byte) (int, error)
	// ResealRecords replaces sealed bytes that are still the ones in was, by those in
	// now, in one transaction; what was changed meanwhile stays. It returns how many it
	// has replaced. Nothing else of a record changes: its version stays, too.
	ResealRecords(ctx context.Context, was []Sealed, now [][]byte) (int, error)
	// RetireKeys is ReplaceKeys of one keyset, once nothing begins otherwise than header:
	// else it is a Conflict fault with CodeKeyInUse. From then on the tenant SealsAll.
	RetireKeys(ctx context.Context, k Key, header []byte) (replaced bool, err error)
}

package keyfile_test

import (
	"bytes"
	"testing"

	"github.com/cofferdam-run/cofferdam/host/vault"
	"github.com/cofferdam-run/cofferdam/host/vault/keepertest"
	"github.com/cofferdam-run/cofferdam/host/vault/keyfile"
)

func TestKeeper(t *testing.T) {
	t.Parallel()
	_, path := create(t)
	keepertest.Run(t, keepertest.Keepers{
		New: func(t *testing.T) vault.Keeper {
			t.Helper()
			k, err := keyfile.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			return k
		},
		Other: func(t *testing.T) vault.Keeper {
			t.Helper()
			k, err := keyfile.FromKey([32]byte(bytes.Repeat([]byte{7}, 32)))
			if err != nil {
				t.Fatal(err)
			}
			return k
		},
	})
}

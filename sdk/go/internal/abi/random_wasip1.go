//go:build wasip1

package abi

import "unsafe"

// randomGet is WASI's. crypto/rand ends there too, but adds 0.2 MB to each connector.
//
//go:wasmimport wasi_snapshot_preview1 random_get
//go:noescape
func randomGet(p unsafe.Pointer, size uint32) uint32

// Random fills b from the execution's random stream.
func Random(b []byte) {
	if len(b) > 0 && randomGet(unsafe.Pointer(&b[0]), uint32(len(b))) != 0 {
		panic("random_get failed")
	}
}

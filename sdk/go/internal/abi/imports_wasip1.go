//go:build wasip1

package abi

// The memory of Extism.

//go:wasmimport extism:host/env input_length
func inputLength() uint64

//go:wasmimport extism:host/env input_load_u64
func inputLoadU64(offset uint64) uint64

//go:wasmimport extism:host/env input_load_u8
func inputLoadU8(offset uint64) uint32

//go:wasmimport extism:host/env alloc
func alloc(size uint64) uint64

//go:wasmimport extism:host/env free
func free(offset uint64)

//go:wasmimport extism:host/env length
func length(offset uint64) uint64

//go:wasmimport extism:host/env load_u64
func loadU64(offset uint64) uint64

//go:wasmimport extism:host/env load_u8
func loadU8(offset uint64) uint32

//go:wasmimport extism:host/env store_u64
func storeU64(offset, value uint64)

//go:wasmimport extism:host/env store_u8
func storeU8(offset uint64, value uint32)

//go:wasmimport extism:host/env output_set
func outputSet(offset, size uint64)

//go:wasmimport extism:host/env error_set
func errorSet(offset uint64)

// The host functions of sdk/ABI.md.

//go:wasmimport extism:host/user http
func http(request uint64) uint64

//go:wasmimport extism:host/user state_get
func stateGet(request uint64) uint64

//go:wasmimport extism:host/user state_set
func stateSet(request uint64) uint64

//go:wasmimport extism:host/user state_delete
func stateDelete(request uint64) uint64

//go:wasmimport extism:host/user state_cas
func stateCAS(request uint64) uint64

//go:wasmimport extism:host/user state_add
func stateAdd(request uint64) uint64

//go:wasmimport extism:host/user state_list
func stateList(request uint64) uint64

//go:wasmimport extism:host/user log
func log(request uint64) uint64

//go:wasmimport extism:host/user emit
func emit(request uint64) uint64

//go:wasmimport extism:host/user tag
func tag(request uint64) uint64

//go:wasmimport extism:host/user sleep
func sleep(request uint64) uint64

//go:wasmimport extism:host/user sign
func sign(request uint64) uint64

//go:wasmimport extism:host/user stream_read
func streamRead(request uint64) uint64

//go:wasmimport extism:host/user stream_write
func streamWrite(request uint64) uint64

//go:wasmimport extism:host/user stream_finish
func streamFinish(request uint64) uint64

//go:wasmimport extism:host/user stream_close
func streamClose(request uint64) uint64

// Package abi speaks the Extism ABI v1 from inside the sandbox: bytes in, bytes
// out, and the host functions of sdk/ABI.md. It is empty outside of wasip1.
//
// Extism's memory is not the guest's: bytes are copied through loads and stores,
// eight at a time. See <https://extism.org/docs/concepts/memory>.
package abi

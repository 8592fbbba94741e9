// Package sdk holds what all SDKs for guests have in common: the contract, ABI.md,
// and its golden vectors, testdata, whose README says how to read them. The SDKs
// are in the folders below; package tck holds a guest to the contract.
package sdk

import (
	"embed"
	"io/fs"
)

//go:embed testdata
var testdata embed.FS

// Vectors are the golden vectors for a kind of guest: a folder of JSON files. The
// kinds are "hello", the job that all examples/hello-... do, and "probe", which asks
// every host function by way of the SDK. It panics for another.
func Vectors(kind string) fs.FS {
	if _, err := fs.Stat(testdata, "testdata/"+kind); err != nil {
		panic("sdk: there are no vectors for " + kind)
	}
	files, err := fs.Sub(testdata, "testdata/"+kind)
	if err != nil {
		panic(err) // The path is well formed: it was found.
	}
	return files
}

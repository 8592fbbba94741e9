// Package extism reads manifests of Extism (https://extism.org/docs/concepts/manifest)
// for this engine: those that Go programs have written down as the Go SDK's own
// type, and those in JSON.
//
//	m, err := extism.Parse(text)
//	plugin, err := extism.Read(m, filepath.Dir(path))
//	module, err := rt.Prepare(ctx, plugin.Wasm, plugin.Limits)
//	result, err := module.Call(ctx, runtime.Call{
//		Export: "count_vowels",
//		World:  runtime.World{Config: plugin.Config},
//		Host:   gate, // which lets it reach plugin.Hosts.
//	})
//
// What a manifest asks for is given as it is asked, or refused with an [*Error]
// that says what to do: nothing is left out silently. Refused are several modules
// that the engine would have to link, modules at a URL, folders of the host's, and
// limits that do not exist here.
//
// A host without a port is port 443 here, and any port with the SDK.
//
// The SDK is imported for its types: nothing here calls through it.
package extism

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"strings"
	"time"

	sdk "github.com/extism/go-sdk"

	"github.com/cofferdam-run/cofferdam/runtime"
)

// Plugin is what a manifest comes to here.
type Plugin struct {
	// Wasm is the module.
	Wasm []byte
	// Limits has MemoryBytes from memory.max_pages and Deadline from timeout_ms. The
	// others have their defaults.
	Limits runtime.Limits
	// Config is for runtime.World.
	Config map[string]string
	// Hosts are those that the plugin may reach, each a host name or "*." and a
	// domain, in lower case, with an optional port: the hosts of a manifest of ours.
	Hosts []string
}

// Error is one thing in a manifest that is wrong, or cannot be had here.
type Error struct {
	// Where is a JSON pointer into the manifest, such as /wasm/0/url.
	Where   string
	Message string
	// Hint says what to do about it, or is empty.
	Hint string
}

// Error implements error.
func (e *Error) Error() string {
	s := e.Message
	if e.Where != "" {
		s = e.Where + ": " + s
	}
	if e.Hint != "" {
		s += ": " + e.Hint
	}
	return s
}

// Read turns a manifest into what this engine takes. A module that is named by its
// path is read from within folder, and from nowhere else. The error joins an
// *Error for everything that is wrong.
func Read(m sdk.Manifest, folder string) (Plugin, error) {
	p := Plugin{Config: maps.Clone(m.Config)}
	var errs []error
	keep := func(err error) { errs = append(errs, err) }
	var err error
	p.Wasm, err = moduleOf(m.Wasm, folder)
	keep(err)
	p.Limits.MemoryBytes, err = memoryOf(m.Memory)
	keep(err)
	p.Limits.Deadline, err = deadlineOf(m.Timeout)
	keep(err)
	p.Hosts, err = hostsOf(m.AllowedHosts)
	keep(err)
	if len(m.AllowedPaths) > 0 {
		keep(&Error{"/allowed_paths", "guests have no files", "remove it, and give the plugin what it reads as input or configuration"})
	}
	if err := errors.Join(errs...); err != nil {
		return Plugin{}, err
	}
	return p, nil
}

// moduleOf gives the bytes of the only module.
func moduleOf(all []sdk.Wasm, folder string) ([]byte, error) {
	if len(all) == 0 {
		return nil, &Error{"/wasm", "names no module", `give one, as in "wasm": [{"path": "plugin.wasm"}]`}
	}
	if len(all) > 1 {
		return nil, &Error{
			"/wasm", fmt.Sprintf("has %d modules, and a plugin is one", len(all)),
			"link them into one first, such as with wasm-merge, and name that",
		}
	}
	var binary []byte
	var hash string
	switch w := all[0].(type) {
	case sdk.WasmData:
		binary, hash = w.Data, w.Hash
		if len(binary) == 0 {
			return nil, &Error{"/wasm/0/data", "is empty", "give the module's bytes"}
		}
	case sdk.WasmFile:
		var err error
		if binary, err = readWithin(folder, w.Path); err != nil {
			return nil, err
		}
		hash = w.Hash
	case sdk.WasmUrl:
		return nil, &Error{
			"/wasm/0/url", "modules are not fetched from URLs",
			fmt.Sprintf(`download %.300q first, and name the file as "path"`, w.Url),
		}
	default:
		return nil, &Error{"/wasm/0", fmt.Sprintf("is a %T, which is not known here", w), "give the bytes as a WasmData"}
	}
	return binary, checkHash(binary, hash)
}

func checkHash(binary []byte, hash string) error {
	if hash == "" {
		return nil
	}
	sum := sha256.Sum256(binary)
	if got := hex.EncodeToString(sum[:]); !strings.EqualFold(got, hash) {
		return &Error{
			"/wasm/0/hash", fmt.Sprintf("is %.80q, and the SHA-256 of the module's %d bytes is %s", hash, len(binary), got),
			"get the module that was meant, or correct the hash",
		}
	}
	return nil
}

// readWithin reads a file that is in folder or below, links followed: a manifest
// may come from somebody who should not choose among all files.
func readWithin(folder, path string) ([]byte, error) {
	refuse := func(message, hint string) error { return &Error{"/wasm/0/path", message, hint} }
	if folder == "" {
		return nil, refuse("there is no folder to read it from", "give the module's bytes as data")
	}
	if !filepath.IsLocal(path) {
		return nil, refuse(fmt.Sprintf("%.300q is not within the manifest's folder", path), "put the module there, and name it by its path from there")
	}
	root, err := os.OpenRoot(folder)
	if err != nil {
		return nil, fmt.Errorf("open the manifest's folder: %w", err)
	}
	defer root.Close()
	info, err := root.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, refuse(fmt.Sprintf("there is no file %.300q in the manifest's folder", path), "build the plugin, or correct the path")
	}
	if err == nil && !info.Mode().IsRegular() { // Others may block, or never end.
		return nil, refuse(fmt.Sprintf("%.300q is no regular file", path), "name the module's own file")
	}
	var binary []byte
	if err == nil {
		binary, err = root.ReadFile(path)
	}
	if err != nil {
		return nil, refuse(err.Error(), "")
	}
	return binary, nil
}

const (
	wasmPage = 64 << 10
	// maxPages is all that 32 bits can address.
	maxPages = 1 << 16
)

// memoryOf is what the guest's memory may have; zero is the default.
func memoryOf(m *sdk.ManifestMemory) (int64, error) {
	if m == nil {
		return 0, nil
	}
	var errs []error
	if m.MaxPages > maxPages {
		errs = append(errs, &Error{
			"/memory/max_pages", fmt.Sprintf("is %d: memories have at most %d pages of 64 KiB", m.MaxPages, maxPages), "lower it, or remove it",
		})
	}
	// There is one budget for all that passes through Extism's memory. Where that is
	// lower, the limit that is asked for is kept; where it is higher, nothing keeps it.
	shared := runtime.Limits{}.WithDefaults().KernelBytes
	for _, limit := range []struct {
		name, what string
		value      int64
	}{
		{"max_http_response_bytes", "answers", m.MaxHttpResponseBytes},
		{"max_var_bytes", "variables", m.MaxVarBytes},
	} {
		if limit.value >= 0 && limit.value < shared { // Below zero is the SDK's for no limit given.
			errs = append(errs, &Error{
				"/memory/" + limit.name,
				fmt.Sprintf("is %d: %s have no limit of their own here, they share %d bytes with input and output", limit.value, limit.what, shared),
				"remove it (in Go, set it to -1), and limit KernelBytes if that is too much",
			})
		}
	}
	return int64(m.MaxPages) * wasmPage, errors.Join(errs...)
}

func deadlineOf(timeoutMS uint64) (time.Duration, error) {
	const most = math.MaxInt64 / uint64(time.Millisecond)
	if timeoutMS > most {
		return 0, &Error{"/timeout_ms", fmt.Sprintf("is %d, which is longer than can be counted", timeoutMS), fmt.Sprintf("at most %d", most)}
	}
	return time.Duration(timeoutMS) * time.Millisecond, nil
}

package build

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	crate "github.com/cofferdam-run/cofferdam/sdk/rust"
)

// wasmTarget is the target of Rust's that has no system around it.
const wasmTarget = "wasm32-unknown-unknown"

const hintRust = "with rustup: rustup target add " + wasmTarget + "; on Debian: apt-get install rustc cargo libstd-rust-dev-wasm32 lld"

// rust is an installation of Rust that has the target.
type rust struct {
	cargo, rustc string
	// linker is set where Rust has none of its own.
	linker string
}

// findRust looks at what comes first in the path, and then at the system's own: an
// installation by rustup hides it, and may lack the target.
func (p project) findRust(ctx context.Context) (rust, error) {
	found := false
	for _, dir := range []string{"", "/usr/local/bin/", "/usr/bin/"} {
		rustc, ok := p.find(dir + "rustc")
		if !ok {
			continue
		}
		found = true
		lib, err := said(ctx, rustc, "--print", "target-libdir", "--target", wasmTarget)
		if err != nil {
			continue
		}
		if _, err := os.Stat(lib); err != nil {
			continue
		}
		r := rust{rustc: rustc}
		r.cargo, _ = p.find(dir + "cargo")
		return p.withLinker(ctx, r)
	}
	if found {
		return rust{}, wrong(hintRust, "there is a rustc, but it cannot build for %s", wasmTarget)
	}
	return rust{}, wrong(hintRust, "there is no rustc, which builds Rust connectors")
}

func (p project) withLinker(ctx context.Context, r rust) (rust, error) {
	root, err := said(ctx, r.rustc, "--print", "sysroot")
	if err != nil {
		return r, fmt.Errorf("ask rustc where it is: %w", err)
	}
	if own, _ := filepath.Glob(filepath.Join(root, "lib/rustlib/*/bin/rust-lld*")); len(own) > 0 {
		return r, nil
	}
	linker, ok := p.findLinker()
	if !ok {
		return r, wrong("install LLVM's linker; on Debian: apt-get install lld", "there is no wasm-ld, which links Rust connectors")
	}
	r.linker = linker
	return r, nil
}

// said is what a program prints.
func said(ctx context.Context, program string, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, program, args...).Output() //nolint:gosec // A compiler of the author's.
	return strings.TrimSpace(string(out)), err
}

func (p project) compileRust(ctx context.Context, out string) error {
	r, err := p.findRust(ctx)
	if err != nil {
		return err
	}
	if p.entry == "" || exists(p.root, "Cargo.toml") {
		return p.compileCargo(ctx, r, out)
	}
	return p.compileFile(ctx, r, out)
}

// compileFile builds a project without a Cargo.toml: the SDK, then the file.
func (p project) compileFile(ctx context.Context, r rust, out string) error {
	dir := filepath.Dir(out)
	sdk, library := filepath.Join(dir, "sdk"), filepath.Join(dir, "libcofferdam.rlib")
	if err := os.CopyFS(sdk, crate.Files()); err != nil {
		return fmt.Errorf("write the Rust SDK: %w", err)
	}
	common := []string{
		"--edition", "2021", "--target", wasmTarget, "--error-format", "short", "-C", "opt-level=s", "-C", "panic=abort",
		"--remap-path-prefix", sdk + "=cofferdam", "--remap-path-prefix", p.root + "=.",
	}
	args := append(slices.Clone(common), "--crate-type", "rlib", "--crate-name", "cofferdam", "-o", library, filepath.Join(sdk, "src", "lib.rs"))
	if err := p.run(ctx, tool{path: r.rustc, args: args}); err != nil {
		return err
	}
	args = append(common, "--crate-type", "cdylib", "-C", "lto=fat", "-C", "strip=symbols", "--extern", "cofferdam="+library, "-o", out, p.entry)
	if r.linker != "" {
		args = append(args, "-C", "linker="+r.linker)
	}
	return p.run(ctx, tool{path: r.rustc, args: args})
}

// compileCargo builds the crate, whose machine code for other builds stays in its
// target folder.
func (p project) compileCargo(ctx context.Context, r rust, out string) error {
	if r.cargo == "" {
		return wrong(hintRust, "there is no cargo beside %s, and the project has a Cargo.toml", r.rustc)
	}
	remap := "--remap-path-prefix=" + p.root + "=."
	if home, err := os.UserHomeDir(); err == nil {
		remap += " --remap-path-prefix=" + filepath.Join(home, ".cargo") + "=cargo"
	}
	env := []string{"RUSTC=" + r.rustc, "RUSTFLAGS=" + remap}
	if r.linker != "" {
		env = append(env, "CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER="+r.linker)
	}
	built, err := p.library(ctx, r, env)
	if err != nil {
		return err
	}
	err = p.run(ctx, tool{
		path: r.cargo, env: env,
		args: []string{"build", "--release", "--lib", "--quiet", "--target", wasmTarget, "--message-format", "short"},
	})
	if err != nil {
		return err
	}
	module, err := os.ReadFile(built) //nolint:gosec // The author's own.
	if err != nil {
		return fmt.Errorf("read what cargo wrote: %w", err)
	}
	if err := os.WriteFile(out, module, 0o600); err != nil { //nolint:gosec // Into a folder of our own.
		return fmt.Errorf("copy what cargo wrote: %w", err)
	}
	return nil
}

// library is the path of the module that cargo is going to write.
func (p project) library(ctx context.Context, r rust, env []string) (string, error) {
	c := exec.CommandContext(ctx, r.cargo, "metadata", "--no-deps", "--format-version", "1") //nolint:gosec // A compiler of the author's.
	c.Dir = p.root
	c.Env = append(c.Environ(), env...)
	var stderr strings.Builder
	c.Stderr = &stderr
	text, err := c.Output()
	if err != nil {
		return "", &Error{Problems: []Problem{{File: "Cargo.toml", Text: "cargo cannot read it", Notes: lastLines(stderr.String())}}, reading: true}
	}
	var metadata struct {
		TargetDirectory string `json:"target_directory"`
		Packages        []struct {
			ManifestPath string `json:"manifest_path"`
			Targets      []struct {
				Name       string   `json:"name"`
				CrateTypes []string `json:"crate_types"`
			} `json:"targets"`
		} `json:"packages"`
	}
	if err := json.Unmarshal(text, &metadata); err != nil {
		return "", fmt.Errorf("read what cargo says of the project: %w", err)
	}
	for _, pkg := range metadata.Packages {
		if pkg.ManifestPath != filepath.Join(p.root, "Cargo.toml") {
			continue
		}
		for _, t := range pkg.Targets {
			if slices.Contains(t.CrateTypes, "cdylib") {
				name := strings.ReplaceAll(t.Name, "-", "_") + ".wasm"
				return filepath.Join(metadata.TargetDirectory, wasmTarget, "release", name), nil
			}
		}
	}
	e := wrong("add to Cargo.toml: [lib] with crate-type = [\"cdylib\"]", "the crate is no library that a host can load")
	e.Problems[0].File = "Cargo.toml"
	return "", e
}

package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cofferdam-run/cofferdam/registry"
	"github.com/cofferdam-run/cofferdam/registry/oci"
	"github.com/cofferdam-run/cofferdam/runtime"
)

// shelf is the way to OCI registries.
type shelf struct {
	plainHTTP bool
}

func (s *shelf) flags(c *cobra.Command) {
	c.Flags().BoolVar(&s.plainHTTP, "plain-http", false, "speak HTTP without TLS, as is done with a registry on this machine")
}

func (s *shelf) client() (*oci.Client, error) {
	login, err := oci.DockerLogin()
	if err != nil {
		return nil, err
	}
	return oci.New(oci.Config{
		PlainHTTP: s.plainHTTP, Login: login, MaxBytes: int64(runtime.Limits{}.WithDefaults().ModuleBytes),
	}), nil
}

// pushing is a push to an OCI registry.
type pushing struct {
	publishing
	shelf shelf
}

func (a *app) pluginPush() *cobra.Command {
	p := pushing{publishing: publishing{app: a}}
	c := &cobra.Command{
		Use:   "push oci://HOST/REPOSITORY:TAG FILE|NAME@VERSION",
		Short: "Store a plugin in an OCI registry",
		Long: "Store a plugin in an OCI registry, as an artifact that other Wasm tools can pull, with its signature\n" +
			"beside it. FILE is a module; NAME@VERSION is fetched from the server, for its publisher. Credentials\n" +
			"are those of docker login.",
		Example: "  cofferdam plugin push oci://ghcr.io/acme/hello:0.1.0 build/hello-go.wasm --key author.key\n" +
			"  cofferdam plugin push oci://localhost:5000/acme/hello:0.1.0 hello-go@0.1.0",
		Args: exactly("oci://HOST/REPOSITORY:TAG", "FILE"),
		RunE: func(c *cobra.Command, args []string) error { return p.run(c.Context(), args[0], args[1]) },
	}
	p.shelf.flags(c)
	p.signer.flags(c)
	a.compilerFlags(c)
	c.Flags().Lookup("cache-dir").Usage = scratchCacheUsage
	return c
}

func (p *pushing) run(ctx context.Context, to, from string) error {
	if !oci.IsReference(to) {
		return usagef("%q is not a reference: write oci://HOST/REPOSITORY:TAG, and then the plugin", to)
	}
	plugin, err := p.plugin(ctx, from)
	if err != nil {
		return err
	}
	client, err := p.shelf.client()
	if err != nil {
		return err
	}
	digest, err := client.Push(ctx, to, plugin)
	if err != nil {
		return err
	}
	pushed := map[string]any{"reference": to, "digest": digest, "signed": plugin.Signature != nil}
	return p.show(pushed, func(w io.Writer) { fmt.Fprintf(w, "pushed %s  %s\n", to, digest) })
}

// plugin reads what is to be pushed.
func (p *pushing) plugin(ctx context.Context, from string) (oci.Plugin, error) {
	if _, err := os.Stat(from); err != nil && strings.Contains(from, "@") {
		return p.fetched(ctx, from)
	}
	wasm, err := p.module(ctx, from)
	if err != nil {
		return oci.Plugin{}, err
	}
	sig, err := p.signer.signature(ctx, p.publishing, from, wasm)
	if err != nil {
		return oci.Plugin{}, err
	}
	plugin := oci.Plugin{Wasm: wasm, Signature: sig}
	if section, ok := runtime.Section(wasm, "cofferdam.manifest"); ok {
		var m struct{ Name, Version, Description string }
		if json.Unmarshal(section, &m) == nil { // Annotations are for people only.
			plugin.Name, plugin.Version, plugin.Description = m.Name, m.Version, m.Description
		}
	}
	if sig != nil {
		plugin.Name, plugin.Version = sig.Name, sig.Version
	}
	return plugin, nil
}

// fetched is a version of the server's, with the signature that it has.
func (p *pushing) fetched(ctx context.Context, ref string) (oci.Plugin, error) {
	if p.signer != (signer{}) {
		return oci.Plugin{}, usagef("%s has the signature that it was published with: --key and --signature are for files", ref)
	}
	path, err := versionPath(ref)
	if err != nil {
		return oci.Plugin{}, err
	}
	var v versionDetail
	if err := p.client().call(ctx, http.MethodGet, path, nil, &v); err != nil {
		return oci.Plugin{}, err
	}
	resp, err := p.client().open(ctx, http.MethodGet, path+"/module", "", nil)
	if err != nil {
		return oci.Plugin{}, err
	}
	defer resp.Body.Close()
	wasm, err := io.ReadAll(io.LimitReader(resp.Body, v.Size+1))
	if err != nil {
		return oci.Plugin{}, fmt.Errorf("download %s: %w", ref, err)
	}
	if digestOf(wasm) != v.Digest {
		return oci.Plugin{}, fmt.Errorf("download %s: it came as %s, and was published as %s", ref, digestOf(wasm), v.Digest)
	}
	plugin := oci.Plugin{
		Wasm: wasm, Name: v.Name, Version: v.Version.Version, Description: v.Manifest.Description, Created: v.CreatedAt, Signature: v.Signature,
	}
	if v.Build != nil {
		plugin.Revision = v.Build.Revision
	}
	return plugin, nil
}

// pulling is a pull from an OCI registry.
type pulling struct {
	publishing
	shelf shelf
	out   string
	up    bool
}

func (a *app) pluginPull() *cobra.Command {
	p := pulling{publishing: publishing{app: a}}
	c := &cobra.Command{
		Use:   "pull oci://HOST/REPOSITORY:TAG",
		Short: "Fetch a plugin from an OCI registry",
		Long: "Fetch a plugin from an OCI registry, held against its digest, and its signature, which is written\n" +
			"beside it. With --publish it is uploaded to the server, signature and all.",
		Example: "  cofferdam plugin pull oci://ghcr.io/acme/hello:0.1.0 -f hello.wasm\n" +
			"  cofferdam plugin pull oci://ghcr.io/acme/hello@sha256:3f0a... --publish --publisher acme",
		Args: exactly("oci://HOST/REPOSITORY:TAG"),
		RunE: func(c *cobra.Command, args []string) error { return p.run(c.Context(), args[0]) },
	}
	p.shelf.flags(c)
	p.flags(c)
	c.Flags().StringVarP(&p.out, "file", "f", "", "where to write it; the name and version by default, unless it is published")
	c.Flags().BoolVar(&p.up, "publish", false, "upload it to the server")
	return c
}

func (p *pulling) run(ctx context.Context, from string) error {
	client, err := p.shelf.client()
	if err != nil {
		return err
	}
	plugin, err := client.Pull(ctx, from)
	if err != nil {
		return err
	}
	if p.out == "" && !p.up {
		p.out = fileName(from, plugin)
	}
	if p.out != "" {
		if err := save(p.out, plugin); err != nil {
			return err
		}
	}
	if p.up {
		return p.publish(ctx, plugin.Wasm, plugin.Signature, func(registry.Version) string { return "" })
	}
	pulled := map[string]any{"reference": from, "digest": plugin.Digest, "module": digestOf(plugin.Wasm), "file": p.out, "signature": plugin.Signature}
	return p.show(pulled, func(w io.Writer) {
		signed := "unsigned"
		if plugin.Signature != nil {
			signed = "signed by " + plugin.Signature.Key + ", which a server will look for among its publisher's"
		}
		fmt.Fprintf(w, "pulled %s  %s\n  %s  %s  %s\n", from, plugin.Digest, p.out, digestOf(plugin.Wasm), signed)
	})
}

// fileName is that of a plugin that somebody else has named: nothing but letters,
// digits, dots and hyphens is taken over.
func fileName(from string, p oci.Plugin) string {
	name := p.Name + "-" + p.Version
	if p.Name == "" || p.Version == "" {
		rest, _, _ := strings.Cut(strings.TrimPrefix(from, oci.Scheme), "@")
		name = strings.NewReplacer(":", "-").Replace(rest[strings.LastIndex(rest, "/")+1:])
	}
	name = strings.Map(func(r rune) rune {
		if r == '.' || r == '-' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
			return r
		}
		return '_'
	}, name)
	return cmp.Or(strings.TrimLeft(name, ".-"), "plugin") + ".wasm"
}

// save writes a plugin and, beside it, its signature. It writes over nothing.
func save(path string, p oci.Plugin) error {
	if err := create(path, p.Wasm, 0o644); err != nil {
		return err
	}
	if p.Signature == nil {
		return nil
	}
	document, err := json.MarshalIndent(p.Signature, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the signature: %w", err)
	}
	return create(path+signatureSuffix, append(document, '\n'), 0o644)
}

// digestOf is how a module is named by its bytes.
func digestOf(wasm []byte) string {
	sum := sha256.Sum256(wasm)
	return "sha256:" + hex.EncodeToString(sum[:])
}

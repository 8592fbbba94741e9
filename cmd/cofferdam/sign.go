package main

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/cofferdam-run/cofferdam/registry"
	"github.com/cofferdam-run/cofferdam/registry/signature"
	"github.com/cofferdam-run/cofferdam/runtime"
)

func (a *app) pluginKeygen() *cobra.Command {
	return &cobra.Command{
		Use:   "keygen FILE",
		Short: "Make a key to sign plugins with",
		Long: "Make an Ed25519 key to sign plugins with. The private half is written to FILE, which nobody else may\n" +
			"read, and the public one to FILE.pub: make that known with cofferdam publisher key add.",
		Example: "  cofferdam plugin keygen author.key && cofferdam publisher key add me author.key.pub",
		Args:    exactly("FILE"),
		RunE: func(_ *cobra.Command, args []string) error {
			public, private, err := ed25519.GenerateKey(rand.Reader)
			if err != nil {
				return fmt.Errorf("make a key: %w", err)
			}
			secret, err := signature.EncodePrivate(private)
			if err != nil {
				return err
			}
			half, err := signature.EncodePublic(public)
			if err != nil {
				return err
			}
			if err := create(args[0], secret, 0o600); err != nil {
				return err
			}
			if err := create(args[0]+".pub", []byte(half), 0o644); err != nil {
				return err
			}
			made := map[string]string{"key": signature.KeyID(public), "private": args[0], "public": args[0] + ".pub"}
			return a.show(made, func(w io.Writer) {
				fmt.Fprintf(w, "%s\n  private: %s, to be kept\n  public:  %s.pub, to be given to `cofferdam publisher key add`\n", made["key"], args[0], args[0])
			})
		},
	}
}

// create writes a file that is not there yet.
func create(path string, content []byte, mode fs.FileMode) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if errors.Is(err, fs.ErrExist) {
		return usagef("%s is there already, and is not written over", path)
	}
	if err != nil {
		return usagef("write the key: %v", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	_, err = f.Write(content)
	return err
}

// signer is with what a plugin is signed.
type signer struct {
	key, file string
}

func (s *signer) flags(c *cobra.Command) {
	c.Flags().StringVar(&s.key, "key", "", "sign it with the private key in this file")
	c.Flags().StringVar(&s.file, "signature", "", "the file with its signature; by default FILE.sig, if that is there")
}

// signature is that of a file that is to be published; nil is none.
func (s *signer) signature(ctx context.Context, p publishing, path string, wasm []byte) (*signature.Signature, error) {
	if s.key != "" && s.file != "" {
		return nil, usagef("--key signs it, and --signature says how it was signed: give one of the two")
	}
	if s.key != "" {
		sig, err := p.sign(ctx, s.key, wasm, p.name, p.version)
		return &sig, err
	}
	document, err := os.ReadFile(cmp.Or(s.file, path+signatureSuffix))
	if errors.Is(err, fs.ErrNotExist) && s.file == "" {
		return nil, nil //nolint:nilnil // It need not be signed.
	}
	if err != nil {
		return nil, usagef("read the signature: %v", err)
	}
	sig, err := signature.Parse(document)
	if err != nil {
		return nil, usagef("%s is no signature: %v", cmp.Or(s.file, path+signatureSuffix), err)
	}
	return &sig, nil
}

// signatureSuffix is of the file beside a module.
const signatureSuffix = ".sig"

func (a *app) pluginSign() *cobra.Command {
	var key, out, name, version string
	c := &cobra.Command{
		Use:   "sign FILE",
		Short: "Sign a plugin, for its upload",
		Long: "Sign a plugin's name, version and hash with a private key that cofferdam plugin keygen has made. The\n" +
			"signature is written to FILE.sig, which cofferdam plugin publish sends along. The plugin is started in\n" +
			"the sandbox, to hear its name and version; for one without describe, --name and --version say them.",
		Example: "  cofferdam plugin sign build/hello-go.wasm --key author.key",
		Args:    exactly("FILE"),
		RunE: func(c *cobra.Command, args []string) error {
			if key == "" {
				return usagef("say with --key which private key to sign with; cofferdam plugin keygen makes one")
			}
			wasm, err := a.module(c.Context(), args[0])
			if err != nil {
				return err
			}
			sig, err := a.sign(c.Context(), key, wasm, name, version)
			if err != nil {
				return err
			}
			document, err := json.MarshalIndent(sig, "", "  ")
			if err != nil {
				return fmt.Errorf("encode the signature: %w", err)
			}
			file := cmp.Or(out, args[0]+signatureSuffix)
			if err := os.WriteFile(file, append(document, '\n'), 0o644); err != nil { //nolint:gosec // A signature is for everybody.
				return usagef("write the signature: %v", err)
			}
			return a.show(sig, func(w io.Writer) {
				fmt.Fprintf(w, "signed %s@%s  %s  with %s: %s\n", sig.Name, sig.Version, sig.Digest, sig.Key, file)
			})
		},
	}
	flags := c.Flags()
	flags.StringVar(&key, "key", "", "the file with the private key")
	flags.StringVarP(&out, "file", "f", "", "where to write the signature; FILE.sig by default")
	flags.StringVar(&name, "name", "", "the name, for a plugin without describe")
	flags.StringVar(&version, "version", "", "the semantic version, for a plugin without describe")
	a.compilerFlags(c)
	flags.Lookup("cache-dir").Usage = scratchCacheUsage
	return c
}

// sign signs a module, which says its own name and version unless they are given.
func (a *app) sign(ctx context.Context, keyFile string, wasm []byte, name, version string) (signature.Signature, error) {
	text, err := os.ReadFile(keyFile)
	if err != nil {
		return signature.Signature{}, usagef("read the key: %v", err)
	}
	private, err := signature.ParsePrivate(text)
	if err != nil {
		return signature.Signature{}, usagef("%s is no private key to sign with: %v", keyFile, err)
	}
	sum := sha256.Sum256(wasm)
	if name == "" || version == "" {
		self, err := a.self(ctx, wasm, sum)
		if err != nil {
			return signature.Signature{}, err
		}
		name, version = cmp.Or(name, self.Name), cmp.Or(version, self.Version)
	}
	sig, err := signature.Sign(private, signature.Statement{
		Name: name, Version: version, Digest: "sha256:" + hex.EncodeToString(sum[:]), SignedAt: time.Now(),
	})
	if err != nil {
		return sig, usagef("%v", err)
	}
	return sig, nil
}

// self is what a typed connector says that it is called.
func (a *app) self(ctx context.Context, wasm []byte, sum [sha256.Size]byte) (*connectorSelf, error) {
	i := inspection{}
	v := inspecting{app: a}
	if err := v.inspect(ctx, wasm, runtime.Call{World: registry.World(sum)}, &i); err != nil {
		return nil, blamed(err)
	}
	if i.Connector == nil {
		return nil, usagef("the plugin does not say its name and version: give --name and --version, as at its upload")
	}
	return i.Connector, nil
}

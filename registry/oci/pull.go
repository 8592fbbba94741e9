package oci

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/content"
	"oras.land/oras-go/v2/errdef"
	"oras.land/oras-go/v2/registry/remote"

	"github.com/cofferdam-run/cofferdam/registry/signature"
)

// Pull fetches what a reference names, and its signature, if it has one. Whether the
// signature is anybody's is for whoever has the keys to say; it is one of this module.
func (c *Client) Pull(ctx context.Context, from string) (Plugin, error) {
	ref, err := reference(from)
	if err != nil {
		return Plugin{}, err
	}
	repo := c.repository(ref)
	found, err := repo.Resolve(ctx, ref.Reference)
	if errors.Is(err, errdef.ErrNotFound) {
		return Plugin{}, fmt.Errorf("there is nothing at %s", from)
	}
	if err != nil {
		return Plugin{}, fmt.Errorf("find %s: %w", from, err)
	}
	p, err := c.fetch(ctx, repo, found)
	if err != nil {
		return Plugin{}, fmt.Errorf("%s is not a plugin: %w", from, err)
	}
	if p.Signature, err = findSignature(ctx, repo, found, content.NewDescriptorFromBytes(layerType, p.Wasm)); err != nil {
		return Plugin{}, fmt.Errorf("read the signature of %s: %w", from, err)
	}
	return p, nil
}

// fetch reads a manifest, its config and its module.
func (c *Client) fetch(ctx context.Context, repo *remote.Repository, d ocispec.Descriptor) (Plugin, error) {
	m, err := fetchManifest(ctx, repo, d)
	if err != nil {
		return Plugin{}, err
	}
	if m.Config.MediaType != configType {
		return Plugin{}, fmt.Errorf("its config is of the type %q, and that of a Wasm artifact is %s", clip(m.Config.MediaType), configType)
	}
	if len(m.Layers) != 1 || m.Layers[0].MediaType != layerType {
		return Plugin{}, fmt.Errorf("it has %s, and a plugin has one layer of the type %s", layers(m), layerType)
	}
	if err := fetchConfig(ctx, repo, m); err != nil {
		return Plugin{}, err
	}
	if err := check(m.Layers[0], "module", 8, c.c.MaxBytes); err != nil {
		return Plugin{}, err
	}
	wasm, err := content.FetchAll(ctx, repo.Blobs(), m.Layers[0])
	if err != nil {
		return Plugin{}, fmt.Errorf("its module does not come as its digest says: %w", err)
	}
	p := Plugin{
		Wasm: wasm, Digest: d.Digest.String(),
		Name: m.Annotations[ocispec.AnnotationTitle], Version: m.Annotations[ocispec.AnnotationVersion],
		Description: m.Annotations[ocispec.AnnotationDescription], Revision: m.Annotations[ocispec.AnnotationRevision],
	}
	// An annotation that is no time says nothing.
	if created, err := time.Parse(time.RFC3339, m.Annotations[ocispec.AnnotationCreated]); err == nil {
		p.Created = created
	}
	return p, checkModule(wasm)
}

func fetchManifest(ctx context.Context, repo *remote.Repository, d ocispec.Descriptor) (ocispec.Manifest, error) {
	var m ocispec.Manifest
	if d.MediaType != ocispec.MediaTypeImageManifest {
		return m, fmt.Errorf("it is of the type %q, and not a manifest (%s)", clip(d.MediaType), ocispec.MediaTypeImageManifest)
	}
	if err := check(d, "manifest", 2, maxManifest); err != nil {
		return m, err
	}
	document, err := content.FetchAll(ctx, repo.Manifests(), d)
	if err != nil {
		return m, fmt.Errorf("its manifest does not come as its digest says: %w", err)
	}
	if err := json.Unmarshal(document, &m); err != nil {
		return m, fmt.Errorf("its manifest is not JSON of the expected form: %w", err)
	}
	return m, nil
}

// fetchConfig holds a config against what it is the config of.
func fetchConfig(ctx context.Context, repo *remote.Repository, m ocispec.Manifest) error {
	if err := check(m.Config, "config", 2, maxConfig); err != nil {
		return err
	}
	document, err := content.FetchAll(ctx, repo.Blobs(), m.Config)
	if err != nil {
		return fmt.Errorf("its config does not come as its digest says: %w", err)
	}
	var config wasmConfig
	if err := json.Unmarshal(document, &config); err != nil {
		return fmt.Errorf("its config is not JSON of the expected form: %w", err)
	}
	switch {
	case config.OS == "wasip2" || len(config.Component) > 0 && string(config.Component) != "null":
		return errors.New("it is a WebAssembly component, and plugins are core modules: build it without a component step")
	case config.Architecture != "wasm":
		return fmt.Errorf("it is for the architecture %q, and a plugin is for wasm", clip(config.Architecture))
	case len(config.LayerDigests) > 0 && !slices.Contains(config.LayerDigests, m.Layers[0].Digest.String()):
		return errors.New("its config is that of another module")
	default:
		return nil
	}
}

// layers describes those of a manifest.
func layers(m ocispec.Manifest) string {
	if len(m.Layers) == 1 {
		return fmt.Sprintf("a layer of the type %q", clip(m.Layers[0].MediaType))
	}
	return fmt.Sprintf("%d layers", len(m.Layers))
}

// errEnough ends the look at referrers.
var errEnough = errors.New("enough")

// findSignature looks for a signature of a module among what refers to its manifest,
// the newest first. What cannot be read, or is of another module, is none: anybody who
// may push can add to them.
func findSignature(ctx context.Context, repo *remote.Repository, of, module ocispec.Descriptor) (*signature.Signature, error) {
	var found []ocispec.Descriptor
	err := repo.Referrers(ctx, of, SignatureType, func(some []ocispec.Descriptor) error {
		found = append(found, some...)
		if len(found) >= maxSignatures {
			found = found[:maxSignatures]
			return errEnough
		}
		return nil
	})
	if err != nil && !errors.Is(err, errEnough) {
		return nil, fmt.Errorf("list what refers to it: %w", err)
	}
	var newest *signature.Signature
	for _, d := range found {
		s, err := fetchSignature(ctx, repo, d)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil || s.Digest != module.Digest.String() {
			continue
		}
		if newest == nil || s.SignedAt.After(newest.SignedAt) {
			newest = &s
		}
	}
	return newest, nil
}

func fetchSignature(ctx context.Context, repo *remote.Repository, d ocispec.Descriptor) (signature.Signature, error) {
	m, err := fetchManifest(ctx, repo, d)
	if err != nil {
		return signature.Signature{}, err
	}
	if len(m.Layers) != 1 || m.Layers[0].MediaType != SignatureType {
		return signature.Signature{}, errors.New("it carries no signature")
	}
	if err := check(m.Layers[0], "signature", 2, signature.MaxBytes); err != nil {
		return signature.Signature{}, err
	}
	document, err := content.FetchAll(ctx, repo.Blobs(), m.Layers[0])
	if err != nil {
		return signature.Signature{}, fmt.Errorf("fetch signature: %w", err)
	}
	return signature.Parse(document)
}

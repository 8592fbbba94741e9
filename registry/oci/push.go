package oci

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2"
	"oras.land/oras-go/v2/content"
	"oras.land/oras-go/v2/registry/remote"
)

// Push stores a plugin under a reference with a tag, and returns the digest of its
// manifest.
func (c *Client) Push(ctx context.Context, to string, p Plugin) (digest string, err error) {
	ref, err := reference(to)
	if err != nil {
		return "", err
	}
	if ref.ValidateReferenceAsTag() != nil {
		return "", fmt.Errorf("%q names no tag: a digest cannot be chosen", clip(to))
	}
	if err := c.pushable(p); err != nil {
		return "", fmt.Errorf("push %s: %w", to, err)
	}
	repo := c.repository(ref)
	manifest, err := pushManifest(ctx, repo, p)
	if err != nil {
		return "", fmt.Errorf("push %s: %w", to, err)
	}
	if p.Signature != nil {
		if err := pushSignature(ctx, repo, manifest, p); err != nil {
			return "", fmt.Errorf("push the signature of %s: %w", to, err)
		}
	}
	// Last, so that whoever finds the tag finds all of it.
	if err := repo.Tag(ctx, manifest, ref.Reference); err != nil {
		return "", fmt.Errorf("tag %s: %w", to, err)
	}
	return manifest.Digest.String(), nil
}

// pushable refuses what Pull would not take back.
func (c *Client) pushable(p Plugin) error {
	if err := checkModule(p.Wasm); err != nil {
		return err
	}
	layer := content.NewDescriptorFromBytes(layerType, p.Wasm)
	if err := check(layer, "module", 8, c.c.MaxBytes); err != nil {
		return err
	}
	if p.Signature != nil && p.Signature.Digest != layer.Digest.String() {
		return fmt.Errorf("its signature is for %s, and the module is %s", p.Signature.Digest, layer.Digest)
	}
	return nil
}

// pushManifest pushes all but the tag.
func pushManifest(ctx context.Context, repo *remote.Repository, p Plugin) (ocispec.Descriptor, error) {
	layer, err := pushBlob(ctx, repo, layerType, p.Wasm)
	if err != nil {
		return layer, err
	}
	document, err := json.Marshal(wasmConfig{Architecture: "wasm", OS: "wasip1", LayerDigests: []string{layer.Digest.String()}})
	if err != nil {
		return layer, fmt.Errorf("encode config: %w", err)
	}
	config, err := pushBlob(ctx, repo, configType, document)
	if err != nil {
		return config, err
	}
	manifest, err := oras.PackManifest(ctx, repo, oras.PackManifestVersion1_1, "", oras.PackManifestOptions{
		ConfigDescriptor: &config, Layers: []ocispec.Descriptor{layer}, ManifestAnnotations: p.annotations(),
	})
	if err != nil {
		return manifest, fmt.Errorf("push manifest: %w", err)
	}
	return manifest, nil
}

// pushSignature pushes a signature that refers to a manifest.
func pushSignature(ctx context.Context, repo *remote.Repository, of ocispec.Descriptor, p Plugin) error {
	document, err := json.Marshal(p.Signature)
	if err != nil {
		return fmt.Errorf("encode signature: %w", err)
	}
	layer, err := pushBlob(ctx, repo, SignatureType, document)
	if err != nil {
		return err
	}
	// Registries that know no artifactType go by the type of the config.
	config, err := pushBlob(ctx, repo, SignatureType, []byte(`{}`))
	if err != nil {
		return err
	}
	_, err = oras.PackManifest(ctx, repo, oras.PackManifestVersion1_1, SignatureType, oras.PackManifestOptions{
		Subject: &of, ConfigDescriptor: &config, Layers: []ocispec.Descriptor{layer},
		ManifestAnnotations: map[string]string{ocispec.AnnotationCreated: p.Signature.SignedAt.UTC().Format(time.RFC3339)},
	})
	if err != nil {
		return fmt.Errorf("push manifest: %w", err)
	}
	return nil
}

// pushBlob pushes what is not there yet.
func pushBlob(ctx context.Context, repo *remote.Repository, mediaType string, b []byte) (ocispec.Descriptor, error) {
	d := content.NewDescriptorFromBytes(mediaType, b)
	there, err := repo.Blobs().Exists(ctx, d)
	if err != nil {
		return d, fmt.Errorf("look for blob: %w", err)
	}
	if there {
		return d, nil
	}
	if err := repo.Blobs().Push(ctx, d, bytes.NewReader(b)); err != nil {
		return d, fmt.Errorf("push blob: %w", err)
	}
	return d, nil
}

// annotations are those of <https://specs.opencontainers.org/image-spec/annotations/>.
func (p Plugin) annotations() map[string]string {
	created := p.Created
	if created.IsZero() {
		created = time.Unix(0, 0)
	}
	all := map[string]string{ocispec.AnnotationCreated: created.UTC().Format(time.RFC3339)}
	for key, value := range map[string]string{
		ocispec.AnnotationTitle: p.Name, ocispec.AnnotationVersion: p.Version,
		ocispec.AnnotationDescription: p.Description, ocispec.AnnotationRevision: p.Revision,
	} {
		if value != "" {
			all[key] = value
		}
	}
	return all
}

package oci_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	containers "github.com/google/go-containerregistry/pkg/registry"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2"
	"oras.land/oras-go/v2/content"
	"oras.land/oras-go/v2/registry/remote"

	"github.com/cofferdam-run/cofferdam/registry/oci"
	"github.com/cofferdam-run/cofferdam/registry/signature"
)

// module is the smallest there is, with a custom section that makes it one of many.
func module(name string) []byte {
	return append([]byte("\x00asm\x01\x00\x00\x00\x00"), append([]byte{byte(len(name) + 1), byte(len(name))}, name...)...)
}

// shelf is a registry in this process.
type shelf struct {
	url string
	// ref is a repository of it.
	ref string
}

// setup starts a registry. wrap changes how it answers.
func setup(t *testing.T, wrap ...func(http.Handler) http.Handler) shelf {
	t.Helper()
	h := containers.New(containers.WithReferrersSupport(true), containers.Logger(slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo)))
	for _, w := range wrap {
		h = w(h)
	}
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	u, err := url.Parse(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	return shelf{srv.URL, "oci://" + u.Host + "/acme/hello"}
}

func hello() oci.Plugin {
	return oci.Plugin{
		Wasm: module("hello"), Name: "hello", Version: "1.0.0", Description: "Says hello.", Revision: "ab12",
		Created: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
	}
}

func push(t *testing.T, to string, p oci.Plugin) string {
	t.Helper()
	digest, err := oci.New(oci.Config{}).Push(t.Context(), to, p)
	if err != nil {
		t.Fatal(err)
	}
	return digest
}

func TestWhatIsPushedIsPulled(t *testing.T) {
	t.Parallel()
	s, want := setup(t), hello()
	want.Digest = push(t, s.ref+":1.0.0", want)
	for _, from := range []string{s.ref + ":1.0.0", s.ref + "@" + want.Digest} {
		got, err := oci.New(oci.Config{}).Pull(t.Context(), from)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s (-want +got):\n%s", from, d)
		}
	}
	if again := push(t, s.ref+":again", hello()); again != want.Digest {
		t.Errorf("the same again: got %s, want %s", again, want.Digest)
	}
}

func TestTheLayoutIsThatOfTheWorkingGroup(t *testing.T) {
	t.Parallel()
	s := setup(t)
	digest := push(t, s.ref+":1", hello())
	repo := repository(t, s)
	d, err := repo.Resolve(t.Context(), digest)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := content.FetchAll(t.Context(), repo, d)
	if err != nil {
		t.Fatal(err)
	}
	var m ocispec.Manifest
	if err := json.Unmarshal(raw, &m); err != nil {
		t.Fatal(err)
	}
	if m.MediaType != "application/vnd.oci.image.manifest.v1+json" || m.Config.MediaType != "application/vnd.wasm.config.v0+json" ||
		len(m.Layers) != 1 || m.Layers[0].MediaType != "application/wasm" {
		t.Errorf("got %s", raw)
	}
	config, err := content.FetchAll(t.Context(), repo, m.Config)
	sum := sha256.Sum256(module("hello"))
	want := fmt.Sprintf(`{"architecture":"wasm","os":"wasip1","layerDigests":["sha256:%s"]}`, hex.EncodeToString(sum[:]))
	if err != nil || string(config) != want {
		t.Errorf("got %s, %v, want %s", config, err, want)
	}
	annotations := map[string]string{
		"org.opencontainers.image.title": "hello", "org.opencontainers.image.version": "1.0.0", "org.opencontainers.image.revision": "ab12",
		"org.opencontainers.image.description": "Says hello.", "org.opencontainers.image.created": "2026-01-02T03:04:05Z",
	}
	if d := cmp.Diff(annotations, m.Annotations); d != "" {
		t.Errorf("annotations (-want +got):\n%s", d)
	}
}

// signed is a plugin with its publisher's signature.
func signed(t *testing.T, p oci.Plugin, at time.Time) (oci.Plugin, ed25519.PublicKey) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(p.Wasm)
	s, err := signature.Sign(private, signature.Statement{Name: p.Name, Version: p.Version, Digest: "sha256:" + hex.EncodeToString(sum[:]), SignedAt: at})
	if err != nil {
		t.Fatal(err)
	}
	p.Signature = &s
	return p, public
}

func TestASignatureRefersToItsPlugin(t *testing.T) {
	t.Parallel()
	s, at := setup(t), time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)
	unsigned := push(t, s.ref+":1.0.0", hello())
	old, _ := signed(t, hello(), at)
	p, public := signed(t, hello(), at.Add(time.Hour))
	for _, p := range []oci.Plugin{p, old} {
		if digest := push(t, s.ref+":1.0.0", p); digest != unsigned {
			t.Errorf("the signature changed what was signed: %s, not %s", digest, unsigned)
		}
	}
	got, err := oci.New(oci.Config{}).Pull(t.Context(), s.ref+":1.0.0")
	if err != nil || got.Signature == nil {
		t.Fatalf("got %+v, %v", got.Signature, err)
	}
	if err := got.Signature.Verify(public); err != nil {
		t.Errorf("it is not the newest: %v", err)
	}
}

func TestSignaturesThatAreNoneAreLeftOut(t *testing.T) {
	t.Parallel()
	s := setup(t)
	digest := push(t, s.ref+":1", hello())
	repo := repository(t, s)
	subject, err := repo.Resolve(t.Context(), digest)
	if err != nil {
		t.Fatal(err)
	}
	other := hello()
	other.Wasm = module("other")
	foreign, _ := signed(t, other, time.Unix(1, 0))
	document, err := json.Marshal(foreign.Signature)
	if err != nil {
		t.Fatal(err)
	}
	for mediaType, layer := range map[string][]byte{
		oci.SignatureType: document, "text/plain": document, oci.SignatureType + "x": []byte("{}"), "application/json": []byte(strings.Repeat("x", 9000)),
	} {
		d, err := oras.PushBytes(t.Context(), repo, strings.TrimSuffix(mediaType, "x"), layer)
		if err != nil {
			t.Fatal(err)
		}
		config, err := oras.PushBytes(t.Context(), repo, oci.SignatureType, []byte(`{}`))
		if err != nil {
			t.Fatal(err)
		}
		opts := oras.PackManifestOptions{Subject: &subject, ConfigDescriptor: &config, Layers: []ocispec.Descriptor{d}}
		if _, err := oras.PackManifest(t.Context(), repo, oras.PackManifestVersion1_1, oci.SignatureType, opts); err != nil {
			t.Fatal(err)
		}
	}
	got, err := oci.New(oci.Config{}).Pull(t.Context(), s.ref+":1")
	if err != nil || got.Signature != nil {
		t.Errorf("got %+v, %v, want no signature", got.Signature, err)
	}
}

func TestReferencesThatAreNone(t *testing.T) {
	t.Parallel()
	client := oci.New(oci.Config{})
	for ref, want := range map[string]string{
		"ghcr.io/acme/hello:1":               "must be like oci://",
		"oci://":                             "must be like oci://",
		"oci://ghcr.io":                      "must be like oci://",
		"oci://ghcr.io/acme/hello":           "names no tag and no digest",
		"oci://ghcr.io/Acme/hello:1":         "must be like oci://",
		"oci://ghcr.io/acme/hello:!":         "must be like oci://",
		"oci://" + strings.Repeat("x", 5000): "must be like oci://",
	} {
		_, pulled := client.Pull(t.Context(), ref)
		_, pushed := client.Push(t.Context(), ref, hello())
		for _, err := range []error{pulled, pushed} {
			if err == nil || !strings.Contains(err.Error(), want) || len(err.Error()) > 400 {
				t.Errorf("%.40s: got %v, want %q", ref, err, want)
			}
		}
	}
	_, err := client.Push(t.Context(), "oci://ghcr.io/acme/hello@sha256:"+strings.Repeat("0", 64), hello())
	if err == nil || !strings.Contains(err.Error(), "names no tag") {
		t.Errorf("a push to a digest: got %v", err)
	}
}

func TestWhatIsNotPushed(t *testing.T) {
	t.Parallel()
	s := setup(t)
	other := hello()
	other.Wasm = module("other")
	mismatched, _ := signed(t, other, time.Unix(1, 0))
	mismatched.Wasm = module("hello")
	for name, tt := range map[string]struct {
		plugin oci.Plugin
		want   string
	}{
		"nothing":             {oci.Plugin{}, "not a WebAssembly module"},
		"a text":              {oci.Plugin{Wasm: []byte("#!/bin/sh -e")}, "not a WebAssembly module"},
		"a component":         {oci.Plugin{Wasm: []byte("\x00asm\x0d\x00\x01\x00more")}, "is a WebAssembly component"},
		"another version":     {oci.Plugin{Wasm: []byte("\x00asm\x02\x00\x00\x00")}, "of a version that is not known: 02 00 00 00"},
		"too much":            {oci.Plugin{Wasm: append(module("big"), make([]byte, 100)...)}, "it must have from 8 to 50"},
		"another's signature": {mismatched, "its signature is for sha256:"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := oci.New(oci.Config{MaxBytes: 50}).Push(t.Context(), s.ref+":1", tt.plugin)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func repository(t *testing.T, s shelf) *remote.Repository {
	t.Helper()
	repo, err := remote.NewRepository(strings.TrimPrefix(s.ref, "oci://"))
	if err != nil {
		t.Fatal(err)
	}
	repo.PlainHTTP = true
	return repo
}

// artifact is something that somebody has pushed.
type artifact struct {
	configType, layerType string
	config, layer         []byte
	layers                int
}

// store pushes an artifact as the tag "bad".
func (a artifact) store(t *testing.T, s shelf) {
	t.Helper()
	repo := repository(t, s)
	config, err := oras.PushBytes(t.Context(), repo, a.configType, a.config)
	if err != nil {
		t.Fatal(err)
	}
	layer, err := oras.PushBytes(t.Context(), repo, a.layerType, a.layer)
	if err != nil {
		t.Fatal(err)
	}
	opts := oras.PackManifestOptions{ConfigDescriptor: &config}
	for range a.layers {
		opts.Layers = append(opts.Layers, layer)
	}
	d, err := oras.PackManifest(t.Context(), repo, oras.PackManifestVersion1_1, "", opts)
	if err != nil {
		t.Fatal(err)
	}
	if err := repo.Tag(t.Context(), d, "bad"); err != nil {
		t.Fatal(err)
	}
}

func TestArtifactsThatAreNoPlugins(t *testing.T) {
	t.Parallel()
	const configType, layerType = "application/vnd.wasm.config.v0+json", "application/wasm"
	plain := `{"architecture":"wasm","os":"wasip1"}`
	for name, tt := range map[string]struct {
		change func(*artifact)
		want   string
	}{
		"a container":               {func(a *artifact) { a.configType = "application/vnd.oci.image.config.v1+json" }, `of the type "application/vnd.oci.image.config.v1+json"`},
		"a layer of another type":   {func(a *artifact) { a.layerType = "application/vnd.oci.image.layer.v1.tar" }, `a layer of the type "application/vnd.oci.image.layer.v1.tar"`},
		"no layer":                  {func(a *artifact) { a.layers = 0 }, `a layer of the type "application/vnd.oci.empty.v1+json"`},
		"two layers":                {func(a *artifact) { a.layers = 2 }, "it has 2 layers"},
		"no WebAssembly":            {func(a *artifact) { a.layer = []byte("#!/bin/sh -e") }, "not a WebAssembly module"},
		"a component":               {func(a *artifact) { a.layer = []byte("\x00asm\x0d\x00\x01\x00") }, "is a WebAssembly component"},
		"a component by its system": {func(a *artifact) { a.config = []byte(`{"architecture":"wasm","os":"wasip2"}`) }, "is a WebAssembly component"},
		"a component by its config": {func(a *artifact) {
			a.config = []byte(`{"architecture":"wasm","os":"wasip1","component":{"exports":[]}}`)
		}, "is a WebAssembly component"},
		"another architecture": {func(a *artifact) { a.config = []byte(`{"architecture":"amd64","os":"linux"}`) }, `the architecture "amd64"`},
		"the config of another module": {func(a *artifact) {
			a.config = []byte(`{"architecture":"wasm","os":"wasip1","layerDigests":["sha256:00"]}`)
		}, "that of another module"},
		"a config that is no JSON": {func(a *artifact) { a.config = []byte(`not JSON`) }, "its config is not JSON"},
		"a large config":           {func(a *artifact) { a.config = []byte(plain + strings.Repeat(" ", 70_000)) }, "its config has 70037 bytes"},
		"a large module":           {func(a *artifact) { a.layer = append(module("x"), make([]byte, 2000)...) }, "it must have from 8 to 1000"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := setup(t)
			a := artifact{configType: configType, layerType: layerType, config: []byte(plain), layer: module("x"), layers: 1}
			tt.change(&a)
			a.store(t, s)
			_, err := oci.New(oci.Config{MaxBytes: 1000}).Pull(t.Context(), s.ref+":bad")
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func TestAnIndexIsNoPlugin(t *testing.T) {
	t.Parallel()
	s := setup(t)
	repo := repository(t, s)
	index := []byte(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}`)
	if _, err := oras.TagBytes(t.Context(), repo, ocispec.MediaTypeImageIndex, index, "bad"); err != nil {
		t.Fatal(err)
	}
	_, err := oci.New(oci.Config{}).Pull(t.Context(), s.ref+":bad")
	if err == nil || !strings.Contains(err.Error(), "not a manifest") {
		t.Errorf("got %v", err)
	}
	_, err = oci.New(oci.Config{}).Pull(t.Context(), s.ref+":none")
	if err == nil || !strings.Contains(err.Error(), "there is nothing at") {
		t.Errorf("nothing at all: got %v", err)
	}
}

func TestWhatARegistryHasTamperedWithIsNotTaken(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ path, from, to, want string }{
		"a module":   {"/blobs/", "hello", "hallo", "its module does not come as its digest says"},
		"a config":   {"/blobs/", "wasip1", "wasip9", "its config does not come as its digest says"},
		"a manifest": {"/manifests/", "1.0.0", "1.0.1", "its manifest does not come as its digest says"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var tampers atomic.Bool
			s := setup(t, func(next http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if !tampers.Load() || r.Method != http.MethodGet || !strings.Contains(r.URL.Path, tt.path) {
						next.ServeHTTP(w, r)
						return
					}
					rec := httptest.NewRecorder()
					next.ServeHTTP(rec, r)
					maps.Copy(w.Header(), rec.Header())
					w.WriteHeader(rec.Code)
					_, _ = w.Write(bytes.ReplaceAll(rec.Body.Bytes(), []byte(tt.from), []byte(tt.to)))
				})
			})
			push(t, s.ref+":1", hello())
			tampers.Store(true)
			_, err := oci.New(oci.Config{}).Pull(t.Context(), s.ref+":1")
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

// schemes remembers how registries were spoken to, and reaches none.
type schemes struct{ seen []string }

func (s *schemes) RoundTrip(r *http.Request) (*http.Response, error) {
	s.seen = append(s.seen, r.URL.Scheme)
	return nil, errors.New("no route")
}

func TestPlainHTTPIsForThisMachine(t *testing.T) {
	t.Parallel()
	for host, tt := range map[string]struct {
		plain bool
		want  string
	}{
		"ghcr.io":             {false, "https"},
		"ghcr.io ":            {true, "http"},
		"localhost:5000":      {false, "http"},
		"127.0.0.1:5000":      {false, "http"},
		"[::1]:5000":          {false, "http"},
		"10.0.0.1:5000":       {false, "https"},
		"localhost.evil:5000": {false, "https"},
	} {
		seen := &schemes{}
		client := oci.New(oci.Config{PlainHTTP: tt.plain, HTTP: &http.Client{Transport: seen}})
		if _, err := client.Pull(t.Context(), "oci://"+strings.TrimSpace(host)+"/acme/hello:1"); err == nil {
			t.Errorf("%s: got no error", host)
		}
		if len(seen.seen) == 0 || seen.seen[0] != tt.want {
			t.Errorf("%s was spoken to by %v, want %s", host, seen.seen, tt.want)
		}
	}
}

func TestCredentialsGoToTheRegistryThatAsksForThem(t *testing.T) {
	t.Parallel()
	s := setup(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if user, password, ok := r.BasicAuth(); !ok || user != "ada" || password != "s3cret" {
				w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			next.ServeHTTP(w, r)
		})
	})
	var asked []string
	login := func(_ context.Context, host string) (oci.Login, error) {
		asked = append(asked, host)
		return oci.Login{Username: "ada", Password: "s3cret"}, nil
	}
	client := oci.New(oci.Config{Login: login})
	if _, err := client.Push(t.Context(), s.ref+":1", hello()); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Pull(t.Context(), s.ref+":1"); err != nil {
		t.Error(err)
	}
	if want := strings.TrimPrefix(s.url, "http://"); len(asked) == 0 || asked[0] != want {
		t.Errorf("credentials were looked up for %v, want %s", asked, want)
	}
	if _, err := oci.New(oci.Config{}).Pull(t.Context(), s.ref+":1"); err == nil || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("without: got %v", err)
	}
	broken := errors.New("the helper is gone")
	_, err := oci.New(oci.Config{Login: func(context.Context, string) (oci.Login, error) { return oci.Login{}, broken }}).Pull(t.Context(), s.ref+":1")
	if !errors.Is(err, broken) {
		t.Errorf("got %v, want %v", err, broken)
	}
	if got := fmt.Sprintf("%+v %#v %s", oci.Login{Password: "s3cret"}, oci.Login{Password: "s3cret"}, oci.Login{Password: "s3cret"}); strings.Contains(got, "s3cret") {
		t.Errorf("a login prints as %s", got)
	}
}

func TestDockerLogin(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("DOCKER_CONFIG", dir)
	find, err := oci.DockerLogin()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := find(t.Context(), "ghcr.io"); err != nil || got != (oci.Login{}) {
		t.Errorf("without a file: got %+v, %v, want nobody", got, err)
	}
}

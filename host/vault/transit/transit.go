// Package transit keeps the key encryption key in the transit engine of HashiCorp
// Vault or OpenBao, which never gives it away: keysets are sent there to be wrapped
// (<https://developer.hashicorp.com/vault/api-docs/secret/transit>).
//
//	keeper, err := transit.New(transit.Config{Address: "https://vault:8200", Key: "cofferdam", TokenFile: "/run/vault/token"})
//
// The key is made there beforehand, best with derived=true, which gives each tenant a
// key of its own:
//
//	vault write transit/keys/cofferdam type=aes256-gcm96 derived=true
//
// and the token needs `update` on transit/encrypt/cofferdam, decrypt and rewrap. Vault
// makes new versions of the key with `vault write -f transit/keys/cofferdam/rotate`;
// Rewrap brings keysets to the latest, after which min_decryption_version can be raised.
//
// The tenant is bound to what is wrapped twice: as the context of a derived key, and
// inside of it, in case the key is not derived.
package transit

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/cofferdam-run/cofferdam/host/vault"
	"github.com/cofferdam-run/cofferdam/host/vault/remote"
)

// tokenMost bounds a token; Vault's are about 100 bytes, JWTs some KiB.
const tokenMost = 16 << 10

// Config configures a Keeper.
type Config struct {
	// Address is the server's, such as https://vault:8200.
	Address string
	// Mount is where the engine is mounted. Defaults to transit.
	Mount string
	// Key is the name of the key there.
	Key string
	// TokenFile holds the token. It is read for each request, so that an agent can renew
	// it.
	TokenFile string
	// Namespace is Vault Enterprise's and OpenBao's. Defaults to none.
	Namespace string
	// Client makes the requests, such as with a certificate of its own. Defaults to one
	// that trusts what the system trusts, and uses no proxy.
	Client *http.Client
	// Timeout is that of each of three tries. Defaults to 5 s.
	Timeout time.Duration
	// After is what pauses between tries wait on. Defaults to time.After.
	After func(time.Duration) <-chan time.Time
}

// Keeper is a vault.Keeper and a vault.Rewrapper.
type Keeper struct {
	c      Config
	base   string
	id     string
	client *remote.Client
}

var (
	_ vault.Keeper    = (*Keeper)(nil)
	_ vault.Rewrapper = (*Keeper)(nil)
)

// New returns a Keeper. It asks nobody anything yet.
func New(c Config) (*Keeper, error) {
	address, err := remote.Address(c.Address)
	if err != nil {
		return nil, fmt.Errorf("use a transit engine: %w", err)
	}
	if c.Mount == "" {
		c.Mount = "transit"
	}
	for what, text := range map[string]string{"mount": c.Mount, "key": c.Key} {
		if !regexp.MustCompile(`^[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*$`).MatchString(text) || strings.Contains("/"+text+"/", "/../") {
			return nil, fmt.Errorf("use a transit engine: its %s is %q, and may have letters, digits and ._-/ only", what, text)
		}
	}
	if c.TokenFile == "" {
		return nil, errors.New("use a transit engine: no file is named that holds a token for it")
	}
	name := c.Mount + "/" + c.Key
	if c.Namespace != "" {
		name = strings.Trim(c.Namespace, "/") + "/" + name
	}
	return &Keeper{
		c: c, base: strings.TrimSuffix(address.String(), "/") + "/v1/" + c.Mount + "/", id: "transit:" + name,
		client: remote.New("the transit engine "+name+" at "+address.Host, c.Client, c.Timeout, c.After),
	}, nil
}

// KeyID implements vault.Keeper. It is the same for all versions of the key, and
// wherever the server is reached.
func (k *Keeper) KeyID() string { return k.id }

// String returns the id.
func (k *Keeper) String() string { return k.id }

// Wrap implements vault.Keeper.
func (k *Keeper) Wrap(ctx context.Context, tenant string, key []byte) ([]byte, error) {
	inside := append(bound(tenant), key...)
	defer clear(inside)
	var data struct{ Ciphertext string }
	err := k.ask(ctx, "encrypt", map[string]string{
		"plaintext": base64.StdEncoding.EncodeToString(inside), "context": contextOf(tenant),
	}, &data)
	if err != nil {
		return nil, fmt.Errorf("wrap a key of tenant %s: %w", tenant, refusal(k, err))
	}
	return k.checked(data.Ciphertext)
}

// Unwrap implements vault.Keeper.
func (k *Keeper) Unwrap(ctx context.Context, tenant string, wrapped []byte) ([]byte, error) {
	if !isCiphertext(string(wrapped)) {
		return nil, vault.ErrSealed
	}
	var data struct{ Plaintext string }
	if err := k.ask(ctx, "decrypt", map[string]string{"ciphertext": string(wrapped), "context": contextOf(tenant)}, &data); err != nil {
		return nil, err
	}
	inside, err := base64.StdEncoding.DecodeString(data.Plaintext)
	if err != nil || len(inside) == 0 {
		return nil, vault.Refused(k.client.Name, errors.New("it answered without a plaintext in base64"))
	}
	key, ok := bytes.CutPrefix(inside, bound(tenant))
	if !ok {
		clear(inside)
		return nil, vault.ErrSealed
	}
	return key, nil
}

// Rewrap implements vault.Rewrapper.
func (k *Keeper) Rewrap(ctx context.Context, tenant string, wrapped []byte) ([]byte, error) {
	if !isCiphertext(string(wrapped)) {
		return nil, vault.ErrSealed
	}
	var data struct{ Ciphertext string }
	if err := k.ask(ctx, "rewrap", map[string]string{"ciphertext": string(wrapped), "context": contextOf(tenant)}, &data); err != nil {
		return nil, err
	}
	return k.checked(data.Ciphertext)
}

func (k *Keeper) checked(ciphertext string) ([]byte, error) {
	if !isCiphertext(ciphertext) {
		return nil, vault.Refused(k.client.Name, errors.New("it answered with something that is no ciphertext of its"))
	}
	return []byte(ciphertext), nil
}

// ask makes a request of the engine. What it says of a ciphertext is vault.ErrSealed.
func (k *Keeper) ask(ctx context.Context, verb string, request map[string]string, data any) error {
	body, err := json.Marshal(request)
	if err != nil {
		return fmt.Errorf("encode a request to %s: %w", k.id, err)
	}
	defer clear(body)
	answer, err := k.client.Post(ctx, k.base+verb+"/"+url.PathEscape(k.c.Key), body, k.authorise, func(remote.Answer) bool { return false })
	if err != nil {
		return err
	}
	if answer.Status != http.StatusOK {
		return k.refused(answer)
	}
	defer clear(answer.Body)
	wrapped := struct{ Data any }{data}
	return k.client.Into(answer, &wrapped)
}

// refused is the error of an answer that is not 200. Vault answers 400 both to a
// ciphertext that does not open and to a request that it does not like.
func (k *Keeper) refused(a remote.Answer) error {
	var said struct{ Errors []string }
	if err := k.client.Into(a, &said); err != nil {
		return err
	}
	text := strings.Join(said.Errors, "; ")
	if a.Status == http.StatusBadRequest {
		for _, about := range []string{"authentication failed", "invalid ciphertext", "could not decode", "unable to decrypt", "ciphertext too short"} {
			if strings.Contains(text, about) {
				return vault.ErrSealed
			}
		}
	}
	return vault.Refused(k.client.Name, fmt.Errorf("it answered %d: %.200q", a.Status, text))
}

// refusal is what ErrSealed means where nothing was to be opened.
func refusal(k *Keeper, err error) error {
	if errors.Is(err, vault.ErrSealed) {
		return vault.Refused(k.client.Name, errors.New("it answered 400"))
	}
	return err
}

func (k *Keeper) authorise(r *http.Request) error {
	token, err := os.ReadFile(k.c.TokenFile)
	if err != nil {
		return fmt.Errorf("read the token: %w", err)
	}
	defer clear(token)
	trimmed := bytes.TrimSpace(token)
	if len(trimmed) == 0 || len(trimmed) > tokenMost || bytes.ContainsFunc(trimmed, func(c rune) bool { return c <= ' ' || c > '~' }) {
		return fmt.Errorf("the token file %s holds no token", k.c.TokenFile)
	}
	r.Header.Set("X-Vault-Token", string(trimmed))
	r.Header.Set("X-Vault-Request", "true")
	r.Header.Set("Content-Type", "application/json")
	if k.c.Namespace != "" {
		r.Header.Set("X-Vault-Namespace", k.c.Namespace)
	}
	return nil
}

// isCiphertext tells what the engine makes: vault:v1:base64, of which each text is
// written in one way only.
func isCiphertext(text string) bool {
	version, rest, found := strings.Cut(strings.TrimPrefix(text, "vault:v"), ":")
	_, err := base64.StdEncoding.Strict().DecodeString(rest)
	return found && strings.HasPrefix(text, "vault:v") && err == nil && rest != "" &&
		version != "" && strings.Trim(version, "0123456789") == ""
}

// contextOf is what a derived key is derived from.
func contextOf(tenant string) string {
	return base64.StdEncoding.EncodeToString([]byte("cofferdam tenant key 1 " + tenant))
}

// bound is how what is wrapped begins.
func bound(tenant string) []byte {
	b := []byte("cofferdam tenant key 1")
	b = binary.BigEndian.AppendUint64(b, uint64(len(tenant)))
	return append(b, tenant...)
}

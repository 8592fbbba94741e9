// Package awskms keeps the key encryption key in AWS KMS, which never gives it away:
// keysets are sent there to be wrapped
// (<https://docs.aws.amazon.com/kms/latest/APIReference/API_Encrypt.html>).
//
//	keeper, err := awskms.New(awskms.Config{Key: "arn:aws:kms:eu-central-1:111122223333:key/...", Credentials: credentials})
//
// The key is a symmetric one, and the credentials need kms:Encrypt and kms:Decrypt for
// it. KMS turns its own versions of the key over by itself, and finds the right one.
//
// The tenant is in the encryption context, which KMS authenticates and writes into
// CloudTrail: a policy may demand it.
package awskms

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/cofferdam-run/cofferdam/host/vault"
	"github.com/cofferdam-run/cofferdam/host/vault/remote"
	"github.com/cofferdam-run/cofferdam/hostfns/sign/sigv4"
)

// plaintextMost is what KMS wraps at the most, in bytes.
const plaintextMost = 4096

// Config configures a Keeper.
type Config struct {
	// Key is the ARN of a key. An alias is refused: it can come to mean another key,
	// which opens nothing.
	Key string
	// Credentials are asked for before each request: an id, a secret and, for keys that
	// end, a session token. Region and service are the Keeper's to say.
	Credentials func(ctx context.Context) (sigv4.Signer, error)
	// Endpoint is where KMS is. Defaults to the one of the key's region.
	Endpoint string
	// Client makes the requests. Defaults to one that trusts what the system trusts, and
	// uses no proxy.
	Client *http.Client
	// Timeout is that of each of three tries. Defaults to 5 s.
	Timeout time.Duration
	// Now is the clock, and After what pauses between tries wait on. Default to time.Now
	// and time.After.
	Now   func() time.Time
	After func(time.Duration) <-chan time.Time
}

// Keeper is a vault.Keeper.
type Keeper struct {
	c        Config
	region   string
	endpoint string
	client   *remote.Client
}

var _ vault.Keeper = (*Keeper)(nil)

// New returns a Keeper. It asks nobody anything yet.
func New(c Config) (*Keeper, error) {
	arn := regexp.MustCompile(`^arn:(aws[a-z-]*):kms:([a-z0-9-]+):\d{12}:key/[A-Za-z0-9-]+$`).FindStringSubmatch(c.Key)
	if arn == nil {
		return nil, fmt.Errorf("use AWS KMS: the key is %q, and has to be the ARN of a key, such as arn:aws:kms:eu-central-1:111122223333:key/1234abcd-..., not an alias", c.Key)
	}
	if c.Credentials == nil {
		return nil, errors.New("use AWS KMS: there are no credentials")
	}
	if c.Endpoint == "" {
		c.Endpoint = "https://kms." + arn[2] + ".amazonaws.com"
		if arn[1] == "aws-cn" {
			c.Endpoint += ".cn"
		}
	}
	address, err := remote.Address(c.Endpoint)
	if err != nil {
		return nil, fmt.Errorf("use AWS KMS: %w", err)
	}
	if c.Now == nil {
		c.Now = time.Now //nolint:forbidigo // The default clock has to come from somewhere.
	}
	return &Keeper{
		c: c, region: arn[2], endpoint: strings.TrimSuffix(address.String(), "/") + "/",
		client: remote.New("AWS KMS at "+address.Host, c.Client, c.Timeout, c.After),
	}, nil
}

// KeyID implements vault.Keeper: it is the key's ARN.
func (k *Keeper) KeyID() string { return k.c.Key }

// String returns the id.
func (k *Keeper) String() string { return k.c.Key }

// request is what is sent; bytes are base64 in JSON.
type request struct {
	KeyID             string            `json:"KeyId"`
	Plaintext         []byte            `json:",omitempty"`
	CiphertextBlob    []byte            `json:",omitempty"`
	EncryptionContext map[string]string `json:"EncryptionContext"`
}

// response is what comes back.
type response struct {
	KeyID          string `json:"KeyId"`
	Plaintext      []byte
	CiphertextBlob []byte
}

// Wrap implements vault.Keeper.
func (k *Keeper) Wrap(ctx context.Context, tenant string, key []byte) ([]byte, error) {
	if len(key) > plaintextMost {
		return nil, fmt.Errorf("wrap a key of tenant %s: it has %d bytes, and KMS takes %d", tenant, len(key), plaintextMost)
	}
	r, err := k.ask(ctx, "Encrypt", request{KeyID: k.c.Key, Plaintext: key, EncryptionContext: contextOf(tenant)})
	if errors.Is(err, vault.ErrSealed) || err == nil && len(r.CiphertextBlob) == 0 {
		err = vault.Refused(k.client.Name, errors.New("it answered without a ciphertext"))
	}
	if err != nil {
		return nil, fmt.Errorf("wrap a key of tenant %s: %w", tenant, err)
	}
	return r.CiphertextBlob, nil
}

// Unwrap implements vault.Keeper.
func (k *Keeper) Unwrap(ctx context.Context, tenant string, wrapped []byte) ([]byte, error) {
	if len(wrapped) == 0 {
		return nil, vault.ErrSealed
	}
	r, err := k.ask(ctx, "Decrypt", request{KeyID: k.c.Key, CiphertextBlob: wrapped, EncryptionContext: contextOf(tenant)})
	if err != nil {
		return nil, err
	}
	if r.KeyID != k.c.Key { // A server that ignores what it was asked.
		clear(r.Plaintext)
		return nil, vault.Refused(k.client.Name, errors.New("it opened with another key than it was asked for"))
	}
	return r.Plaintext, nil
}

// ask makes a request. What KMS says of a ciphertext is vault.ErrSealed.
func (k *Keeper) ask(ctx context.Context, action string, in request) (response, error) {
	body, err := json.Marshal(in)
	if err != nil {
		return response{}, fmt.Errorf("encode a request to AWS KMS: %w", err)
	}
	defer clear(body)
	answer, err := k.client.Post(ctx, k.endpoint, body, func(r *http.Request) error {
		credentials, err := k.c.Credentials(ctx)
		if err != nil {
			return fmt.Errorf("find credentials of AWS: %w", err)
		}
		r.Header.Set("Content-Type", "application/x-amz-json-1.1")
		r.Header.Set("X-Amz-Target", "TrentService."+action)
		credentials.Region, credentials.Service = k.region, "kms"
		credentials.Sign(r, sigv4.Hash(body), k.c.Now())
		return nil
	}, isPassing)
	if err != nil {
		return response{}, err
	}
	if answer.Status != http.StatusOK {
		return response{}, k.refused(answer)
	}
	defer clear(answer.Body)
	var out response
	err = k.client.Into(answer, &out)
	return out, err
}

// typeOf returns the name of an error, which some servers give a namespace or a URL.
func typeOf(a remote.Answer) (name, message string) {
	var said struct {
		Type    string `json:"__type"`
		Message string `json:"message"`
	}
	if json.Unmarshal(a.Body, &said) != nil {
		return "", ""
	}
	name, _, _ = strings.Cut(said.Type, ":")
	return name[strings.LastIndex(name, "#")+1:], said.Message
}

// isPassing says that the same request may work soon, though the status is 400.
func isPassing(a remote.Answer) bool {
	switch name, _ := typeOf(a); name {
	case "ThrottlingException", "LimitExceededException", "DependencyTimeoutException", "KMSInternalException", "KeyUnavailableException":
		return true
	default:
		return false
	}
}

func (k *Keeper) refused(a remote.Answer) error {
	switch name, message := typeOf(a); name {
	case "InvalidCiphertextException", "IncorrectKeyException":
		return vault.ErrSealed
	case "":
		return vault.Refused(k.client.Name, fmt.Errorf("it answered %d with %d bytes that are not the JSON of its API", a.Status, len(a.Body)))
	default:
		return vault.Refused(k.client.Name, fmt.Errorf("it answered %d: %.60s: %.200q", a.Status, name, message))
	}
}

func contextOf(tenant string) map[string]string {
	return map[string]string{"cofferdam:purpose": "tenant key 1", "cofferdam:tenant": tenant}
}

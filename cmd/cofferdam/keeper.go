package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/vault"
	"github.com/cofferdam-run/cofferdam/host/vault/awskms"
	"github.com/cofferdam-run/cofferdam/host/vault/keyenv"
	"github.com/cofferdam-run/cofferdam/host/vault/keyfile"
	"github.com/cofferdam-run/cofferdam/host/vault/transit"
	"github.com/cofferdam-run/cofferdam/hostfns/sign/sigv4"
)

// keepersHelp says how a keeper is named.
const keepersHelp = "file:PATH, env:VARIABLE, transit:https://HOST:8200/MOUNT/KEY, or an arn:aws:kms:..."

// keepers are those that a server has: the one that wraps, and others that open what
// was wrapped before.
type keepers struct {
	first  vault.Keeper
	others []vault.Keeper
	// made is the path of a key file that was made.
	made string
}

// openKeepers opens the keepers that are named, the key file if none is.
func (a *app) openKeepers(ctx context.Context, keys vault.Store) (k keepers, err error) {
	if a.Keeper == "" {
		k.first, k.made, err = a.openKey(ctx, keys)
	} else {
		k.first, err = a.openKeeper(a.Keeper)
	}
	if err != nil {
		return keepers{}, err
	}
	for _, name := range a.Keepers {
		other, err := a.openKeeper(name)
		if err != nil {
			return keepers{}, err
		}
		if other.KeyID() != k.first.KeyID() {
			k.others = append(k.others, other)
		}
	}
	if a.Keeper != "" && a.KeyFile != "" && !slices.Contains(a.Keepers, "file:"+a.KeyFile) {
		return keepers{}, usagef("both --keeper and --key-file are given: name the file as --keepers file:%s if it opens what was wrapped before", a.KeyFile)
	}
	return k, nil
}

// openKeeper opens the one of a name.
func (a *app) openKeeper(name string) (vault.Keeper, error) {
	kind, rest, _ := strings.Cut(name, ":")
	switch kind {
	case "file":
		return opened(keyfile.Open(rest))
	case "env":
		return variableKey(rest)
	case "transit":
		return a.openTransit(rest)
	case "arn":
		return opened(awskms.New(awskms.Config{Key: name, Endpoint: a.KMSEndpoint, Credentials: awsCredentials}))
	default:
		return nil, usagef("--keeper %q: it is %s", name, keepersHelp)
	}
}

// opened keeps a nil of one type from becoming another that is not.
func opened[K vault.Keeper](k K, err error) (vault.Keeper, error) {
	if err != nil {
		return nil, err
	}
	return k, nil
}

// variableKey reads a key out of the environment, and takes it away there: a child
// process or a crash report would show it.
func variableKey(variable string) (vault.Keeper, error) {
	if !regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`).MatchString(variable) {
		return nil, usagef("--keeper env:%s: name the variable, not the key", "VARIABLE")
	}
	value := []byte(os.Getenv(variable))
	defer clear(value)
	k, err := keyenv.Parse(value)
	if err != nil {
		return nil, fmt.Errorf("the variable %s: %w", variable, err)
	}
	if err := os.Unsetenv(variable); err != nil {
		return nil, fmt.Errorf("take the variable %s out of the environment: %w", variable, err)
	}
	return k, nil
}

func (a *app) openTransit(address string) (vault.Keeper, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, usagef("--keeper transit:...: it is %s", keepersHelp)
	}
	dir, key := filepath.Split(strings.Trim(u.Path, "/"))
	u.Path = ""
	if a.VaultToken == "" {
		return nil, usagef("name the file with the token for %s: COFFERDAM_VAULT_TOKEN_FILE", u.Host)
	}
	return opened(transit.New(transit.Config{
		Address: u.String(), Mount: strings.Trim(dir, "/"), Key: key, TokenFile: a.VaultToken, Namespace: a.VaultNamespace,
	}))
}

// awsCredentials are those of the environment, read for each request.
func awsCredentials(context.Context) (sigv4.Signer, error) {
	s := sigv4.Signer{
		AccessKeyID: os.Getenv("AWS_ACCESS_KEY_ID"), SecretAccessKey: os.Getenv("AWS_SECRET_ACCESS_KEY"), SessionToken: os.Getenv("AWS_SESSION_TOKEN"),
	}
	if s.AccessKeyID == "" || s.SecretAccessKey == "" {
		return s, errors.New("AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set")
	}
	return s, nil
}

// openKey opens the key file. It makes one only if the database holds nothing
// that another key has sealed.
func (a *app) openKey(ctx context.Context, keys vault.Store) (keeper vault.Keeper, made string, err error) {
	path := a.keyPath()
	if path == "" {
		return nil, "", usagef("name the key file, or what else keeps the key: --key-file or COFFERDAM_KEY_FILE, --keeper or COFFERDAM_KEEPER; every server of one database needs the same one")
	}
	file, err := keyfile.Open(path)
	if err == nil {
		return file, "", nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, "", err
	}
	_, stored := keys.AnyKey(ctx)
	if stored == nil {
		return nil, "", fmt.Errorf("%w\n  hint: the database holds credentials that only this file opens, and a new one cannot replace it", err)
	}
	if none, ok := errors.AsType[*fault.Error](stored); !ok || none.Code != fault.CodeNotFound {
		return nil, "", stored
	}
	created, err := keyfile.Create(path)
	if err != nil {
		return nil, "", err
	}
	return created, path, nil
}

// keyPath is the key file's: beside an embedded database unless it is said.
func (a *app) keyPath() string {
	if a.KeyFile != "" || isPostgres(a.DB) {
		return a.KeyFile
	}
	return filepath.Join(filepath.Dir(a.DB), "key.json")
}

package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// certificates are those in two files, read again when these have changed.
type certificates struct {
	cert, key string
	logger    *slog.Logger

	mu   sync.Mutex
	held *tls.Certificate
	// stamp is what the files were like when they were read last, and looked when they
	// were looked at last.
	stamp  string
	looked time.Time
}

// lookEvery is how often the files are looked at, while there are handshakes.
const lookEvery = time.Second

// openCertificates reads the files that --tls-cert and --tls-key name, or returns nil
// if they name none.
func (a *app) openCertificates(l *slog.Logger) (*certificates, error) {
	if a.TLSCert == "" && a.TLSKey == "" {
		return nil, nil //nolint:nilnil // Not to serve TLS is no error.
	}
	if a.TLSCert == "" || a.TLSKey == "" {
		return nil, usagef("--tls-cert and --tls-key go together: one is the certificate, the other its key")
	}
	c := &certificates{cert: a.TLSCert, key: a.TLSKey, logger: l}
	stamp, err := c.look()
	if err == nil {
		err = c.read(stamp)
	}
	if err != nil {
		return nil, fmt.Errorf("open the certificate: %w", err)
	}
	return c, nil
}

// config is a listener's. Its protocols are those of net/http.
func (c *certificates) config() *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.current(time.Now()), nil },
	}
}

// current returns the certificate as it is now. While the files do not fit together,
// as when one of them is written before the other, it is the one before.
func (c *certificates) current(now time.Time) *tls.Certificate {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now.Sub(c.looked) < lookEvery {
		return c.held
	}
	c.looked = now
	stamp, err := c.look()
	if err == nil && stamp != c.stamp {
		if err = c.read(stamp); err == nil {
			c.logger.Info("the certificate has changed, and was read again", slog.Time("valid_until", c.held.Leaf.NotAfter))
		}
	}
	if err != nil {
		c.logger.Warn("the certificate could not be read again; the one before is shown", slog.Any("error", err))
	}
	return c.held
}

// look returns what the files are like.
func (c *certificates) look() (string, error) {
	cert, cerr := os.Stat(c.cert)
	key, kerr := os.Stat(c.key)
	if err := errors.Join(cerr, kerr); err != nil {
		return "", err
	}
	return fmt.Sprint(cert.ModTime().UnixNano(), cert.Size(), key.ModTime().UnixNano(), key.Size()), nil
}

func (c *certificates) read(stamp string) error {
	read, err := tls.LoadX509KeyPair(c.cert, c.key)
	if err != nil {
		return err
	}
	c.held, c.stamp = &read, stamp
	return nil
}

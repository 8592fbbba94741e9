//go:build !unix

package postgrestest

import "errors"

// cluster is a temporary server, which is started on Unix only.
type cluster struct {
	address string
}

func programs() (string, bool) { return "", false }

func start(string, string, ...string) (*cluster, error) { return nil, errors.ErrUnsupported }

func (c *cluster) restart() error { return errors.ErrUnsupported }

func (c *cluster) freeze() (func() error, error) { return nil, errors.ErrUnsupported }

func (c *cluster) stop() {}

func (c *cluster) panicked() string { return "" }

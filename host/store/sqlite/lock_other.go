//go:build !unix

package sqlite

import (
	"os"

	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/store"
)

// lockFile refuses: where a lock cannot be had that dies with its process, two
// processes could serve one file.
func lockFile(path string) (*os.File, error) {
	return nil, fault.New(fault.Platform, store.CodeUnreachable, "%s cannot be locked on this operating system", path).
		WithHint("use Postgres here")
}

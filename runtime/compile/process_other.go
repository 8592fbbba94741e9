//go:build !linux && !darwin

package compile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	goruntime "runtime"
	"syscall"
	"time"
)

// errSystem says where the child's limits are known to hold.
var errSystem = fmt.Errorf("%w: a process can be bounded on Linux and macOS only, not on %s", errors.ErrUnsupported, goruntime.GOOS)

func boundProcess(order) error { return errSystem }

func usedCPU() time.Duration { return 0 }

func processAttributes() *syscall.SysProcAttr { return nil }

func killGroup(p *os.Process) error { return p.Kill() }

// checkPrivate knows nothing of this system's permissions.
func checkPrivate(string, fs.FileInfo) error { return nil }

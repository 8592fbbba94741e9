package image

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

func native() []Mechanism { return []Mechanism{Watch, Scan, Pagemap, Advise, Remap} }

func keepNative(segments []Segment, mechanism Mechanism) (store, error) {
	if mechanism == Remap {
		return keepUnlinked(segments)
	}
	return keepSealed(segments, mechanism)
}

// explain says what to do when the kernel has no room. Mappings are counted,
// because their limit is the one that many sandboxes meet first.
func explain(err error) error {
	if !errors.Is(err, unix.ENOMEM) {
		return err
	}
	limit, _ := os.ReadFile("/proc/sys/vm/max_map_count")
	maps, _ := os.ReadFile("/proc/self/maps")
	most, parseErr := strconv.Atoi(strings.TrimSpace(string(limit)))
	if parseErr != nil {
		most = 0
	}
	return explainNoRoom(err, bytes.Count(maps, []byte("\n")), most)
}

func explainNoRoom(err error, mappings, limit int) error {
	if limit > 0 && mappings >= limit-2 {
		return fmt.Errorf("%w: the process has %d mappings, of which vm.max_map_count allows %d and a sandbox takes 2: "+
			"raise it (sysctl -w vm.max_map_count=%d), or keep fewer sandboxes", err, mappings, limit, 4*limit)
	}
	return fmt.Errorf("%w: the process has %d mappings of %d allowed (vm.max_map_count), so it is another limit: "+
		"raise the one of address space (ulimit -v), allow overcommit (sysctl -w vm.overcommit_memory=0), "+
		"or keep fewer sandboxes or smaller ones", err, mappings, limit)
}

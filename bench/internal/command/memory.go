package command

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// ErrSkip is a figure that this machine cannot give. Its text says what is missing.
var ErrSkip = errors.New("not measured")

// Kilobytes reads a line of a file of Linux's, such as /proc/meminfo.
func Kilobytes(path, name string) (float64, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, fmt.Errorf("%w: this needs Linux: %w", ErrSkip, err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) >= 2 && fields[0] == name {
			return strconv.ParseFloat(fields[1], 64)
		}
	}
	if err := lines.Err(); err != nil {
		return 0, fmt.Errorf("read %s: %w", path, err)
	}
	return 0, fmt.Errorf("%w: %s has no line %q", ErrSkip, path, name)
}

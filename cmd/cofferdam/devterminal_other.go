//go:build !linux && !darwin

package main

import (
	"errors"
	"os"
)

// isKeyboard is not known here: there are no keys, and nothing is asked.
func isKeyboard(*os.File) bool { return false }

func rawTerminal(*os.File) (restore func(), err error) {
	return nil, errors.New("a terminal's keys cannot be read on this system")
}

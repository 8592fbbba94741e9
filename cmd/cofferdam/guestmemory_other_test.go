//go:build !linux

package main

import "errors"

func guestMemory(int) ([]byte, error) { return nil, errors.ErrUnsupported }

//go:build !linux && !darwin

package image

import "fmt"

func native() []Mechanism { return nil }

func keepNative(_ []Segment, mechanism Mechanism) (store, error) {
	return nil, fmt.Errorf("%s does not exist on this operating system", mechanism)
}

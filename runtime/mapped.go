package runtime

import (
	"errors"

	"github.com/cofferdam-run/cofferdam/runtime/sourcemap"
)

// mapper is for a module that carries a source map, which is read when it is needed;
// nil for others.
func mapper(binary []byte, read func() ([]byte, error)) *sourcemap.Mapper {
	if _, ok := Section(binary, sourcemap.Section); !ok {
		return nil
	}
	return sourcemap.New(func() ([]byte, error) {
		binary, err := read()
		if err != nil {
			return nil, err
		}
		text, _ := Section(binary, sourcemap.Section)
		return text, nil
	})
}

// mapped has a guest's failure name lines of its sources. Here and not where it is
// shown, so that whoever records one and whoever repeats it has the same.
func (l *loaded) mapped(err error) error {
	if f, ok := errors.AsType[*Failure](err); ok {
		f.Message, f.Stack, f.Details = l.maps.Text(f.Message), l.maps.Text(f.Stack), l.maps.Details(f.Details)
	}
	return err
}

// crossingLog is the question that carries log lines.
const crossingLog = "log"

// told is what the Host is asked: log lines name lines of the guest's sources.
func (l *loaded) told(name string, request []byte) []byte {
	if name != crossingLog {
		return request
	}
	return l.maps.Details(request)
}

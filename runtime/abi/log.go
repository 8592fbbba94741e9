package abi

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"unicode/utf8"

	"github.com/tetratelabs/wazero/api"
)

const (
	// maxLine is where a log message is cut in two: one crossing stays small,
	// and nothing is lost.
	maxLine = 8 << 10
	// maxTail is how much of standard error is kept beside a failure.
	maxTail = 8 << 10
)

// lineBuffer collects what a guest writes to a descriptor until a line is full.
type lineBuffer struct {
	level string
	line  []byte
}

func logFunction(level string) call {
	return func(ctx context.Context, g *Guest, _ api.Module, s []uint64) {
		message := g.take(ctx, s[0], "log")
		for len(message) > maxLine {
			n := cut(message)
			g.log(ctx, level, message[:n])
			message = message[n:]
		}
		g.log(ctx, level, message)
		// Extism's convention: the host frees a message that it has read.
		g.kernel.heap.free(s[0])
	}
}

func (g *Guest) log(ctx context.Context, level string, message []byte) {
	g.spend(ctx, crossing)
	if err := g.tryLog(ctx, level, message); err != nil {
		g.end(err)
	}
}

func (g *Guest) tryLog(ctx context.Context, level string, message []byte) error {
	request, err := json.Marshal(struct {
		Level   string `json:"level"`
		Message string `json:"message"`
	}{level, string(message)})
	if err != nil {
		return fmt.Errorf("encode log message: %w", err)
	}
	_, err = g.tryQuestion(ctx, "log", request)
	return err
}

// write adds what a guest wrote and logs each line that is complete.
func (g *Guest) write(ctx context.Context, b *lineBuffer, data []byte) {
	for len(data) > 0 {
		piece, rest := data, []byte(nil)
		end := bytes.IndexByte(data, '\n')
		if end >= 0 {
			piece, rest = data[:end], data[end+1:]
		}
		g.extend(ctx, b, piece)
		if end >= 0 {
			g.log(ctx, b.level, b.line)
			b.line = b.line[:0]
		}
		data = rest
	}
}

// extend adds to the line, and logs its start as often as it is over the cap.
func (g *Guest) extend(ctx context.Context, b *lineBuffer, piece []byte) {
	for len(b.line)+len(piece) > maxLine {
		room := maxLine + 1 - len(b.line) // One more, so that cut sees whether it may cut there.
		b.line = append(b.line, piece[:room]...)
		piece = piece[room:]
		n := cut(b.line)
		g.log(ctx, b.level, b.line[:n])
		b.line = append(b.line[:0], b.line[n:]...)
	}
	b.line = append(b.line, piece...)
}

func (g *Guest) flush(ctx context.Context, b *lineBuffer) error {
	if len(b.line) == 0 {
		return nil
	}
	if err := g.tryLog(ctx, b.level, b.line); err != nil {
		return err
	}
	b.line = nil
	return nil
}

// cut returns where to cut a message that is longer than maxLine, so that no
// character is split.
func cut(message []byte) int {
	for n := maxLine; n > maxLine-utf8.UTFMax; n-- {
		if utf8.RuneStart(message[n]) {
			return n
		}
	}
	return maxLine
}

// remember keeps the end of standard error.
func (g *Guest) remember(data []byte) {
	g.tail = append(g.tail, data[max(0, len(data)-maxTail):]...)
	g.tail = append(g.tail[:0], g.tail[max(0, len(g.tail)-maxTail):]...)
}

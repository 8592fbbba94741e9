// Stream passes bodies in chunks: down, across and up.
package main

import (
	"hash/crc32"
	"io"
	"time"

	"github.com/cofferdam-run/cofferdam/sdk/go/connector"
)

var _ = connector.Define(connector.Connector{
	Name: "stream-go", Version: "0.1.0",
	Egress: []connector.Egress{{Host: "files.example.com", Methods: []string{"GET", "PUT"}}},
	Actions: []connector.Action{
		{Name: "down", Run: connector.Func(down)}, {Name: "across", Run: connector.Func(across)},
		{Name: "up", Run: connector.Func(up)}, {Name: "through", Run: connector.Func(through)},
	},
	Limits: connector.Limits{MemoryMiB: 64, StreamMiB: 1024, Timeout: 10 * time.Minute, Fuel: 1e12},
})

func main() {}

type (
	input struct {
		From  string `json:"from,omitempty"`
		To    string `json:"to,omitempty"`
		Bytes int64  `json:"bytes,omitempty"`
	}
	output struct {
		Bytes  int64  `json:"bytes"`
		Sum    uint32 `json:"sum,omitempty"`
		Status int    `json:"status"`
	}
)

func down(ctx *connector.Context, in input) (output, error) {
	s, err := ctx.HTTP.Stream(connector.Request{URL: in.From})
	if err != nil {
		return output{}, err
	}
	defer s.Body.Close()
	if err := s.Err(); err != nil {
		return output{}, err
	}
	sum := crc32.NewIEEE()
	n, err := io.Copy(sum, s.Body)
	return output{Bytes: n, Sum: sum.Sum32(), Status: s.Status}, err
}

func across(ctx *connector.Context, in input) (output, error) {
	s, err := ctx.HTTP.Stream(connector.Request{URL: in.From})
	if err != nil {
		return output{}, err
	}
	defer s.Body.Close()
	r, err := ctx.HTTP.Send(connector.Request{Method: "PUT", URL: in.To}, s.Body)
	if err != nil {
		return output{}, err
	}
	return output{Status: r.Status}, r.Err()
}

// zeros are as many as are asked for.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

func up(ctx *connector.Context, in input) (output, error) {
	r, err := ctx.HTTP.Send(connector.Request{Method: "PUT", URL: in.To}, io.LimitReader(zeros{}, in.Bytes))
	if err != nil {
		return output{}, err
	}
	return output{Bytes: in.Bytes, Status: r.Status}, r.Err()
}

// through sends on what it has looked at.
func through(ctx *connector.Context, in input) (output, error) {
	s, err := ctx.HTTP.Stream(connector.Request{URL: in.From})
	if err != nil {
		return output{}, err
	}
	defer s.Body.Close()
	sum := crc32.NewIEEE()
	r, err := ctx.HTTP.Send(connector.Request{Method: "PUT", URL: in.To}, io.TeeReader(s.Body, sum))
	if err != nil {
		return output{}, err
	}
	return output{Sum: sum.Sum32(), Status: r.Status}, r.Err()
}

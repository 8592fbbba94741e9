package connectortest

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	goruntime "runtime"
	"time"

	"github.com/cofferdam-run/cofferdam/sdk/go/connector/code"
)

// call is the connector.Host of one call: what it writes is dropped unless the
// call succeeds.
type call struct {
	host    *Host
	number  int
	state   map[string]json.RawMessage
	emitted []Emitted
	random  *rand.ChaCha8
	// readOnly is a call of Confirm.
	readOnly bool
	// endpoint is the signing secret, in a call of Verify.
	endpoint *string
	// again is set once the call has ended to start again.
	again *StartsAgain
	// sent counts identical requests, and named are the keys that were used.
	sent  map[string]int
	named map[string][32]byte
	// streams are the bodies that pass in chunks.
	streams streams
}

// failure is a host function's refusal, as sdk/ABI.md has it.
type failure struct {
	Code    code.Code `json:"code"`
	Message string    `json:"message"`
}

func refuse(c code.Code, format string, args ...any) *failure {
	return &failure{c, fmt.Sprintf(format, args...)}
}

// Call implements connector.Host.
func (c *call) Call(function string, request []byte) []byte {
	request, chunk, _ := bytes.Cut(request, []byte("\n"))
	c.streams.in, c.streams.out = chunk, nil
	result, refused := c.answer(function, request)
	answer := map[string]any{"result": result}
	if refused != nil {
		answer = map[string]any{"error": refused}
	}
	response := c.host.encode("the answer of "+function, answer)
	if len(c.streams.out) > 0 {
		response = append(append(response, '\n'), c.streams.out...)
	}
	return response
}

// Random implements connector.Host: each call of a Host has a stream of its own,
// the same in each run of the test.
func (c *call) Random(p []byte) {
	if c.random == nil {
		var seed [32]byte
		binary.LittleEndian.PutUint64(seed[:], uint64(c.number))
		c.random = rand.NewChaCha8(seed)
	}
	_, _ = c.random.Read(p) // It never fails, by its contract.
}

func (c *call) execution() string { return fmt.Sprintf("exe_%026d", c.number) }

func (c *call) answer(function string, request []byte) (any, *failure) {
	if c.endpoint != nil {
		return c.verifies(function, request)
	}
	if refused := c.lookOnly(function, request); refused != nil {
		return nil, refused
	}
	switch function {
	case "http":
		return with(request, c.http)
	case "state_get":
		return with(request, c.stateGet)
	case "state_set":
		return with(request, c.stateSet)
	case "state_delete":
		return with(request, c.stateDelete)
	case "state_cas":
		return with(request, c.stateCompareAndSet)
	case "state_add":
		return with(request, c.stateAdd)
	case "state_list":
		return with(request, c.stateList)
	case "log":
		return with(request, c.log)
	case "emit":
		return with(request, c.emit)
	case "tag":
		return with(request, c.tag)
	case "sleep":
		return with(request, c.sleep)
	case "stream_read":
		return with(request, c.streamRead)
	case "stream_write":
		return with(request, c.streamWrite)
	case "stream_finish":
		return with(request, c.streamFinish)
	case "stream_close":
		return with(request, c.streamClose)
	case "sign":
		return with(request, c.sign)
	default:
		return nil, refuse(code.Denied, "there is no host function %q", function)
	}
}

// with decodes a request for the function that answers it.
func with[R any](request []byte, f func(R) (any, *failure)) (any, *failure) {
	var r R
	if err := json.Unmarshal(request, &r); err != nil {
		return nil, refuse(code.InvalidRequest, "decode the request: %v", err)
	}
	return f(r)
}

func (c *call) log(line Log) (any, *failure) {
	c.host.logs = append(c.host.logs, line)
	return struct{}{}, nil
}

func (c *call) emit(r Emitted) (any, *failure) {
	if r.Name == "" {
		return nil, refuse(code.InvalidRequest, "a record needs a name")
	}
	c.emitted = append(c.emitted, r)
	return struct{}{}, nil
}

type tagRequest struct{ Name, Value string }

func (c *call) tag(r tagRequest) (any, *failure) {
	if r.Name == "" {
		return nil, refuse(code.InvalidRequest, "a tag needs a name")
	}
	c.host.tags[r.Name] = r.Value
	return struct{}{}, nil
}

type sleepRequest struct {
	MS         float64         `json:"ms"`
	Until      time.Time       `json:"until"`
	Checkpoint json.RawMessage `json:"checkpoint"`
}

// sleep counts and does not wait. With a checkpoint it ends the connector's call,
// wherever in it that is, as the real host does.
func (c *call) sleep(r sleepRequest) (any, *failure) {
	d := time.Duration(r.MS * float64(time.Millisecond))
	if !r.Until.IsZero() {
		d = max(0, time.Until(r.Until))
	}
	c.host.slept += d
	if r.Checkpoint != nil {
		c.again = &StartsAgain{At: time.Now().Add(d), Checkpoint: r.Checkpoint}
		if !r.Until.IsZero() {
			c.again.At = r.Until
		}
		goruntime.Goexit() // Host.run waits for it.
	}
	return struct{}{}, nil
}

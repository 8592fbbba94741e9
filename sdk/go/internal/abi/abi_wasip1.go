//go:build wasip1

package abi

import "encoding/binary"

// Input is what the export was called with.
func Input() []byte {
	b := make([]byte, inputLength())
	i := 0
	for ; i+8 <= len(b); i += 8 {
		binary.LittleEndian.PutUint64(b[i:], inputLoadU64(uint64(i)))
	}
	for ; i < len(b); i++ {
		b[i] = byte(inputLoadU8(uint64(i)))
	}
	return b
}

// SetOutput gives what the export returns.
func SetOutput(b []byte) { outputSet(store(b), uint64(len(b))) }

// SetError gives why the export fails.
func SetError(b []byte) { errorSet(store(b)) }

// Call asks a host function. Each is an import of its own, hence the list; one
// that is not on it answers as the host would.
func Call(function string, request []byte) []byte {
	ask, ok := functionOf(function)
	if !ok {
		return []byte(`{"error":{"code":"invalid_request","message":"the SDK knows no such host function"}}`)
	}
	return exchange(ask, request)
}

// Sign asks the host function sign. It is not among those of Call, so that a program
// that does not sign does not import it.
func Sign(request []byte) []byte { return exchange(sign, request) }

// Stream asks one of the host functions about streams. They are not among those of Call
// either. What follows the JSON of a request or an answer, after a line feed, is bytes.
func Stream(function string, request []byte) []byte {
	switch function {
	case "stream_read":
		return exchange(streamRead, request)
	case "stream_write":
		return exchange(streamWrite, request)
	case "stream_finish":
		return exchange(streamFinish, request)
	default:
		return exchange(streamClose, request)
	}
}

func exchange(ask func(uint64) uint64, request []byte) []byte {
	question := store(request)
	answer := ask(question)
	free(question)
	response := load(answer)
	free(answer)
	return response
}

func functionOf(name string) (func(uint64) uint64, bool) {
	switch name {
	case "http":
		return http, true
	case "state_get":
		return stateGet, true
	case "state_set":
		return stateSet, true
	case "state_delete":
		return stateDelete, true
	case "state_cas":
		return stateCAS, true
	case "state_add":
		return stateAdd, true
	case "state_list":
		return stateList, true
	case "log":
		return log, true
	case "emit":
		return emit, true
	case "tag":
		return tag, true
	case "sleep":
		return sleep, true
	default:
		return nil, false
	}
}

// store copies b into Extism's memory.
func store(b []byte) uint64 {
	offset := alloc(uint64(len(b)))
	i := 0
	for ; i+8 <= len(b); i += 8 {
		storeU64(offset+uint64(i), binary.LittleEndian.Uint64(b[i:]))
	}
	for ; i < len(b); i++ {
		storeU8(offset+uint64(i), uint32(b[i]))
	}
	return offset
}

// load copies a block of Extism's memory.
func load(offset uint64) []byte {
	b := make([]byte, length(offset))
	i := 0
	for ; i+8 <= len(b); i += 8 {
		binary.LittleEndian.PutUint64(b[i:], loadU64(offset+uint64(i)))
	}
	for ; i < len(b); i++ {
		b[i] = byte(loadU8(offset + uint64(i)))
	}
	return b
}

package admission

import "io"

// Room is what a body takes of the memory for bodies.
type Room struct {
	g    *Gate
	held int64
}

// Room makes room for a body, of whose size a stranger has said something, or -1. It is
// given back by Close.
func (g *Gate) Room(announced int64) (*Room, error) {
	if g.held.Load()+max(announced, 0) > g.c.Bytes {
		return nil, g.busy()
	}
	return &Room{g: g}, nil
}

// Reader reads a body for which there is room: as much as comes is held, not as much as
// was announced, so that nobody keeps others out by sending slowly.
func (r *Room) Reader(body io.Reader) io.Reader { return &counted{body: body, room: r} }

// Close gives the room back. It may be called again.
func (r *Room) Close() {
	r.g.held.Add(-r.held)
	r.held = 0
}

// counted is a body that takes room as it comes.
type counted struct {
	body io.Reader
	room *Room
}

// Read implements io.Reader.
func (c *counted) Read(p []byte) (int, error) {
	n, err := c.body.Read(p)
	c.room.held += int64(n)
	if c.room.g.held.Add(int64(n)) > c.room.g.c.Bytes {
		return n, c.room.g.busy()
	}
	return n, err //nolint:wrapcheck // Readers compare io.EOF.
}

package param

// OnePublisher is a publisher.
type OnePublisher struct {
	Publisher string `path:"publisher" doc:"The publisher's id or name; me for the token's own." example:"octo"`
}

// Name is the publisher as the registry finds it: empty for the caller's own.
func (p OnePublisher) Name() string {
	if p.Publisher == "me" || p.Publisher == "self" {
		return ""
	}
	return p.Publisher
}

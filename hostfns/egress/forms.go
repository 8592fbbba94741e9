package egress

import (
	"slices"
	"sync"

	"github.com/cofferdam-run/cofferdam/hostfns"
)

// maxForms is how many connections' forms are kept.
const maxForms = 256

// forms keeps what a connection's secrets look like for a second after the last request
// that carried them, and no longer, because they hold the secrets: a connection that is
// used all the time need not be prepared for each of its requests.
type forms struct {
	mu     sync.Mutex
	recent map[account]*prepared
}

type prepared struct {
	secrets []string
	forms   *hostfns.Forms
	// unused is for how many ticks nobody has asked for them.
	unused int
}

func newForms() *forms { return &forms{recent: map[account]*prepared{}} }

// of gives the forms of secrets, which the connection of an account has now.
func (f *forms) of(key account, secrets []string) *hostfns.Forms {
	f.mu.Lock()
	defer f.mu.Unlock()
	if p := f.recent[key]; p != nil && slices.Equal(p.secrets, secrets) {
		p.unused = 0
		return p.forms
	}
	made := hostfns.NewForms(secrets...)
	if len(f.recent) < maxForms || f.recent[key] != nil {
		f.recent[key] = &prepared{secrets: secrets, forms: made}
	}
	return made
}

// sweep forgets what was not asked for in a while. It is called with each tick.
func (f *forms) sweep() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for key, p := range f.recent {
		if p.unused++; p.unused >= quiet {
			delete(f.recent, key)
		}
	}
}

// forget forgets all.
func (f *forms) forget() {
	f.mu.Lock()
	defer f.mu.Unlock()
	clear(f.recent)
}

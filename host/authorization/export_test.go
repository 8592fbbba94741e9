package authorization

import "context"

// Steps are those of the protocol, in their order.
func Steps() []string {
	return []string{string(claimed), string(asking), string(answered), string(sealed), string(stored)}
}

// OnStep has f told which step was reached.
func (a *Authorizations) OnStep(f func(step string)) {
	a.reach = func(s step) { f(string(s)) }
}

// Sweep does what is due now, once, and waits for it.
func (a *Authorizations) Sweep(ctx context.Context) {
	for {
		full, look := a.sweep.full(a.c.Now().Add(lookBesides))
		if look {
			found, _, err := a.c.Store.DueAuthorizations(ctx, DueFilter{Providers: full, Apps: a.pauses.apps(), Limit: lookMost})
			if err != nil {
				panic(err)
			}
			a.sweep.add(found)
		}
		d, ok := a.sweep.take()
		if !ok {
			return
		}
		a.attend(detach(ctx), d)
		a.sweep.done(d)
	}
}

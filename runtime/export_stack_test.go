package runtime

// KeptStack is how much stack an idle sandbox's function may have.
const KeptStack = keptStack

// Stacks are the bytes of the stacks that a module's idle sandboxes have, of one
// that cannot be seen -1.
func Stacks(m *Module) []int {
	m.mu.Lock()
	defer m.mu.Unlock()
	var all []int
	for _, s := range m.live.idle.all {
		for _, f := range s.functions {
			switch {
			case f.Function == nil: // It was looked for, and is not there.
			case !f.stack.IsValid():
				all = append(all, -1)
			default:
				all = append(all, f.stackBytes())
			}
		}
	}
	return all
}

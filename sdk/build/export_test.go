package build

// Marked is Problem.marked.
func Marked(line string, at, length int) Problem { return Problem{}.marked(line, at, length) }

// CompilerProblems reads what a compiler wrote.
func CompilerProblems(root, said string) []Problem {
	return project{root: root}.compilerProblems(root, said)
}

// TypeProblems reads what tsc wrote.
func TypeProblems(root, said string) []Problem { return project{root: root}.typeProblems(said) }

// Tidy makes a source map's paths independent of where the project is.
func Tidy(text []byte) ([]byte, error) { return tidy(text) }

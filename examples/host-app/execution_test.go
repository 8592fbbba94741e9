package main

import "testing"

func TestSentencesBeginInAnyScript(t *testing.T) {
	t.Parallel()
	for message, want := range map[string]string{
		"":                      "",
		"http: it was refused":  "It was refused.",
		"it was refused.":       "It was refused.",
		"été: it was refused":   "Été: it was refused.",
		"日本 is the team's name": "日本 is the team's name.",
	} {
		if got := sentence(message); got != want {
			t.Errorf("%q: got %q, want %q", message, got, want)
		}
	}
}

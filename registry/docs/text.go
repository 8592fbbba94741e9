package docs

import (
	"fmt"
	"regexp"
	"strings"
	"time"
)

// markup finds code between backticks, which stays as it is, and what a browser
// could take for a tag. A manifest is a stranger's.
var markup = regexp.MustCompile("`+[^`]*`+|<https?://[^<>\\s]*>|<")

// prose is an author's text as Markdown without HTML.
func prose(text string) string {
	return markup.ReplaceAllStringFunc(strings.TrimSpace(text), func(found string) string {
		if found == "<" {
			return "&lt;"
		}
		return found
	})
}

// cell is text for a table: one line, without a bar that would end it.
func cell(text string) string {
	return strings.ReplaceAll(strings.Join(strings.Fields(prose(text)), " "), "|", `\|`)
}

// about is a title and what more there is to say.
func about(title, description string) string {
	return strings.TrimSpace(title + stop(title) + " " + description)
}

// stop is the full stop that a sentence lacks.
func stop(sentence string) string {
	if sentence == "" || strings.ContainsAny(sentence[len(sentence)-1:], ".!?:") {
		return ""
	}
	return "."
}

// titled is a title behind a name.
func titled(title string) string {
	if title == "" {
		return ""
	}
	return ": " + prose(title)
}

func firstSentence(text string) string {
	first, _, _ := strings.Cut(text, ". ")
	return first
}

func codes(all []string) string {
	quoted := make([]string, len(all))
	for i, one := range all {
		quoted[i] = fence(one)
	}
	return listed(quoted, "and")
}

func statuses(all []int) string {
	texts := make([]string, len(all))
	for i, one := range all {
		texts[i] = fmt.Sprint(one)
	}
	return listed(texts, "or")
}

// listed joins words: a, b and c.
func listed(all []string, last string) string {
	if len(all) < 2 {
		return strings.Join(all, "")
	}
	return strings.Join(all[:len(all)-1], ", ") + " " + last + " " + all[len(all)-1]
}

// hours is a manifest's time in words, where that reads better.
func hours(ttl string) string {
	d, err := time.ParseDuration(ttl)
	switch {
	case err != nil || d%time.Hour != 0:
		return ttl
	case d == time.Hour:
		return "an hour"
	case d%(24*time.Hour) == 0 && d > 24*time.Hour:
		return fmt.Sprintf("%d days", d/(24*time.Hour))
	default:
		return fmt.Sprintf("%d hours", d/time.Hour)
	}
}

// shellQuote makes one word of a text for a shell.
func shellQuote(text string) string {
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}

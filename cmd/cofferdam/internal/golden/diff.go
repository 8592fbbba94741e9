package golden

import (
	"slices"
	"strings"
)

// maxDiff is how many lines of either side are compared: the work grows with their
// product.
const maxDiff = 1000

// around is how many equal lines are shown beside those that differ.
const around = 2

// Diff shows in which lines two texts differ: "- " before one that is wanted, "+ "
// before one that there is, and some that are equal around them.
func Diff(want, got string) []string {
	if want == "" || got == "" {
		return append(marked("- ", want), marked("+ ", got)...)
	}
	a, b := strings.Split(want, "\n"), strings.Split(got, "\n")
	if len(a) > maxDiff || len(b) > maxDiff {
		at := 0
		for at < min(len(a), len(b)) && a[at] == b[at] {
			at++
		}
		a, b = a[at:min(len(a), at+maxDiff)], b[at:min(len(b), at+maxDiff)]
	}
	return near(script(a, b))
}

func marked(mark, text string) []string {
	if text == "" {
		return nil
	}
	lines := strings.Split(text, "\n")
	for i := range lines {
		lines[i] = mark + lines[i]
	}
	return lines
}

// script is all lines of both, by a longest common subsequence.
func script(a, b []string) []string {
	common := make([][]int, len(a)+1)
	for i := range common {
		common[i] = make([]int, len(b)+1)
	}
	for i := range slices.Backward(a) {
		for j := range slices.Backward(b) {
			if a[i] == b[j] {
				common[i][j] = common[i+1][j+1] + 1
			} else {
				common[i][j] = max(common[i+1][j], common[i][j+1])
			}
		}
	}
	var lines []string
	i, j := 0, 0
	for i < len(a) || j < len(b) {
		switch {
		case i < len(a) && j < len(b) && a[i] == b[j]:
			lines = append(lines, "  "+a[i])
			i, j = i+1, j+1
		case j == len(b) || i < len(a) && common[i+1][j] >= common[i][j+1]:
			lines = append(lines, "- "+a[i])
			i++
		default:
			lines = append(lines, "+ "+b[j])
			j++
		}
	}
	return lines
}

// near leaves out the equal lines that are not near to one that differs.
func near(lines []string) []string {
	keep := make([]bool, len(lines))
	for i, l := range lines {
		if strings.HasPrefix(l, "  ") {
			continue
		}
		for k := max(0, i-around); k <= min(len(lines)-1, i+around); k++ {
			keep[k] = true
		}
	}
	var kept []string
	for i, l := range lines {
		switch {
		case keep[i]:
			kept = append(kept, l)
		case i == 0 || keep[i-1]:
			kept = append(kept, "  ...")
		}
	}
	return kept
}

package connect

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"image"
	_ "image/jpeg" // Its header is read.
	_ "image/png"  // As above.
	"math"
	"regexp"
	"strconv"
	"strings"

	"github.com/cofferdam-run/cofferdam/host/fault"
)

// Brand is how the pages look: the host app's, not ours.
type Brand struct {
	// Name is the product's.
	Name string `json:"name,omitempty"`
	// Logo is a data: URI of a PNG, JPEG or WebP: the pages fetch nothing from others.
	Logo string `json:"logo,omitempty"`
	// Color is that of buttons and links, as #rrggbb.
	Color string `json:"color,omitempty"`
	// Theme is light, dark or auto, which goes by the user's own setting. Defaults to auto.
	Theme string `json:"theme,omitempty"`
	// Light and Dark are Color as it can be read on the pages. Create sets them.
	Light string `json:"color_light,omitempty"`
	Dark  string `json:"color_dark,omitempty"`
	// Adjusted says, for people, what was changed of Color, and why.
	Adjusted string `json:"adjusted,omitempty"`
}

const (
	// logoMost is what a logo of 512 by 512 pixels needs, twice.
	logoMost = 64 << 10
	// logoSide is more pixels than are ever shown.
	logoSide = 2048
	nameMost = 64
	// readable is the contrast that text needs: WCAG 2.2, success criterion 1.4.3.
	readable = 4.5
	// Backgrounds of cards, which are what links stand on.
	lightGround, darkGround = "#ffffff", "#17191e"
	defaultColor            = "#1f5fd6"
)

var validColor = regexp.MustCompile(`^#[0-9a-fA-F]{6}$`)

// DefaultBrand is that of a page that has none.
func DefaultBrand() Brand {
	b, _ := Brand{}.checked() // There is nothing that could be wrong.
	return b
}

// checked is b as it is used, or why it cannot be.
func (b Brand) checked() (Brand, []fault.Problem) {
	var found []fault.Problem
	say := func(where, format string, args ...any) {
		found = append(found, fault.Problem{Where: "/brand/" + where, Message: fmt.Sprintf(format, args...)})
	}
	b.Light, b.Dark, b.Adjusted = "", "", ""
	if n := len([]rune(b.Name)); n > nameMost || strings.ContainsFunc(b.Name, isOdd) {
		say("name", "the name has %d characters, or one that is not seen: at most %d are shown", n, nameMost)
	}
	if err := checkLogo(b.Logo); err != nil {
		say("logo", "the logo %s", err)
	}
	if b.Theme != "" && b.Theme != "auto" && b.Theme != "light" && b.Theme != "dark" {
		say("theme", "the theme is %.32q: it must be auto, light or dark", b.Theme)
	}
	if b.Color != "" && !validColor.MatchString(b.Color) {
		say("color", "the colour is %.32q: write it as #rrggbb", b.Color)
		return b, found
	}
	color := strings.ToLower(b.Color)
	if color == "" {
		color = defaultColor
	}
	b.Light, b.Dark = seen(color, lightGround), seen(color, darkGround)
	if b.Color != "" && (b.Light != color || b.Dark != color) {
		b.Adjusted = fmt.Sprintf("%s has a contrast of %.1f on white and %.1f on the dark page, and text needs %.1f: it is shown as %s and %s",
			color, contrast(color, lightGround), contrast(color, darkGround), readable, b.Light, b.Dark)
	}
	return b, found
}

// isOdd says that a character is not seen, or turns what is around it.
func isOdd(r rune) bool {
	return r < ' ' || r >= 0x7f && r < 0xa0 || r >= 0x200b && r <= 0x200f || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069
}

// checkLogo holds a data: URI whose bytes are of the type that it names.
func checkLogo(uri string) error {
	if uri == "" {
		return nil
	}
	kind, text, ok := strings.Cut(strings.TrimPrefix(uri, "data:"), ";base64,")
	if !ok || !strings.HasPrefix(uri, "data:") {
		return fmt.Errorf("is no data: URI such as data:image/png;base64,...: pages fetch nothing from others")
	}
	data, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return fmt.Errorf("is not base64")
	}
	if len(data) > logoMost {
		return fmt.Errorf("has %d bytes: %d is the limit", len(data), logoMost)
	}
	if kind == "image/webp" {
		if len(data) < 16 || !bytes.HasPrefix(data, []byte("RIFF")) || string(data[8:12]) != "WEBP" {
			return fmt.Errorf("is no WebP")
		}
		return nil
	}
	if kind != "image/png" && kind != "image/jpeg" {
		return fmt.Errorf("is of the type %.32q: a PNG, JPEG or WebP is shown; an SVG is a document that can do things", kind)
	}
	config, format, err := image.DecodeConfig(bytes.NewReader(data))
	if err != nil || "image/"+format != kind {
		return fmt.Errorf("is not the %s that it says it is", strings.TrimPrefix(kind, "image/"))
	}
	if config.Width > logoSide || config.Height > logoSide {
		return fmt.Errorf("has %d by %d pixels: %d by %[3]d are the limit", config.Width, config.Height, logoSide)
	}
	return nil
}

// seen is a colour that can be read on a ground: itself, or as near to it as there is.
func seen(color, ground string) string {
	to := "#000000"
	if luminance(ground) < luminance(to)+0.2 {
		to = "#ffffff"
	}
	for step := range 101 {
		if c := mixed(color, to, float64(step)/100); contrast(c, ground) >= readable {
			return c
		}
	}
	return to
}

// On is white or black: what can be read on a colour.
func On(color string) string {
	if contrast("#ffffff", color) >= contrast("#000000", color) {
		return "#ffffff"
	}
	return "#000000"
}

// contrast is that of WCAG 2.2: <https://www.w3.org/TR/WCAG22/#dfn-contrast-ratio>.
func contrast(a, b string) float64 {
	x, y := luminance(a), luminance(b)
	return (max(x, y) + 0.05) / (min(x, y) + 0.05)
}

// luminance is <https://www.w3.org/TR/WCAG22/#dfn-relative-luminance>.
func luminance(color string) float64 {
	c := channels(color)
	linear := func(v float64) float64 {
		if v /= 255; v <= 0.04045 {
			return v / 12.92
		}
		return math.Pow((v+0.055)/1.055, 2.4)
	}
	return 0.2126*linear(c[0]) + 0.7152*linear(c[1]) + 0.0722*linear(c[2])
}

func mixed(from, to string, share float64) string {
	a, b := channels(from), channels(to)
	var c [3]int
	for i := range a {
		c[i] = int(math.Round(a[i] + (b[i]-a[i])*share))
	}
	return fmt.Sprintf("#%02x%02x%02x", c[0], c[1], c[2])
}

// channels are red, green and blue of #rrggbb.
func channels(color string) (c [3]float64) {
	for i := range c {
		n, err := strconv.ParseUint(color[1+2*i:3+2*i], 16, 8)
		if err != nil {
			return c // It was checked.
		}
		c[i] = float64(n)
	}
	return c
}

package descriptor

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Piece is a part of a template: a text, or what stood in braces.
type Piece struct {
	// Text is the text, if Name is empty.
	Text string
	// Name is what stood before the first colon, and Of what stood after it.
	Name, Of string
}

// Split splits a template.
func Split(template string) ([]Piece, error) {
	var pieces []Piece
	for rest := template; rest != ""; {
		text, after, found := strings.Cut(rest, "{")
		if strings.Contains(text, "}") {
			return nil, errors.New("has a } without a {")
		}
		if text != "" {
			pieces = append(pieces, Piece{Text: text})
		}
		if !found {
			break
		}
		inner, next, closed := strings.Cut(after, "}")
		if !closed || inner == "" || strings.Contains(inner, "{") {
			return nil, errors.New("has a { without a name and a }")
		}
		name, of, _ := strings.Cut(inner, ":")
		pieces = append(pieces, Piece{Name: name, Of: of})
		rest = next
	}
	return pieces, nil
}

// Place splits a place into its kind and its name.
func Place(place string) (kind, name string) {
	kind, name, _ = strings.Cut(place, ":")
	return kind, name
}

// bare are what signed templates may have without a colon.
func bare() []string {
	return []string{"id", "ts", "body", "body.crc32", "body.escaped", "method", "url", "url.port", "url.no-port", "url.hubspot", "form", "query", "secret"}
}

// Strict says that a value of it may not have the text that follows it.
func (p Piece) Strict() bool {
	return p.Name != "" && !p.unbounded() && p.Name != "free-line" && p.Name != "line"
}

// fixed are those of which whoever sends a delivery cannot move an end: their length or
// their form is set, or they are not the delivery's.
func (p Piece) fixed() bool {
	return p.Name == "" || slices.Contains([]string{"ts", "method", "url", "url.port", "url.no-port", "url.hubspot", "secret", "parameter", "line", "free-line"}, p.Name)
}

// unbounded are those that may have any bytes in them.
func (p Piece) unbounded() bool {
	return slices.Contains([]string{"body", "body.escaped", "form", "query", "free"}, p.Name)
}

// checkSigned holds what has to hold of a signed template.
func (d Descriptor) checkSigned(template string) error {
	pieces, err := Split(template)
	if err != nil {
		return err
	}
	open := 0
	for i, p := range pieces {
		if err := d.checkPiece(p); err != nil {
			return err
		}
		if p.unbounded() {
			open++
		}
		if open > 1 {
			return fmt.Errorf("has {%s} beside another part that may have anything in it, so that nobody can tell where one ends", p.Name)
		}
		if i+1 == len(pieces) {
			continue
		}
		if next := pieces[i+1]; !p.fixed() && !next.fixed() {
			return fmt.Errorf("has {%s} before {%s}, so that nobody can tell where one ends: write a text or {ts} between", p.Name, next.Name)
		}
	}
	return nil
}

func (d Descriptor) checkPiece(p Piece) error {
	switch {
	case p.Name == "":
		return nil
	case p.Of == "":
		if !slices.Contains(bare(), p.Name) {
			return fmt.Errorf("has {%s}, which there is not: here it may be one of %s, or parameter:, header:, field:, free:, line: or free-line: and a name", p.Name, strings.Join(bare(), ", "))
		}
		return d.checkPart(p.Name)
	case p.Name == "parameter":
		if _, known := d.Parameters[p.Of]; !known {
			return fmt.Errorf("has {parameter:%s}, which is not in parameters: describe it there", p.Of)
		}
	case p.Name == "header":
		if !isToken(p.Of) {
			return errors.New("has a header: that is no name of a header")
		}
	case slices.Contains([]string{"field", "free", "line", "free-line"}, p.Name):
		if !isPointer(p.Of) || strings.Contains(p.Of, "*") {
			return fmt.Errorf("has {%s:...} that is no JSON pointer: write one such as {%s:/id}", p.Name, p.Name)
		}
	default:
		return fmt.Errorf("has {%s:...}, which there is not", p.Name)
	}
	return nil
}

// checkPart holds that what is signed of the parts has a place.
func (d Descriptor) checkPart(name string) error {
	for _, set := range d.Parts {
		if name == "id" && set.ID == "" {
			return errors.New("has {id}, but parts names no place of an id")
		}
		if name == "ts" && set.Timestamp == "" && d.Parse.Timestamp == "" {
			return errors.New("has {ts}, but parts names no place of a timestamp")
		}
	}
	return nil
}

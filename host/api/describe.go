package api

import (
	_ "embed"
	"encoding/json"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

//go:embed properties.txt
var properties string

// property is what a line of properties.txt says.
type property struct {
	text string
	enum []any
}

// describe gives the properties of the domain's types, which know nothing of
// documents, their descriptions and allowed values.
func describe(schemas map[string]*huma.Schema) {
	lines := parseProperties(properties)
	for name, schema := range schemas {
		for key, p := range schema.Properties {
			if p.Description != "" {
				continue
			}
			said := find(lines, name, key)
			p.Description = said.text
			if p.Enum == nil {
				p.Enum = said.enum
			}
		}
	}
}

// find looks for the most particular line. A schema that adds to another one is
// described by the other's lines.
func find(lines map[string]property, schema, key string) property {
	for _, s := range []string{schema, addsTo(schema), "*"} {
		if p, ok := lines[s+"."+key]; ok {
			return p
		}
	}
	return property{}
}

func addsTo(schema string) string {
	switch schema {
	case "EventView":
		return "Event"
	case "LogEvent":
		return "Line"
	case "NewEndpoint":
		return "Endpoint"
	case "NewConnectSession":
		return "ConnectSession"
	case "NewToken", "TokenView":
		return "Token"
	case "PluginView":
		return "Plugin"
	case "VersionView":
		return "Version"
	case "InstallationView":
		return "Installation"
	default:
		return schema
	}
}

func parseProperties(text string) map[string]property {
	all := map[string]property{}
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		place, said, _ := strings.Cut(strings.TrimSpace(line), ": ")
		place, values, _ := strings.Cut(place, " (")
		p := property{text: said}
		if values != "" {
			for v := range strings.SplitSeq(strings.TrimSuffix(values, ")"), "|") {
				p.enum = append(p.enum, literal(v))
			}
		}
		all[place] = p
	}
	return all
}

// literal is a number where the word is one, and the word otherwise.
func literal(word string) any {
	var n json.Number
	if json.Unmarshal([]byte(word), &n) == nil {
		return n
	}
	return word
}

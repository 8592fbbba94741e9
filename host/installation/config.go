package installation

import (
	"encoding/json"
	"fmt"
	"unicode/utf8"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/registry"
	"github.com/cofferdam-run/cofferdam/registry/manifest"
	"github.com/cofferdam-run/cofferdam/registry/schema"
)

const (
	// maxConfigBytes of a configuration, which goes into each call.
	maxConfigBytes = 64 << 10
	// cachedVersions and cachedSchemas bound what is kept: a version has at most
	// 1 MiB of manifest and mostly a few KiB, a compiled schema some ten times its text.
	cachedVersions = 128
	cachedSchemas  = 512
)

// cache keeps what does not change: versions by id, and their compiled schemas.
type cache struct {
	versions *lru.Cache[string, registry.Version]
	schemas  *lru.Cache[schemaKey, *schema.Schema]
}

type schemaKey struct{ version, action string }

func newCache() *cache {
	versions, err := lru.New[string, registry.Version](cachedVersions)
	if err != nil {
		panic(err) // Only for a size below 1.
	}
	schemas, err := lru.New[schemaKey, *schema.Schema](cachedSchemas)
	if err != nil {
		panic(err)
	}
	return &cache{versions, schemas}
}

// compiled is the schema of an action's input, or, without an action, of the
// configuration.
func (c *cache) compiled(v registry.Version, action string, raw json.RawMessage) (*schema.Schema, error) {
	key := schemaKey{v.ID, action}
	if s, ok := c.schemas.Get(key); ok {
		return s, nil
	}
	s, err := schema.Compile(raw)
	if err != nil {
		// It compiled when it was published.
		return nil, fmt.Errorf("compile schema of %s %s: %w", v.Name, v.Version, err)
	}
	c.schemas.Add(key, s)
	return s, nil
}

// fit completes a configuration with its defaults, and checks it. The fault
// lists every problem and shows no value.
func (s *Installations) fit(v registry.Version, config json.RawMessage) (json.RawMessage, error) {
	invalid := func(problems ...fault.Problem) error {
		e := fault.New(fault.InvalidInput, codeConfigInvalid, "the configuration does not fit %s %s", v.Name, v.Version).
			WithHint("Its schema is in the plugin's manifest: see `cofferdam plugin show %s -o json`.", v.Name).At("/config")
		e.Problems = problems
		return e
	}
	if len(config) > maxConfigBytes {
		return nil, invalid(fault.Problem{Where: "/config", Message: fmt.Sprintf("has %d bytes: at most %d are allowed", len(config), maxConfigBytes)})
	}
	if !utf8.Valid(config) {
		return nil, invalid(fault.Problem{Where: "/config", Message: "is not UTF-8"})
	}
	compiled, err := s.cache.compiled(v, "", v.Manifest.Config)
	if err != nil {
		return nil, err
	}
	whole, err := compiled.Defaults(config)
	if err != nil {
		return nil, invalid(fault.Problem{Where: "/config", Message: "must be a JSON object"})
	}
	problems := under("/config", compiled.Validate(whole))
	problems = append(problems, unreachable(v.Manifest, whole)...)
	if len(problems) > 0 {
		return nil, invalid(problems...)
	}
	return whole, nil
}

// carry takes a configuration from one version to another.
func (s *Installations) carry(from, to registry.Version, config json.RawMessage) (json.RawMessage, error) {
	before, err := s.cache.compiled(from, "", from.Manifest.Config)
	if err != nil {
		return nil, err
	}
	after, err := s.cache.compiled(to, "", to.Manifest.Config)
	if err != nil {
		return nil, err
	}
	kept, err := after.Outgrown(before, config)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	return s.fit(to, kept)
}

// unreachable finds properties that hold a host to be called, and do not.
func unreachable(m manifest.Manifest, config json.RawMessage) []fault.Problem {
	var problems []fault.Problem
	seen := map[string]bool{}
	for _, e := range m.Egress {
		host, err := manifest.ParseHost(e.Host)
		if err != nil || host.Property == "" || seen[host.Property] {
			continue
		}
		seen[host.Property] = true
		value, there := property(config, host.Property)
		if _, err := hostOf(value); there && err != nil {
			problems = append(problems, fault.Problem{Where: "/config/" + host.Property, Message: err.Error()})
		}
	}
	return problems
}

func under(where string, problems []schema.Problem) []fault.Problem {
	all := make([]fault.Problem, len(problems))
	for i, p := range problems {
		all[i] = fault.Problem{Where: where + p.Where, Message: p.Message}
	}
	return all
}

package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/caarlos0/env/v11"
)

// settings are what flags and the environment say. Flags win.
type settings struct {
	// Of the client.
	URL    string `env:"COFFERDAM_URL" envDefault:"http://127.0.0.1:8080"`
	Token  string `env:"COFFERDAM_TOKEN"`
	Tenant string `env:"COFFERDAM_TENANT"`
	Output string `env:"COFFERDAM_OUTPUT" envDefault:"text"`

	// Of the server.
	Addr        string        `env:"COFFERDAM_ADDR" envDefault:"127.0.0.1:8080"`
	DB          string        `env:"COFFERDAM_DB" envDefault:"data/cofferdam.db"`
	KeyFile     string        `env:"COFFERDAM_KEY_FILE"`
	Keeper      string        `env:"COFFERDAM_KEEPER"`
	Keepers     []string      `env:"COFFERDAM_KEEPERS" envSeparator:","`
	KeyFresh    time.Duration `env:"COFFERDAM_KEY_FRESH"`
	CacheDir    string        `env:"COFFERDAM_CACHE_DIR"`
	Compiler    string        `env:"COFFERDAM_COMPILER"`
	CompileCPU  time.Duration `env:"COFFERDAM_COMPILE_CPU"`
	CompileMiB  int64         `env:"COFFERDAM_COMPILE_MIB"`
	Slots       int           `env:"COFFERDAM_SLOTS" envDefault:"32"`
	Lease       time.Duration `env:"COFFERDAM_LEASE" envDefault:"8s"`
	KeepDays    int           `env:"COFFERDAM_RETENTION_DAYS"`
	KeepBytes   byteSize      `env:"COFFERDAM_RETENTION_BYTES"`
	Grace       period        `env:"COFFERDAM_DELETION_GRACE" envDefault:"7d"`
	AuditDays   int           `env:"COFFERDAM_AUDIT_RETENTION_DAYS"`
	Checkpoints []string      `env:"COFFERDAM_AUDIT_CHECKPOINTS" envSeparator:","`
	Signatures  []string      `env:"COFFERDAM_REQUIRE_SIGNATURES" envSeparator:","`
	EgressAllow []string      `env:"COFFERDAM_EGRESS_ALLOW" envSeparator:","`
	PublicURL   string        `env:"COFFERDAM_PUBLIC_URL"`
	Providers   string        `env:"COFFERDAM_PROVIDERS"`
	Migrate     bool          `env:"COFFERDAM_MIGRATE"`
	// OTLPEndpoint and OTLPSample say where spans go, and of which part.
	OTLPEndpoint string  `env:"COFFERDAM_OTLP_ENDPOINT"`
	OTLPSample   float64 `env:"COFFERDAM_OTLP_SAMPLE" envDefault:"1"`
	LogFormat    string  `env:"COFFERDAM_LOG" envDefault:"text"`
	LogLevel     string  `env:"COFFERDAM_LOG_LEVEL" envDefault:"info"`

	access
	boundSettings
	proxySettings
	notifySettings

	// Of the keepers, in the environment only.
	VaultToken     string `env:"COFFERDAM_VAULT_TOKEN_FILE"`
	VaultNamespace string `env:"COFFERDAM_VAULT_NAMESPACE"`
	KMSEndpoint    string `env:"COFFERDAM_KMS_ENDPOINT"`
}

func loadSettings() (settings, error) {
	s, err := env.ParseAs[settings]()
	// It leaves out what is embedded and not exported.
	if err := errors.Join(err, env.Parse(&s.access), env.Parse(&s.boundSettings), env.Parse(&s.notifySettings)); err != nil {
		return settings{}, fmt.Errorf("read the environment: %w", err)
	}
	return s, nil
}

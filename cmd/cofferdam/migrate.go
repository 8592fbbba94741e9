package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"
)

func (a *app) migrateCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "migrate",
		Short: "Bring a database's schema to this version",
		Long: "Bring a database's schema to this version, forward only. Servers work with the schema before and after\n" +
			"their own: migrate first, then replace them one by one.",
		Example: "  cofferdam migrate --db postgres://cofferdam@db/cofferdam",
		Args:    exactly(),
		RunE: func(c *cobra.Command, _ []string) (err error) {
			s, err := a.openShared(c.Context())
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, s.Close()) }()
			from, to, err := s.Migrate(c.Context())
			if err != nil {
				return err
			}
			return a.show(map[string]int64{"from": from, "to": to}, func(w io.Writer) {
				if from == to {
					fmt.Fprintf(w, "the schema is at version %d already\n", to)
					return
				}
				fmt.Fprintf(w, "migrated the schema from version %d to %d\n", from, to)
			})
		},
	}
	a.databaseFlags(c)
	return c
}

package main

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	sdk "github.com/cofferdam-run/cofferdam/sdk/build"
	"github.com/cofferdam-run/cofferdam/sdk/build/template"
)

func (a *app) newCommand() *cobra.Command {
	var language, kind string
	c := &cobra.Command{
		Use:   "new NAME",
		Short: "Begin a connector: a small project that runs",
		Long: "Begin a connector: write a small project into a new folder, with sample payloads and tests. NAME is the\n" +
			"folder, whose last part is the connector's name. The SDK lies in the project, so that nothing has to be\n" +
			"published anywhere.",
		Example: "  cofferdam new shop\n" +
			"  cofferdam new shop --lang go --template webhook",
		Args: exactly("NAME"),
		RunE: func(_ *cobra.Command, args []string) error { return a.newProject(args[0], language, kind) },
	}
	a.jsonFlag(c)
	c.Flags().StringVar(&language, "lang", "ts", "the language: ts, go, rust or c")
	c.Flags().StringVar(&kind, "template", "action", "what it does: action, webhook, verify (a webhook that it verifies itself) or poll")
	return c
}

// begun is what the verb did.
type begun struct {
	Folder string   `json:"folder"`
	Files  []string `json:"files"`
	Next   []string `json:"next"`
}

func (a *app) newProject(dir, language, kind string) error {
	l, ok := sdk.ParseLanguage(language)
	if !ok {
		return usagef("--lang is %q: it is ts, go, rust or c", language)
	}
	absolute, err := filepath.Abs(dir)
	if err != nil {
		return fmt.Errorf("find the folder: %w", err)
	}
	p := template.Project{Name: filepath.Base(absolute), Language: string(l), Kind: kind}
	if err := p.Check(); err != nil {
		return usagef("%v", err)
	}
	files, err := template.Write(dir, p)
	if errors.Is(err, template.ErrNotEmpty) {
		return usagef("%s is not empty, and a project begins in a new folder: give another name", dir)
	}
	if err != nil {
		return err
	}
	b := begun{Folder: dir, Files: files, Next: []string{"cofferdam dev"}}
	if l == sdk.TypeScript {
		b.Next = append([]string{"npm install"}, b.Next...)
	}
	if dir != "." {
		b.Next = append([]string{"cd " + shellWord(dir)}, b.Next...)
	}
	return a.show(b, func(w io.Writer) {
		fmt.Fprintf(w, "%s is a connector in %s:\n", p.Name, languageTitle(l))
		for _, f := range b.Files {
			fmt.Fprintf(w, "  %s\n", f)
		}
		fmt.Fprintf(w, "\nNext:\n  %s\n", strings.Join(b.Next, "\n  "))
	})
}

func languageTitle(l sdk.Language) string {
	return map[sdk.Language]string{sdk.TypeScript: "TypeScript", sdk.Go: "Go", sdk.Rust: "Rust", sdk.C: "C"}[l]
}

// shellWord quotes a path for a shell, if it needs that.
func shellWord(s string) string {
	if strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./") == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

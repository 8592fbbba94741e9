package main

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/cofferdam-run/cofferdam/cmd/cofferdam/internal/golden"
	"github.com/cofferdam-run/cofferdam/cmd/cofferdam/internal/trial"
	"github.com/cofferdam-run/cofferdam/cmd/cofferdam/internal/unittest"
	"github.com/cofferdam-run/cofferdam/hostfns/replay"
	"github.com/cofferdam-run/cofferdam/runtime"
)

// golden runs the tests that are written as JSON.
func (v *projectTest) golden(ctx context.Context, binary []byte) (all []tested, err error) {
	files, err := golden.Files(v.project)
	if err != nil || len(files) == 0 {
		return nil, err
	}
	bench, closeBench, err := v.openBench(ctx, binary, runtime.Limits{})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, closeBench()) }()
	for _, file := range files {
		if !v.wanted(v.named(file)) {
			continue
		}
		one, err := v.goldenOne(ctx, bench, file)
		if err != nil {
			return all, err
		}
		v.line(one)
		all = append(all, one)
	}
	return all, nil
}

func (v *projectTest) goldenOne(ctx context.Context, bench *trial.Bench, file string) (tested, error) {
	one := tested{Name: v.named(file)}
	t, err := golden.Read(file)
	if err != nil {
		one.Why = []string{err.Error()}
		return one, nil //nolint:nilerr // It is what the test came to.
	}
	one.About = t.About
	s := golden.Subject{Project: v.project, Name: one.Name, Test: t}
	begun := time.Now()
	result, err := golden.Run(ctx, bench, s)
	if err != nil {
		return one, err
	}
	if !result.Passed() && v.update {
		if result, err = v.rewrite(ctx, bench, file, s); err != nil {
			return one, err
		}
		one.Updated = result.Passed()
	}
	one.Took, one.Passed = time.Since(begun), result.Passed()
	if result.Report != nil {
		one.Fuel = result.Report.Usage.Fuel
	}
	one.Why = whyGolden(result)
	return one, nil
}

// rewrite writes down what the plugin does now.
func (v *projectTest) rewrite(ctx context.Context, bench *trial.Bench, file string, s golden.Subject) (*golden.Result, error) {
	updated, result, err := golden.Update(ctx, bench, s)
	if err != nil || !result.Passed() {
		return result, err
	}
	content, err := golden.Encode(updated)
	if err != nil {
		return nil, err
	}
	if err := replaceFile(file, content); err != nil {
		return nil, err
	}
	return result, nil
}

// replaceFile writes a file whole or not at all.
func replaceFile(path string, content []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".cofferdam-*")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	_, err = f.Write(content)
	if err = errors.Join(err, f.Chmod(0o644), f.Close()); err == nil { // It is for a repository.
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, errors.Join(err, os.Remove(f.Name())))
	}
	return nil
}

// whyGolden says what differs, and where the plugin failed.
func whyGolden(r *golden.Result) []string {
	var why []string
	for _, p := range r.Problems {
		why = append(why, strings.Split(p.What, "\n")...)
		for _, line := range golden.Diff(p.Want, p.Got) {
			why = append(why, "  "+line)
		}
	}
	if len(why) == 0 || r.Report == nil {
		return why
	}
	if f := r.Report.Failure; f != nil {
		for line := range strings.Lines(stackOf(f)) {
			why = append(why, "    "+strings.TrimSpace(line))
		}
	}
	for _, l := range r.Report.Lines {
		why = append(why, strings.TrimSpace(fmt.Sprintf("log %s: %s%s", l.Level, l.Message, fieldsText(l.Fields))))
	}
	return why
}

// recordingFiles are those of the project, sorted.
func (v *projectTest) recordingFiles() ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(v.project, filepath.FromSlash(replay.Folder)))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("find recordings: %w", err)
	}
	var files []string
	for _, e := range entries {
		if filepath.Ext(e.Name()) == replay.Extension {
			files = append(files, filepath.Join(v.project, filepath.FromSlash(replay.Folder), e.Name()))
		}
	}
	return files, nil
}

// recordings replays what was recorded.
func (v *projectTest) recordings(ctx context.Context, binary []byte) (all []tested, err error) {
	files, err := v.recordingFiles()
	if err != nil || len(files) == 0 {
		return nil, err
	}
	dir, remove, err := v.authorCache()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, remove()) }()
	r := replaying{app: v.app}
	p, err := r.open(ctx, dir, map[string][]byte{replay.DigestOf(binary): binary})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, p.rt.Close(context.WithoutCancel(ctx))) }()
	for _, file := range files {
		if !v.wanted(v.named(file)) {
			continue
		}
		one, err := v.recording(ctx, &r, p, file)
		if err != nil {
			return all, err
		}
		v.line(one)
		all = append(all, one)
	}
	return all, nil
}

func (v *projectTest) recording(ctx context.Context, r *replaying, p *player, file string) (tested, error) {
	one := tested{Name: v.named(file)}
	recording, err := r.read(file)
	if err != nil {
		one.Why = []string{err.Error()}
		return one, nil //nolint:nilerr // It is what the test came to.
	}
	one.About = strings.Trim(recording.Kind+" "+recording.Name, " ")
	ran, err := r.one(ctx, p, file, recording)
	if err != nil {
		return one, err
	}
	one.Took, one.Fuel, one.Passed = ran.Report.Usage.Wall, ran.Report.Usage.Fuel, sameButFuel(ran.Report)
	if one.Passed {
		return one, nil
	}
	if v.update {
		if one.Why, err = renew(file, &ran); err != nil {
			return one, err
		}
		one.Passed, one.Updated = len(one.Why) == 0, len(one.Why) == 0
		return one, nil
	}
	var trace strings.Builder
	printReplayed(&trace, &ran)
	one.Why = strings.Split(strings.TrimSpace(trace.String()), "\n")
	return one, nil
}

// sameButFuel says whether a run does what was recorded, whatever it costs.
func sameButFuel(r *replay.Report) bool {
	return r.Same() || len(r.Differences) == 1 && r.Verdict() == replay.FuelDiffers
}

// renew writes a recording of what the run came to. It says why it cannot.
func renew(file string, ran *replayed) ([]string, error) {
	expected, err := ran.Report.Expecting(ran.recording)
	if err != nil {
		return []string{err.Error(), "have the execution run on this version, by 'cofferdam execution redrive', and export it then"}, nil //nolint:nilerr // It is why.
	}
	var content strings.Builder
	if err := replay.Write(&content, expected); err != nil {
		return nil, err
	}
	return nil, replaceFile(file, []byte(content.String()))
}

// units runs the project's own tests.
func (v *projectTest) units(ctx context.Context, _ []byte) ([]tested, error) {
	tools := unittest.Tools{Look: exec.LookPath, Env: os.Environ()}
	var cases []unittest.Case
	hasGo, err := unittest.HasGo(v.project)
	if err != nil {
		return nil, err
	}
	if hasGo {
		if cases, err = unittest.Go(ctx, v.project, tools); err != nil {
			return nil, err
		}
	}
	files, err := unittest.NodeFiles(v.project)
	if err != nil {
		return nil, err
	}
	if len(files) > 0 {
		some, err := v.node(ctx, files, tools)
		if err != nil {
			return nil, err
		}
		cases = append(cases, some...)
	}
	var all []tested
	for _, c := range cases {
		one := tested{Name: strings.TrimPrefix(c.Where+" > "+c.Name, " > "), Passed: c.Passed, Skipped: c.Skipped, Took: c.Took}
		if !v.wanted(one.Name) {
			continue
		}
		if !c.Passed && !c.Skipped && c.Said != "" {
			one.Why = strings.Split(c.Said, "\n")
		}
		v.line(one)
		all = append(all, one)
	}
	return all, nil
}

func (v *projectTest) node(ctx context.Context, files []string, tools unittest.Tools) (_ []unittest.Case, err error) {
	scratch, err := os.MkdirTemp("", "cofferdam-test-")
	if err != nil {
		return nil, fmt.Errorf("make a folder for bundled tests: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(scratch)) }()
	return unittest.Node(ctx, v.project, scratch, files, tools)
}

// junitSuites is the report that CI systems read:
// https://github.com/testmoapp/junitxml.
type junitSuites struct {
	XMLName xml.Name     `xml:"testsuites"`
	Suites  []junitSuite `xml:"testsuite"`
}

type junitSuite struct {
	Name     string      `xml:"name,attr"`
	Tests    int         `xml:"tests,attr"`
	Failures int         `xml:"failures,attr"`
	Skipped  int         `xml:"skipped,attr"`
	Time     string      `xml:"time,attr"`
	Cases    []junitCase `xml:"testcase"`
}

type junitCase struct {
	Name    string        `xml:"name,attr"`
	Class   string        `xml:"classname,attr"`
	Time    string        `xml:"time,attr"`
	Failure *junitFailure `xml:"failure"`
	Skipped *struct{}     `xml:"skipped"`
}

type junitFailure struct {
	Message string `xml:"message,attr"`
	Text    string `xml:",chardata"`
}

func writeJUnit(path string, all []tested) error {
	suite := junitSuite{Name: "cofferdam test", Tests: len(all)}
	var took time.Duration
	for _, t := range all {
		took += t.Took
		c := junitCase{Name: t.Name, Class: "cofferdam", Time: inSeconds(t.Took)}
		switch {
		case t.Skipped:
			suite.Skipped++
			c.Skipped = &struct{}{}
		case !t.Passed:
			suite.Failures++
			c.Failure = &junitFailure{Text: strings.Join(t.Why, "\n")}
			if len(t.Why) > 0 {
				c.Failure.Message = t.Why[0]
			}
		}
		suite.Cases = append(suite.Cases, c)
	}
	suite.Time = inSeconds(took)
	doc, err := xml.MarshalIndent(junitSuites{Suites: []junitSuite{suite}}, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the JUnit report: %w", err)
	}
	if err := os.WriteFile(path, append([]byte(xml.Header), append(doc, '\n')...), 0o644); err != nil { //nolint:gosec // A report is for others to read.
		return usagef("write the JUnit report: %v", err)
	}
	return nil
}

func inSeconds(d time.Duration) string { return fmt.Sprintf("%.3f", d.Seconds()) }

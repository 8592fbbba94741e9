package build

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
)

const (
	// enginePackage is what the SDK depends on for the engine.
	enginePackage = "quickjs-wasi"
	// hintInstall is the one command that most of what is missing is mended by.
	hintInstall = "run: npm install"
)

// installed says whether npm has put in place what every project needs.
func (p project) installed() error {
	if _, ok := findUp(p.root, "node_modules/"+sdkPackage); ok {
		return nil
	}
	where := "in " + filepath.Base(p.root)
	if !exists(p.root, "package.json") {
		return wrong("'cofferdam new --lang ts NAME' makes a project; in one of your own, depend on "+sdkPackage,
			"%s is in no npm project: there is no package.json in its folder or above", p.entry)
	}
	pkg, err := readPackage(p.root)
	if err != nil {
		return &Error{Problems: []Problem{{File: "package.json", Text: plain(err.Error()), Hint: "mend package.json"}}}
	}
	if !pkg.dependsOn(sdkPackage) {
		return wrong("'cofferdam new --lang ts NAME' makes a project that does: copy the dependency and its vendor folder from there",
			"the package.json %s does not depend on %s, the SDK", where, sdkPackage)
	}
	if _, ok := findUp(p.root, "node_modules"); !ok {
		return wrong(hintInstall, "there is no node_modules %s: its packages are not installed", where)
	}
	return wrong(hintInstall, "the package %s is not installed %s", sdkPackage, where)
}

// engine is the folder of the engine's package: npm puts it beside the SDK or into it.
func (p project) engine() (string, error) {
	if sdk, ok := findUp(p.root, "node_modules/"+sdkPackage); ok {
		// By its real place too: there are package managers that link.
		dirs := []string{sdk}
		if place, err := filepath.EvalSymlinks(sdk); err == nil && place != sdk {
			dirs = append(dirs, place)
		}
		for _, dir := range dirs {
			if found, ok := findUp(dir, "node_modules/"+enginePackage); ok {
				return found, nil
			}
		}
	}
	if found, ok := findUp(p.root, "node_modules/"+enginePackage); ok {
		return found, nil
	}
	return "", wrong(hintInstall, "the package %s, which is the engine of TypeScript connectors, is not installed", enginePackage)
}

// oneSDK refuses a bundle with two versions of the SDK: what one defines, the other
// does not know.
func (b *bundler) oneSDK(m metafile) error {
	importers := map[string]string{} // Of a folder of the SDK: a file that is not in it.
	for _, input := range slices.Sorted(maps.Keys(m.Inputs)) {
		for _, i := range m.Inputs[input].Imports {
			name, _, folder := packageOf(i.Path)
			_, _, own := packageOf(input)
			if name == sdkPackage && own != folder && (importers[folder] == "" || strings.HasPrefix(importers[folder], "cofferdam:")) {
				importers[folder] = input
			}
		}
	}
	if len(importers) < 2 {
		return nil
	}
	p := Problem{
		Text: fmt.Sprintf("there are %d versions of %s, and a connector can have only one", len(importers), sdkPackage),
		Hint: "have all depend on one version, then run: npm install && npm dedupe",
	}
	for _, folder := range slices.Sorted(maps.Keys(importers)) {
		pkg, err := readPackage(filepath.Join(b.project.root, filepath.FromSlash(folder)))
		version := pkg.Version
		if err != nil || version == "" {
			version = "a version that does not say which"
		}
		by := importers[folder]
		if strings.HasPrefix(by, "cofferdam:") {
			by = "the connector"
		}
		p.Notes = append(p.Notes, fmt.Sprintf("%s in %s, for %s", plain(version), folder, by))
	}
	return &Error{Problems: []Problem{p}, reading: true}
}

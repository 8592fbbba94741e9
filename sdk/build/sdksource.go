package build

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/evanw/esbuild/pkg/api"
)

// sdkPlugin takes the SDK's sources where its package has not been built: a project
// may depend on a checkout of it.
func (b *bundler) sdkPlugin() api.Plugin {
	return api.Plugin{Name: "cofferdam-sdk", Setup: func(build api.PluginBuild) {
		build.OnResolve(api.OnResolveOptions{Filter: "^" + sdkPackage + "(/[a-z]+)?$"}, func(a api.OnResolveArgs) (api.OnResolveResult, error) {
			sdk, ok := findUp(a.ResolveDir, "node_modules/"+sdkPackage)
			if !ok {
				return api.OnResolveResult{}, nil
			}
			part := strings.TrimPrefix(strings.TrimPrefix(a.Path, sdkPackage), "/")
			if part == "" {
				part = "index"
			}
			source := filepath.Join(sdk, "src", part+".ts")
			if isFile(filepath.Join(sdk, "dist", part+".js")) || !isFile(source) {
				return api.OnResolveResult{}, nil
			}
			return api.OnResolveResult{Path: source}, nil
		})
	}}
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

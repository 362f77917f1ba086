package metrics

import (
	"runtime"
	"runtime/debug"
	"sync"
)

// modulePath is the path of the module that this package is of.
const modulePath = "github.com/pushtunnel/pushtunnel"

// version returns the module's version, "unknown" if the program does not know it.
var version = sync.OnceValue(func() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	return versionIn(info)
})

func versionIn(info *debug.BuildInfo) string {
	modules := append([]*debug.Module{&info.Main}, info.Deps...)
	for _, m := range modules {
		if m.Path != modulePath {
			continue
		}
		if m.Replace != nil {
			m = m.Replace
		}
		if m.Version != "" {
			return m.Version
		}
	}
	return "unknown"
}

func goVersion() string { return runtime.Version() }

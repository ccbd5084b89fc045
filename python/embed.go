// Package python carries the source of the Python package gorge inside the
// engine, so that a worker runs the very code that its engine was built with and
// nothing has to be installed. It knows nothing of workers.
package python

import (
	"embed"
	"regexp"
)

// Source holds the package under "src/gorge".
//
//go:embed src/gorge/*.py src/gorge/py.typed src/gorge/_worker/*.py
var Source embed.FS

var versionLine = regexp.MustCompile(`__version__ = "([^"]+)"`)

// Version returns the version of the package.
func Version() string {
	b, err := Source.ReadFile("src/gorge/_version.py")
	if err != nil {
		return ""
	}
	m := versionLine.FindSubmatch(b)
	if m == nil {
		return ""
	}
	return string(m[1])
}

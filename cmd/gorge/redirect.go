package main

import (
	"maps"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gorge-stream/gorge/internal/connector"
	"github.com/gorge-stream/gorge/internal/plan"
	"github.com/gorge-stream/gorge/internal/spec"
)

// redirection sends what a pipeline writes to another place than its file says, so
// that gorge test can run it without touching what is real. Its flags are hidden.
type redirection struct {
	outputs  string // the folder for what file sinks write, "" for no redirection
	receiver string // the URL below which http sinks send
}

func (r *redirection) add(c *cobra.Command) {
	c.Flags().StringVar(&r.outputs, "outputs", "", "folder for what file sinks write")
	c.Flags().StringVar(&r.receiver, "receiver", "", "URL that http sinks send to")
	for _, name := range []string{"outputs", "receiver"} {
		c.Flag(name).Hidden = true
	}
}

// apply keeps the checkpoints in the data directory.
func (r *redirection) apply(p *plan.Plan) {
	if r.outputs != "" {
		p.Checkpoint.Store = ""
	}
}

// connectors returns the connectors with sinks that write elsewhere.
func (r *redirection) connectors() map[string]connector.Registration {
	if r.outputs == "" {
		return connectors
	}
	out := maps.Clone(connectors)
	out["file"] = redirected(out["file"], func(set *spec.Values, sink string) *spec.Values {
		return set.With("path", r.path(sink, set)).With("compression", "none")
	})
	out["http"] = redirected(out["http"], func(set *spec.Values, sink string) *spec.Values {
		return set.With("url", r.receiver+"/"+sink)
	})
	return out
}

// path returns where a file sink writes: a folder or one file, as its own path is.
func (r *redirection) path(sink string, set *spec.Values) string {
	path := filepath.Join(r.outputs, sink)
	if writesFolder(set) {
		path += "/"
	}
	return path
}

// writesFolder reports whether a file sink writes parts.
func writesFolder(set *spec.Values) bool {
	own := set.String("path")
	info, err := os.Stat(own)
	return strings.HasSuffix(own, "/") || err == nil && info.IsDir()
}

// redirected makes the sinks of a connector with other settings.
func redirected(c connector.Registration, change func(*spec.Values, string) *spec.Values) connector.Registration {
	made, epochs := c.NewSink, c.NewEpochSink
	c.NewSink = func(set *spec.Values, env connector.SinkEnv) (connector.SinkWriter, error) {
		return made(change(set, env.Name), env)
	}
	if epochs != nil {
		c.NewEpochSink = func(set *spec.Values, env connector.SinkEnv) (connector.Sink, error) {
			return epochs(change(set, env.Name), env)
		}
	}
	return c
}

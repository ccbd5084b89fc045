package faults

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// Scenario is a kind of pipeline, of which each round makes a case.
type Scenario struct {
	Name   string
	What   string // in words
	Python bool   // it needs an interpreter with NumPy
	Long   bool   // it takes seconds a life, and is no part of the short form
	Make   func(r *Round) (*Case, error)
}

// Case is the pipeline of one round with its input and its oracle.
type Case struct {
	Pipeline string
	Args     func() []string // of one life, added to those of gorge run
	Env      []string
	// Feed sends the input while lives come and go, and ends when all of it was taken;
	// nil when the input is in files.
	Feed func(ctx context.Context) error
	// Settled reports whether all output is there, where the input has no end; nil
	// where the engine ends by itself.
	Settled func() (bool, error)
	Watch   []string // folders of output that a reader looks at meanwhile
	Check   func() error
	Close   func()
}

// Scenarios lists all scenarios.
func Scenarios() []*Scenario {
	return []*Scenario{
		{Name: "filter", What: "generate, filter, folder of parts", Make: filterCase},
		{Name: "windows", What: "files, windows by key, folder of parts and one file", Make: windowsCase},
		{Name: "rescale", What: "the same, and every life has another number of tasks", Make: rescaleCase},
		{Name: "disk", What: "the same with state on disk", Make: diskCase},
		{Name: "python", What: "files, running statistics, Python function, windows, table and file", Python: true, Make: pythonCase},
		{Name: "letters", What: "files with lines that are no rows, dead letters in a folder", Make: lettersCase},
		{Name: "ingest", What: "HTTP with keys and repetitions, rows and windows into folders and a table", Make: ingestCase},
		{Name: "alerts", What: "files, HTTP sink whose receiver fails now and then", Make: alertsCase},
		{Name: "bucket", What: "files, windows by key, checkpoints in a bucket whose server fails now and then", Make: bucketCase},
		{Name: "from-file", What: "files into every kind of sink", Make: fromFileCase},
		{Name: "from-generate", What: "generate into every kind of sink", Make: fromGenerateCase},
		{Name: "from-http", What: "HTTP into every kind of sink", Make: fromHTTPCase},
		{Name: "bulk", What: "HTTP with large requests: the journal has several segments", Long: true, Make: bulkCase},
		{Name: "table", What: "a table whose epochs do not fit into one batch", Long: true, Make: tableCase},
	}
}

// Short returns the scenarios of the short form.
func Short() []*Scenario {
	return slices.DeleteFunc(Scenarios(), func(s *Scenario) bool { return s.Long })
}

// Named returns the scenario of a name.
func Named(name string) (*Scenario, error) {
	var names []string
	for _, s := range Scenarios() {
		if s.Name == name {
			return s, nil
		}
		names = append(names, s.Name)
	}
	return nil, fmt.Errorf("there is no scenario %q; there are %s", name, strings.Join(names, ", "))
}

// WithoutPython leaves out the scenarios that need an interpreter.
func WithoutPython(list []*Scenario) []*Scenario {
	return slices.DeleteFunc(list, func(s *Scenario) bool { return s.Python })
}

package main

import (
	"path/filepath"

	"github.com/gorge-stream/gorge/internal/connector/file"
	"github.com/gorge-stream/gorge/internal/plan"
)

// deadLetters is the word of the sink for dead letters of files that name none. A file cannot name it.
const deadLetters = "dead_letters"

// defaultDeadLetters returns where the dead letters of the run are, empty when the pipeline names a sink for them.
func (e *engine) defaultDeadLetters() string {
	for _, n := range e.plan.Nodes {
		if s, ok := n.Op.(*plan.Sink); ok && n.Name == plan.DeadLetters && s.Connector == deadLetters {
			return filepath.Join(e.dataDir(), file.DeadLettersDir)
		}
	}
	return ""
}

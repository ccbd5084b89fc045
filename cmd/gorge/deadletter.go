package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gorge-stream/gorge/internal/connector/file"
	"github.com/gorge-stream/gorge/internal/diag"
	"github.com/gorge-stream/gorge/internal/plan"
)

func deadletterCmd() *cobra.Command {
	return family("deadletter", "Look at rows that a pipeline refused, and give them to it again",
		`Look at the dead letters of a pipeline: the rows that it refused, with the reason.
They are in the folder dead-letters of its data directory, unless the file names a sink for them.
Letters that were replayed are not shown any more.`,
		deadletterListCmd(), deadletterShowCmd(), deadletterReplayCmd())
}

// letter is a dead letter as its file has it.
type letter struct {
	Step     string `json:"step"`
	Code     string `json:"code"`
	Reason   string `json:"reason"`
	Column   string `json:"column"`
	Position string `json:"position"`
	Detail   string `json:"detail"`
	Payload  []byte `json:"payload"`

	part string // name of its file
	row  int    // in it, from 1
}

// letterFlags choose letters.
type letterFlags struct {
	stored     storeFlags
	step, code string
}

func (f *letterFlags) add(c *cobra.Command) {
	f.stored.add(c)
	c.Flags().StringVar(&f.step, "step", "", "only letters of this source, step or sink")
}

func (f *letterFlags) wants(l *letter) bool {
	return (f.step == "" || l.Step == f.step) && (f.code == "" || l.Code == f.code)
}

// letters is the folder of a pipeline's dead letters.
type letters struct {
	plan *plan.Plan
	dir  string
}

// open finds the letters of a pipeline file.
func (f *letterFlags) open(cmd *cobra.Command, pipeline string) (*letters, error) {
	p, err := f.stored.plan(cmd, pipeline)
	if err != nil {
		return nil, err
	}
	for _, n := range p.Nodes {
		if s, ok := n.Op.(*plan.Sink); ok && n.Name == plan.DeadLetters && s.Connector != deadLetters {
			return nil, diag.New("deadletter/elsewhere", "the dead letters of the pipeline go to a sink of its own, %s", s.Connector).
				At(n.Place).WithHint("look at them there; without the section dead_letters they are kept in the data directory")
		}
	}
	return &letters{p, filepath.Join(dataDir(p, f.stored.data), file.DeadLettersDir)}, nil
}

// longestLetter is the most bytes of a letter in its file.
const longestLetter = 64 << 20

// parts returns the names of the files with letters, in the order of their epochs.
func (l *letters) parts() ([]string, error) {
	entries, err := os.ReadDir(l.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, l.unreadable(err)
	}
	var out []string
	for _, e := range entries {
		if e.Type().IsRegular() && !strings.HasPrefix(e.Name(), ".") {
			out = append(out, e.Name())
		}
	}
	return out, nil
}

func (l *letters) unreadable(err error) error {
	return diag.New("deadletter/read", "the dead letters in %s cannot be read", l.dir).WithCause(err).
		WithHint("look at their owner and permissions: ls -l %s", l.dir)
}

// each calls f with the letters that were not replayed.
func (l *letters) each(f func(*letter) error) error {
	parts, err := l.parts()
	if err != nil {
		return err
	}
	for _, part := range parts {
		done, err := l.replayed(part)
		if err != nil {
			return err
		}
		if err := l.eachOf(part, func(x *letter) error {
			if done[x.row] {
				return nil
			}
			return f(x)
		}); err != nil {
			return err
		}
	}
	return nil
}

// eachOf calls f with all letters of a part. A last line without an end is still being written.
func (l *letters) eachOf(part string, f func(*letter) error) error {
	in, err := os.Open(filepath.Join(l.dir, part))
	if err != nil {
		return l.unreadable(err)
	}
	defer in.Close()
	r := bufio.NewReaderSize(in, 64<<10)
	for row := 1; ; row++ {
		line, err := r.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil && len(line) > longestLetter {
			err = fmt.Errorf("it has %d bytes", len(line))
		}
		x := &letter{part: part, row: row}
		if err == nil {
			err = json.Unmarshal(line, x)
		}
		if err != nil {
			return diag.New("deadletter/damaged", "%s, line %d is no dead letter", filepath.Join(l.dir, part), row).WithCause(err).
				WithHint("something else wrote to the file: move it out of the folder")
		}
		if err := f(x); err != nil {
			return err
		}
	}
}

// marksPrefix begins the names of the files of marks; letters are in none with a point in front.
const marksPrefix = ".replayed-"

// marks returns the file that holds which letters of a part were replayed.
func (l *letters) marks(part string) string { return filepath.Join(l.dir, marksPrefix+part) }

// replayed returns the rows of a part that were replayed. A last line without an
// end was never acknowledged to anybody.
func (l *letters) replayed(part string) (map[int]bool, error) {
	text, err := os.ReadFile(l.marks(part))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, l.unreadable(err)
	}
	out := map[int]bool{}
	for line := range strings.Lines(string(text)) {
		number, whole := strings.CutSuffix(line, "\n")
		if row, err := strconv.Atoi(number); err == nil && whole {
			out[row] = true
		}
	}
	return out, nil
}

// none says that there are no letters.
func (l *letters) none(cmd *cobra.Command, f *letterFlags) {
	which := ""
	if f.step != "" || f.code != "" {
		which = "such "
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "there are no %sdead letters in %s\n", which, l.dir)
}

package main

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/gorge-stream/gorge/internal/checkpoint"
)

func checkpointListCmd() *cobra.Command {
	f := &lookFlags{}
	c := &cobra.Command{
		Use:   "list FILE",
		Short: "List the checkpoints of a pipeline, oldest first",
		Long: `List the checkpoints of a pipeline, oldest first.

SIZE is all that the checkpoint needs, NEW what it does not share with older ones,
RECORDS the keys of all steps (and windows) in its segments: one that changed in
several of them counts as often. A source stands behind so many blocks of its input;
the time is its watermark.

  gorge checkpoint list city.yaml
  gorge checkpoint list city.yaml --data /var/lib/city --json`,
		Args: exactly(1, "the pipeline file"),
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := f.open(cmd, args[0])
			if err != nil {
				return err
			}
			if f.json {
				return listJSON(cmd, l)
			}
			rows := [][]string{{"EPOCH", "KIND", "TAKEN", "SIZE", "NEW", "RECORDS", "SOURCES"}}
			for _, e := range l.history.List() {
				rows = append(rows, listRow(e, time.Now()))
			}
			_, err = fmt.Fprint(cmd.OutOrStdout(), columnsText(rows))
			return err
		},
	}
	c.Flags().BoolVar(&f.json, "json", false, "one JSON object a line")
	f.add(c)
	return c
}

// listed is a checkpoint in a list.
type listed struct {
	Epoch    uint64          `json:"epoch"`
	Kind     checkpoint.Kind `json:"kind,omitempty"`
	Taken    *time.Time      `json:"taken,omitempty"`
	Repeats  uint64          `json:"repeats,omitempty"`
	Finished bool            `json:"finished,omitempty"`
	Size     int64           `json:"size"`
	New      int64           `json:"new"`
	Records  int64           `json:"records"`
	Damage   string          `json:"damage,omitempty"`
}

func listing(e checkpoint.Entry) listed {
	out := listed{Epoch: e.Epoch}
	m := e.Manifest
	if m == nil {
		out.Damage = e.Err.Error()
		return out
	}
	out.Kind, out.Taken, out.Repeats, out.Finished, out.Size = m.Kind, &m.Taken, m.Repeats, m.Finished, sizeOf(m)
	for _, s := range m.Segments() {
		out.Records += s.Rows
		if s.Epoch == m.Epoch {
			out.New += s.Size
		}
	}
	return out
}

func listJSON(cmd *cobra.Command, l *look) error {
	out := json.NewEncoder(cmd.OutOrStdout())
	for _, e := range l.history.List() {
		if err := out.Encode(listing(e)); err != nil {
			return err
		}
	}
	return nil
}

func listRow(e checkpoint.Entry, now time.Time) []string {
	epoch := strconv.FormatUint(e.Epoch, 10)
	m := e.Manifest
	if m == nil {
		return []string{epoch, "damaged", "", "", "", "", e.Err.Error()}
	}
	l := listing(e)
	return []string{epoch, kindText(m), ageText(m.Taken, now), sizeText(l.Size), sizeText(l.New), group(l.Records), sourcesText(m)}
}

// kindText says why a checkpoint was taken, and what is in it when that is not its own.
func kindText(m *checkpoint.Manifest) string {
	switch {
	case m.Repeats != 0:
		return fmt.Sprintf("%s (of %d)", m.Kind, m.Repeats)
	case m.Finished:
		return string(m.Kind) + " (finished)"
	}
	return string(m.Kind)
}

// sourcesText tells in short where the sources stood.
func sourcesText(m *checkpoint.Manifest) string {
	var out []string
	for _, s := range m.Sources {
		text := fmt.Sprintf("%s %s blocks", s.Name, group(int64(s.Blocks)))
		if s.Watermark != noWatermark {
			text += " to " + instant(s.Watermark)
		}
		out = append(out, text)
	}
	if len(out) == 0 {
		return "at the beginning"
	}
	return strings.Join(out, ", ")
}

package main

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/checkpoint"
)

// noWatermark is the watermark of a source without event time or rows.
const noWatermark = batch.MinTime

func checkpointInspectCmd() *cobra.Command {
	f := &lookFlags{}
	c := &cobra.Command{
		Use:   "inspect FILE [EPOCH]",
		Short: "Show all that a checkpoint says, by default of the latest",
		Long: `Show all that a checkpoint says: the state of each step with its windows and
segments, where each source stands, and what each sink has to show.

  gorge checkpoint inspect city.yaml
  gorge checkpoint inspect city.yaml 1204 --json
  gorge checkpoint inspect city.yaml --store backups/monday`,
		Args: fileAnd("an epoch"),
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := f.open(cmd, args[0])
			if err != nil {
				return err
			}
			m, err := l.manifest(second(args))
			if err != nil {
				return err
			}
			if f.json {
				out := json.NewEncoder(cmd.OutOrStdout())
				out.SetIndent("", "  ")
				return out.Encode(m)
			}
			_, err = fmt.Fprint(cmd.OutOrStdout(), inspection(m, time.Now()))
			return err
		},
	}
	c.Flags().BoolVar(&f.json, "json", false, "the manifest as JSON, as docs/formats/checkpoint.md describes it")
	f.add(c)
	return c
}

// inspection writes a manifest for people.
func inspection(m *checkpoint.Manifest, now time.Time) string {
	var b strings.Builder
	fmt.Fprintf(&b, "epoch %d of pipeline %s, %s, taken %s (%s)\n", m.Epoch, m.Pipeline, m.Kind, m.Taken.Format(time.RFC3339), ageText(m.Taken, now))
	if m.Repeats != 0 {
		fmt.Fprintf(&b, "with the content of epoch %d\n", m.Repeats)
	}
	if m.Finished {
		b.WriteString("the input had ended and every result is out: there is nothing to go on from\n")
	}
	fmt.Fprintf(&b, "written by gorge %s with %d tasks a stage, format %d; %s in all\n", m.Engine, m.Parallelism, m.Version, sizeText(sizeOf(m)))
	for i := range m.Steps {
		inspectStep(&b, &m.Steps[i])
	}
	for i := range m.Sources {
		inspectSource(&b, &m.Sources[i])
	}
	for i := range m.Sinks {
		inspectSink(&b, &m.Sinks[i])
	}
	return b.String()
}

func inspectStep(b *strings.Builder, s *checkpoint.Step) {
	fmt.Fprintf(b, "\nstep %s\n", s.Name)
	for _, l := range s.Layout {
		fmt.Fprintf(b, "  %s\n", l)
	}
	if len(s.Shards) == 0 {
		b.WriteString("  no state yet\n")
	}
	for _, h := range s.Shards {
		var bytes, rows int64
		for _, g := range h.Segments {
			bytes, rows = bytes+g.Size, rows+g.Rows
		}
		fmt.Fprintf(b, "  key groups %d to %d: panes %d, segments %d, records %s, %s\n",
			h.Groups.First, h.Groups.End-1, len(h.Panes), len(h.Segments), group(rows), sizeText(bytes))
		for _, p := range h.Panes {
			name := fmt.Sprintf("pane %d", p.ID)
			if isWindow(s) {
				name = "window from " + instant(p.ID)
			}
			fmt.Fprintf(b, "    %s, born in epoch %d\n", name, p.Born)
		}
		for _, g := range h.Segments {
			base := "changes only"
			if g.Base.Len() > 0 {
				base = fmt.Sprintf("all of key groups %d to %d", g.Base.First, g.Base.End-1)
			}
			fmt.Fprintf(b, "    segment of epoch %d, records %s, %s, %s: %s\n", g.Epoch, group(g.Rows), sizeText(g.Size), base, g.Object)
		}
	}
}

// isWindow reports whether the panes of a step are windows, whose number is their start.
func isWindow(s *checkpoint.Step) bool {
	return len(s.Layout) > 0 && strings.HasPrefix(s.Layout[0], "window ")
}

func inspectSource(b *strings.Builder, s *checkpoint.Source) {
	fmt.Fprintf(b, "\nsource %s (%s)\n  watermark %s, %s blocks read\n", s.Name, s.Connector, instant(s.Watermark), group(int64(s.Blocks)))
	for _, p := range s.Splits {
		at := "at the start"
		switch {
		case p.Ended:
			at = "ended"
		case p.Position != nil:
			at = "at " + opaque(p.Position)
		}
		fmt.Fprintf(b, "  split %s: %s, blocks %s, largest event time %s\n", p.ID, at, group(int64(p.Blocks)), instant(p.Newest))
	}
}

func inspectSink(b *strings.Builder, s *checkpoint.Sink) {
	fmt.Fprintf(b, "\nsink %s (%s)\n", s.Name, s.Connector)
	for _, c := range s.Committables {
		fmt.Fprintf(b, "  commits %s\n", opaque(c))
	}
	if len(s.Committables) == 0 {
		b.WriteString("  nothing to commit\n")
	}
}

// opaque writes bytes whose meaning is a connector's: as they are when they are text.
func opaque(data []byte) string {
	const most = 400
	more := ""
	if len(data) > most {
		data, more = data[:most], "..."
	}
	return legible(string(data)) + more
}

// legible quotes a text that a terminal would not show as it is.
func legible(s string) string {
	if utf8.ValidString(s) && strings.IndexFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) < 0 {
		return s
	}
	return strconv.Quote(s)
}

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// report is the outcome of one call of the command.
type report struct {
	When     time.Time `json:"when"`
	Command  string    `json:"command"`
	Commit   string    `json:"commit"`
	Machine  machine   `json:"machine"`
	Sections []section `json:"sections"`
}

// machine is where it was measured.
type machine struct {
	CPU        string `json:"cpu"`
	Processors int    `json:"processors"`
	MemoryMiB  int64  `json:"memory_mib"`
	Kernel     string `json:"kernel"`
	Go         string `json:"go"`
}

// section is one table of the report: of runs or of metrics.
type section struct {
	Title string `json:"title"`
	Note  string `json:"note,omitempty"`
	// Reference is the contender that the ratios of the runs are to.
	Reference string    `json:"reference,omitempty"`
	Runs      []outcome `json:"runs,omitempty"`
	Metrics   []metric  `json:"metrics,omitempty"`
}

// outcome is one contender on one input: medians over the rounds.
type outcome struct {
	Input     string  `json:"input"`
	Contender string  `json:"contender"`
	Version   string  `json:"version,omitempty"`
	Events    int64   `json:"events"`
	Rounds    int     `json:"rounds"`
	WallMS    float64 `json:"wall_ms"`
	MinMS     float64 `json:"wall_min_ms"`
	MaxMS     float64 `json:"wall_max_ms"`
	CPUMS     float64 `json:"cpu_ms"`
	PerSecond float64 `json:"events_per_second"`
	PeakMiB   float64 `json:"peak_rss_mib"`
	Others    float64 `json:"others_share"`    // of the machine, median over the rounds
	Ratio     float64 `json:"ratio,omitempty"` // of events per second to those of the section's reference
	Verified  int     `json:"verified_rounds"` // rounds whose output was exactly the oracle's
	Err       string  `json:"error,omitempty"`
}

// metric is one figure with its goal.
type metric struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	Unit  string  `json:"unit"`
	Goal  string  `json:"goal,omitempty"`
	Met   *bool   `json:"met,omitempty"`
	Note  string  `json:"note,omitempty"`
}

func newReport(args []string) *report {
	return &report{
		When: time.Now().UTC().Truncate(time.Second), Command: strings.TrimSpace("bench " + strings.Join(args, " ")), Commit: commit(),
		Machine: machine{CPU: procLine("/proc/cpuinfo", "model name"), Processors: processors(), MemoryMiB: memory(), Kernel: kernel(), Go: runtime.Version()},
	}
}

func processors() int { return runtime.NumCPU() }

// commit names the commit, and says when the tree differs from it.
func commit() string {
	out, err := exec.Command("git", "describe", "--always", "--dirty", "--exclude", "*").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}

// procLine returns the value of the first line "key : value" of a file of /proc.
func procLine(file, key string) string {
	text, err := os.ReadFile(file)
	if err != nil {
		return "unknown"
	}
	for line := range strings.Lines(string(text)) {
		if k, v, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(k) == key {
			return strings.TrimSpace(v)
		}
	}
	return "unknown"
}

func memory() int64 {
	var kib int64
	if _, err := fmt.Sscanf(procLine("/proc/meminfo", "MemTotal"), "%d kB", &kib); err != nil {
		return 0
	}
	return kib >> 10
}

func kernel() string {
	text, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(text))
}

// write puts the report into dir as latest.md and latest.json.
func (r *report) write(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "latest.json"), append(text, '\n'), 0o644); err != nil {
		return err
	}
	f, err := os.Create(filepath.Join(dir, "latest.md"))
	if err != nil {
		return err
	}
	defer f.Close()
	if err := r.markdown(f); err != nil {
		return err
	}
	return f.Close()
}

func (r *report) markdown(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "# Benchmark of %s\n\n", r.When.Format("2006-01-02 15:04 MST"))
	m := r.Machine
	fmt.Fprintf(&b, "Machine: %s, %d processors, %d MiB, Linux %s, %s. Commit %s.\n\nCommand: `%s`\n", m.CPU, m.Processors, m.MemoryMiB, m.Kernel, m.Go, r.Commit, r.Command)
	for _, s := range r.Sections {
		fmt.Fprintf(&b, "\n## %s\n\n", s.Title)
		if s.Note != "" {
			fmt.Fprintf(&b, "%s\n\n", s.Note)
		}
		if len(s.Runs) > 0 {
			runTable(&b, s.Runs, s.Reference)
		}
		if len(s.Metrics) > 0 {
			metricTable(&b, s.Metrics)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func runTable(b *strings.Builder, runs []outcome, reference string) {
	fmt.Fprintf(b, "| input | contender | wall ms, median (min-max) | CPU ms | M events/s | peak RSS MiB | x %s | verified | other load |\n|---|---|---|---|---|---|---|---|---|\n", reference)
	for _, r := range runs {
		if r.Err != "" {
			fmt.Fprintf(b, "| %s | %s | failed: %s | | | | | | |\n", r.Input, r.Contender, strings.ReplaceAll(firstLine(r.Err), "|", "/"))
			continue
		}
		ratio := ""
		if r.Ratio > 0 {
			ratio = fmt.Sprintf("%.2f", r.Ratio)
		}
		fmt.Fprintf(b, "| %s | %s | %.0f (%.0f-%.0f) | %.0f | %.2f | %.0f | %s | %d of %d | %.0f %% |\n",
			r.Input, strings.TrimSpace(r.Contender+" "+r.Version), r.WallMS, r.MinMS, r.MaxMS, r.CPUMS, r.PerSecond/1e6, r.PeakMiB, ratio, r.Verified, r.Rounds, r.Others*100)
	}
}

func metricTable(b *strings.Builder, metrics []metric) {
	b.WriteString("| what | value | goal | note |\n|---|---|---|---|\n")
	for _, m := range metrics {
		goal := m.Goal
		if m.Met != nil {
			goal += map[bool]string{true: ": met", false: ": **missed**"}[*m.Met]
		}
		fmt.Fprintf(b, "| %s | %s %s | %s | %s |\n", m.Name, figure(m.Value), m.Unit, goal, m.Note)
	}
}

// figure prints a number with three significant digits.
func figure(v float64) string {
	switch {
	case v >= 100 || v == 0:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	case v >= 1:
		return fmt.Sprintf("%.2f", v)
	}
	return fmt.Sprintf("%.3g", v)
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}

// median of at least one value.
func median(v []float64) float64 {
	s := slices.Sorted(slices.Values(v))
	n := len(s)
	if n%2 == 1 {
		return s[n/2]
	}
	return (s[n/2-1] + s[n/2]) / 2
}

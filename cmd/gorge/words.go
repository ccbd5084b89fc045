package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/gorge-stream/gorge/internal/batch"
)

// sizeText writes a number of bytes for people.
func sizeText(n int64) string {
	const step = 1024
	if n < step {
		return fmt.Sprintf("%d B", n)
	}
	f, units := float64(n)/step, "KMGTP"
	for f >= step && len(units) > 1 {
		f, units = f/step, units[1:]
	}
	return fmt.Sprintf("%.1f %ciB", f, units[0])
}

// ageText writes how long ago something was.
func ageText(t, now time.Time) string {
	switch d := max(0, now.Sub(t)); {
	case d < time.Minute:
		return fmt.Sprintf("%ds ago", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm ago", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh ago", int(d.Hours()))
	default:
		return fmt.Sprintf("%dd ago", int(d.Hours()/24))
	}
}

// instant writes an event time.
func instant(t batch.Time) string {
	switch t {
	case batch.MinTime:
		return "none"
	case batch.MaxTime:
		return "the end"
	}
	return time.UnixMicro(t).UTC().Format(time.RFC3339Nano)
}

// columnsText lays rows out in columns, the first row being their names.
func columnsText(rows [][]string) string {
	var widths []int
	for _, row := range rows {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], len([]rune(cell)))
		}
	}
	var b strings.Builder
	for _, row := range rows {
		line := ""
		for i, cell := range row {
			line += cell + strings.Repeat(" ", widths[i]-len([]rune(cell))+2)
		}
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	return b.String()
}

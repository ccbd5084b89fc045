package main

import (
	"bufio"
	"context"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// sample is the metrics of an engine at one moment, by name and labels as they are printed.
type sample map[string]float64

// readMetrics reads what a URL serves.
func readMetrics(ctx context.Context, url string) (sample, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", url, res.Status)
	}
	out := sample{}
	lines := bufio.NewScanner(res.Body)
	for lines.Scan() {
		name, value, ok := strings.Cut(lines.Text(), " ")
		if !ok || strings.HasPrefix(name, "#") {
			continue
		}
		if x, err := strconv.ParseFloat(value, 64); err == nil {
			out[name] = x
		}
	}
	return out, lines.Err()
}

// scrape reads metrics and adds the samples of a family and kind: the key is
// the text up to the first label, the kind when there is one.
func scrape(ctx context.Context, url string) (map[string]float64, error) {
	all, err := readMetrics(ctx, url)
	if err != nil {
		return nil, err
	}
	out := map[string]float64{}
	for name, x := range all {
		key, labels, labelled := strings.Cut(name, "{")
		if labelled {
			key += "{"
			if kind, _, ok := strings.Cut(labels, ","); ok && strings.HasPrefix(kind, "kind=") {
				key += kind
			}
		}
		out[key] += x
	}
	return out, nil
}

// watch reads the metrics of the contender every now and then until stop is
// called, which returns the last ones; nothing for a contender that serves none.
func (c *contender) watch(ctx context.Context) (stop func() sample) {
	if c.metrics == "" {
		return func() sample { return nil }
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan sample)
	go func() {
		var last sample
		for every := time.NewTicker(200 * time.Millisecond); ; {
			select {
			case <-ctx.Done():
				every.Stop()
				done <- last
				return
			case <-every.C:
			}
			if m, err := readMetrics(ctx, c.metrics); err == nil {
				last = m
			}
		}
	}()
	return func() sample { cancel(); return <-done }
}

// histogram is one of Prometheus, of one or several samples.
type histogram struct {
	bounds     []float64 // upper, ascending, the last infinite
	counts     []float64 // up to each bound
	sum, count float64
}

// histogramOf adds up a histogram over samples. labels are those beside the bound, like phase="passing".
func histogramOf(samples []sample, name, labels string) histogram {
	h := histogram{}
	at := map[float64]float64{}
	prefix, whole := name+"_bucket{"+labels, ""
	if labels != "" {
		prefix, whole = prefix+",", "{"+labels+"}"
	}
	for _, s := range samples {
		h.sum += s[name+"_sum"+whole]
		h.count += s[name+"_count"+whole]
		for k, v := range s {
			le, ok := strings.CutPrefix(k, prefix+`le="`)
			if !ok {
				continue
			}
			if bound, err := strconv.ParseFloat(strings.TrimSuffix(le, `"}`), 64); err == nil {
				at[bound] += v
			}
		}
	}
	for b := range at {
		h.bounds = append(h.bounds, b)
	}
	slices.Sort(h.bounds)
	for _, b := range h.bounds {
		h.counts = append(h.counts, at[b])
	}
	return h
}

func (h histogram) mean() float64 { return h.sum / max(h.count, 1) }

// quantile interpolates within the bucket that holds it.
func (h histogram) quantile(q float64) float64 {
	low, below := 0.0, 0.0
	for i, b := range h.bounds {
		if n := h.counts[i] - below; h.counts[i] >= q*h.count && n > 0 {
			if math.IsInf(b, 1) {
				return low
			}
			return low + (b-low)*(q*h.count-below)/n
		}
		low, below = b, h.counts[i]
	}
	return low
}

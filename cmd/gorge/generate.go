package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/gorge-stream/gorge/internal/compress"
	"github.com/gorge-stream/gorge/internal/diag"
	"github.com/gorge-stream/gorge/internal/workload"
)

// generateFlags are the flags of gorge generate.
type generateFlags struct {
	config   workload.Config
	events   int64
	dist     string
	disorder time.Duration
	lateBy   time.Duration
	start    string
	labels   bool
	format   string
	out      string
	oracle   string
	window   time.Duration
	quiet    bool

	post        string
	batch       int
	connections int
	retryFor    time.Duration
}

// The event rates when --rate is not given.
const (
	fileRate = 1_000_000 // of event time
	postRate = 1000      // by the clock
)

func generateCmd() *cobra.Command {
	f := &generateFlags{}
	c := &cobra.Command{
		Use:   "generate",
		Short: "Make readings of city sensors, into a file or by HTTP",
		Long: `Make the readings of a city full of sensors: the same flags make the same bytes.

Into a file or standard output events are written as fast as possible; --rate is
then the number of events per second of event time. With --post they are sent to
an http source on an open-loop schedule: event i is due i/rate seconds after the
start and carries that time, however slowly the receiver answers. 429 and 503 are
tried again. The end shows what was accepted, the rate, and how late events left.

--oracle writes what a tumbling window over the events must find for each device:
window start, count, the exact sum of the temperatures in hundredths, and how many
of the events are late.`,
		Example: `  gorge generate --events 10000000 --devices 500000 --out events.ndjson --oracle oracle.csv
  gorge generate --events 0 --rate 5000 --post http://localhost:8080/ingest/readings`,
		Args: exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	fl := c.Flags()
	fl.SortFlags = false
	fl.Int64Var(&f.events, "events", 10_000, "number of events; 0 with --post goes on until it is stopped")
	fl.Int64Var(&f.config.Rate, "rate", 0, "events per second (default 1000000 of event time, with --post 1000 by the clock; 0 with --post sends as fast as possible)")
	fl.IntVar(&f.config.Devices, "devices", 1000, "number of distinct devices")
	fl.StringVar(&f.dist, "distribution", "uniform", "how often each device reports: uniform or zipf")
	fl.Float64Var(&f.config.Skew, "skew", 1.1, "exponent of the Zipf distribution")
	fl.DurationVar(&f.disorder, "disorder", 500*time.Millisecond, "the most that an event lies behind its schedule, unless it is late")
	fl.Float64Var(&f.config.Late, "late", 0, "share of late events")
	fl.DurationVar(&f.lateBy, "late-by", 30*time.Second, "how much further behind a late event lies at most")
	fl.Float64Var(&f.config.Anomalies, "anomalies", 0, "share of events with a wrong temperature")
	fl.Float64Var(&f.config.AnomalySize, "anomaly-size", 25, "by how many degrees an anomaly is off")
	fl.BoolVar(&f.labels, "labels", false, "write the column anomaly")
	fl.Uint64Var(&f.config.Seed, "seed", 1, "another seed makes other events")
	fl.StringVar(&f.start, "start", "", "event time of the first event, as RFC 3339 (default 2025-10-09T08:53:20Z, with --post now)")
	fl.StringVar(&f.format, "format", "json", "json (an object a line) or csv (with a header)")
	fl.StringVar(&f.out, "out", "-", "file to write, .gz and .zst compressed; - is standard output")
	fl.StringVar(&f.oracle, "oracle", "", "write the expected counts and sums to this CSV file")
	fl.DurationVar(&f.window, "window", 10*time.Second, "size of the windows of the oracle")
	fl.StringVar(&f.post, "post", "", "send to this URL instead of writing a file")
	fl.IntVar(&f.batch, "batch", 100, "events of a request")
	fl.IntVar(&f.connections, "connections", 8, "requests at the same time")
	fl.DurationVar(&f.retryFor, "retry-for", 30*time.Second, "how long a request is tried again")
	fl.BoolVarP(&f.quiet, "quiet", "q", false, "no summary")
	return c
}

func (f *generateFlags) run(cmd *cobra.Command) error {
	s, err := f.stream(cmd.Flags().Changed("rate"))
	if err != nil {
		return usage(err)
	}
	ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	summary := cmd.ErrOrStderr()
	if f.quiet {
		summary = io.Discard
	}
	if err := s.openOracle(f.oracle, f.window); err != nil {
		return err
	}
	if f.post != "" {
		err = f.send(ctx, s, summary)
	} else {
		err = f.write(ctx, s, cmd.OutOrStdout(), summary)
	}
	if e := s.closeOracle(err == nil); err == nil {
		err = e
	}
	return err
}

// stream turns the flags into a stream of events.
func (f *generateFlags) stream(rateGiven bool) (*eventStream, error) {
	if err := f.check(rateGiven); err != nil {
		return nil, err
	}
	c := f.config
	c.Disorder, c.LateBy, c.Start = f.disorder.Milliseconds(), f.lateBy.Milliseconds(), workload.DefaultStart
	s := &eventStream{events: f.events, labels: f.labels, paced: f.post != "" && (c.Rate > 0 || !rateGiven)}
	if c.Rate == 0 {
		c.Rate = fileRate
		if s.paced {
			c.Rate = postRate
		}
	}
	if f.dist == "uniform" {
		c.Skew = 0
	}
	switch {
	case f.start != "":
		t, err := time.Parse(time.RFC3339, f.start)
		if err != nil {
			return nil, diag.New("cli/start", "--start %q is no time", f.start).WithHint("write it like 2026-01-31T09:00:00Z")
		}
		c.Start = t.UnixMilli()
	case s.paced:
		c.Start = time.Now().UnixMilli()
	}
	s.append, s.contentType = workload.AppendJSON, "application/x-ndjson"
	if f.format == "csv" {
		s.append, s.header, s.contentType = workload.AppendCSV, workload.CSVHeader(f.labels), "text/csv"
	}
	var err error
	s.gen, err = workload.New(c)
	return s, err
}

// check refuses flags that the workload does not know about.
func (f *generateFlags) check(rateGiven bool) error {
	u, err := url.Parse(f.post)
	switch {
	case f.config.Rate < 0 || f.config.Rate == 0 && rateGiven && f.post == "":
		return diag.New("cli/rate", "--rate is %d, but must be at least 1", f.config.Rate)
	case f.dist != "uniform" && f.dist != "zipf":
		return diag.New("cli/distribution", "there is no distribution %q", f.dist).WithHint("use uniform or zipf")
	case f.format != "json" && f.format != "csv":
		return diag.New("cli/format", "gorge generate writes no %q", f.format).WithHint("use json or csv")
	case f.events < 0 || f.events == 0 && f.post == "":
		return diag.New("cli/events", "--events is %d, but a file needs an end", f.events).WithHint("--events 0 works with --post")
	case f.post != "" && (f.batch < 1 || f.batch > 100_000 || f.connections < 1 || f.connections > 1000):
		return diag.New("cli/batch", "--batch must be from 1 to 100,000 and --connections from 1 to 1,000")
	case f.post != "" && (err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https"):
		return diag.New("cli/url", "%q is no URL to post to", f.post).WithHint("write it like http://localhost:8080/ingest/readings")
	}
	return nil
}

// eventStream makes events in order and tells the oracle about them.
type eventStream struct {
	gen         *workload.Generator
	events      int64 // 0: without end
	paced       bool  // by the clock
	labels      bool
	append      func(dst []byte, e *workload.Events, labels bool) []byte
	header      string
	contentType string

	oracle     *workload.Oracle // nil: none
	oracleFile *os.File
	oracleOut  *bufio.Writer
}

// fill makes the events from first on, at most e.Cap(); it makes none behind the end.
func (s *eventStream) fill(e *workload.Events, first int64) error {
	n := e.Cap()
	if s.events > 0 {
		n = int(min(int64(n), s.events-first))
	}
	s.gen.Fill(e, first, n)
	if s.oracle != nil {
		return s.oracle.Add(e)
	}
	return nil
}

func (s *eventStream) openOracle(name string, window time.Duration) error {
	if name == "" {
		return nil
	}
	var line []byte
	o, err := workload.NewOracle(s.gen.Config(), window.Milliseconds(), func(r *workload.Row) error {
		line = r.AppendCSV(line[:0])
		_, err := s.oracleOut.Write(line)
		return err
	})
	if err != nil {
		return usage(err)
	}
	if s.oracleFile, err = os.Create(name); err != nil {
		return diag.New("cli/file", "cannot write the oracle").WithCause(err)
	}
	s.oracle, s.oracleOut = o, bufio.NewWriterSize(s.oracleFile, 1<<20)
	_, err = s.oracleOut.WriteString(workload.OracleHeader)
	return err
}

func (s *eventStream) closeOracle(complete bool) error {
	if s.oracle == nil {
		return nil
	}
	var err error
	if complete {
		if err = s.oracle.Close(); err == nil {
			err = s.oracleOut.Flush()
		}
	}
	if e := s.oracleFile.Close(); err == nil {
		err = e
	}
	if err != nil {
		return diag.New("cli/file", "cannot write the oracle").WithCause(err)
	}
	return nil
}

// write writes the events to a file or to stdout.
func (f *generateFlags) write(ctx context.Context, s *eventStream, stdout, summary io.Writer) error {
	begin := time.Now()
	out, err := createOutput(f.out, stdout)
	if err != nil {
		return diag.New("cli/file", "cannot write the events").WithCause(err)
	}
	n, err := s.writeTo(ctx, out)
	if e := out.Close(); err == nil {
		err = e
	}
	if err != nil {
		return diag.New("cli/file", "cannot write the events").WithCause(err)
	}
	took := time.Since(begin)
	fmt.Fprintf(summary, "wrote %s events (%s) in %v, %s events/s\n", group(s.events), size(n), took.Round(time.Millisecond), count(int64(float64(s.events)/took.Seconds())))
	return nil
}

// writeTo writes all events and returns the number of bytes before compression.
func (s *eventStream) writeTo(ctx context.Context, w io.Writer) (int64, error) {
	e := workload.NewEvents(4096)
	buf := []byte(s.header)
	written := int64(0)
	for first := int64(0); first < s.events; first += int64(e.N) {
		if err := ctx.Err(); err != nil {
			return written, err
		}
		if err := s.fill(e, first); err != nil {
			return written, err
		}
		buf = s.append(buf, e, s.labels)
		n, err := w.Write(buf)
		written += int64(n)
		if err != nil {
			return written, err
		}
		buf = buf[:0]
	}
	return written, nil
}

// output is a file under a compressor, or a stream that stays open.
type output struct {
	compress.Writer
	file *os.File
}

func createOutput(name string, stdout io.Writer) (*output, error) {
	o := &output{}
	under, kind := stdout, compress.None
	if name != "-" {
		file, err := os.Create(name)
		if err != nil {
			return nil, err
		}
		o.file, under, kind = file, file, compress.ByExtension(name)
	}
	var err error
	o.Writer, err = compress.NewWriter(under, kind)
	return o, err
}

// Close ends the compressed stream and closes the file.
func (o *output) Close() error {
	err := o.Writer.Close()
	if o.file != nil {
		if e := o.file.Close(); err == nil {
			err = e
		}
	}
	return err
}

// size writes a number of bytes short.
func size(n int64) string {
	switch {
	case n >= 1<<30:
		return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	case n >= 1<<10:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	}
	return fmt.Sprintf("%d bytes", n)
}

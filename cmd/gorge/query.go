package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gorge-stream/gorge/internal/connector/table"
	"github.com/gorge-stream/gorge/internal/diag"
	"github.com/gorge-stream/gorge/internal/query"
	"github.com/gorge-stream/gorge/internal/server"
)

type queryFlags struct {
	key                      []string
	from, to, order, columns string
	format, addr, data       string
	limit                    int
}

func queryCmd() *cobra.Command {
	f := &queryFlags{}
	c := &cobra.Command{
		Use:   "query [TABLE]",
		Short: "Show the rows of a table, or list the tables",
		Long: `Show the rows of a table of a running engine; without TABLE, list the tables.

When no engine runs, --data reads the tables that a pipeline left behind.
Conditions go by the columns of the table's key:

  gorge query by_device --key device_id=dev-1 --from 2026-01-01T00:00:00Z
  gorge query by_device --key device_id.prefix=dev-0 --order desc --limit 10
  gorge query by_device --format csv --limit 0 > all.csv`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) <= 1 {
				return nil
			}
			return exactly(1, "one table")(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error { return f.run(cmd, args) },
	}
	c.Flags().StringArrayVarP(&f.key, "key", "k", nil, "condition on a key column: COLUMN=VALUE, COLUMN.prefix=TEXT, COLUMN.from=VALUE, COLUMN.to=VALUE, COLUMN.null=true")
	c.Flags().StringVar(&f.from, "from", "", "earliest time, included: RFC 3339 or milliseconds since 1970")
	c.Flags().StringVar(&f.to, "to", "", "end of the time range, excluded")
	c.Flags().StringVar(&f.order, "order", "asc", "asc or desc")
	c.Flags().StringVar(&f.columns, "columns", "", "columns to show, separated by commas")
	c.Flags().IntVarP(&f.limit, "limit", "n", 100, "most rows to show; 0 shows all")
	c.Flags().StringVarP(&f.format, "format", "f", "", strings.Join(query.Formats, ", ")+" (default table on a terminal, json otherwise)")
	c.Flags().StringVar(&f.addr, "addr", "http://"+server.DefaultAddr, "address of the engine")
	c.Flags().StringVar(&f.data, "data", "", "read the tables in this data directory instead of asking an engine")
	c.MarkFlagsMutuallyExclusive("addr", "data")
	return c
}

func (f *queryFlags) run(cmd *cobra.Command, args []string) error {
	ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt)
	defer stop()
	o, err := f.options(isTerminal(cmd.OutOrStdout()))
	if err != nil {
		return usage(err)
	}
	if len(args) == 1 {
		o.Table = args[0]
	}
	if f.data != "" {
		return f.ask(ctx, cmd, o, storeDir(f.data))
	}
	err = f.ask(ctx, cmd, o, "")
	var e *diag.Error
	if !errors.As(err, &e) || e.Code != query.Unreachable || cmd.Flags().Changed("addr") {
		return err
	}
	// No engine runs: what pipelines started here left behind is most likely meant.
	stores, globErr := filepath.Glob(filepath.Join("gorge-data", "*", table.Dir))
	switch {
	case globErr == nil && len(stores) == 1:
		fmt.Fprintf(cmd.ErrOrStderr(), "no engine answers at %s: reading %s\n", o.Base, filepath.Dir(stores[0]))
		return f.ask(ctx, cmd, o, stores[0])
	case len(stores) > 1:
		return e.WithHint("name the data directory with --data: %s", strings.Join(parents(stores), ", "))
	}
	return e
}

// options turns the flags into what the API takes.
func (f *queryFlags) options(terminal bool) (query.Options, error) {
	o := query.Options{Base: strings.TrimSuffix(f.addr, "/"), Client: http.DefaultClient, Params: url.Values{}, Limit: f.limit, Format: f.format}
	if !strings.Contains(o.Base, "://") {
		o.Base = "http://" + o.Base
	}
	if o.Format == "" {
		if o.Format = "json"; terminal {
			o.Format = "table"
		}
	}
	if !slices.Contains(query.Formats, o.Format) {
		return o, diag.New("query/format", "there is no format %q", o.Format).WithHint("use %s", strings.Join(query.Formats, ", "))
	}
	if o.Format == "arrow" && terminal {
		return o, diag.New("query/format", "arrow is not for terminals").WithHint("write it to a file: gorge query TABLE --format arrow > rows.arrows")
	}
	if f.limit < 0 {
		return o, diag.New("query/limit", "--limit is a number of rows, 0 for all, not %d", f.limit).WithHint("leave it out for the first 100")
	}
	for _, k := range f.key {
		name, value, ok := strings.Cut(k, "=")
		if !ok || name == "" {
			return o, diag.New("query/key", "--key %q is not COLUMN=VALUE", k).WithHint("write --key device_id=dev-1")
		}
		o.Params.Add(name, value)
	}
	for name, value := range map[string]string{"from": f.from, "to": f.to, "columns": f.columns, "order": f.order} {
		if value != "" {
			o.Params.Add(name, value)
		}
	}
	return o, nil
}

// ask writes the rows, or the list of tables, from the store in dir, or from an engine when dir is empty.
func (f *queryFlags) ask(ctx context.Context, cmd *cobra.Command, o query.Options, dir string) (err error) {
	if dir != "" {
		mux := http.NewServeMux()
		var store io.Closer
		if store, err = table.ServeStored(dir, mux); err != nil {
			return err
		}
		client, stop := query.Local(mux)
		defer func() { err = errors.Join(err, stop(), store.Close()) }()
		o.Client, o.Base = client, query.LocalBase
	}
	if o.Table == "" {
		return query.Tables(ctx, o, cmd.OutOrStdout())
	}
	r, err := query.Rows(ctx, o, cmd.OutOrStdout())
	if err != nil {
		return err
	}
	if o.Format == "table" {
		more := ""
		if r.More {
			more = ", more with --limit 0"
		}
		fmt.Fprintf(cmd.ErrOrStderr(), "(%d rows%s)\n", r.Rows, more)
	}
	return nil
}

// storeDir returns the table store that a data directory means: the one in it, or itself.
func storeDir(data string) string {
	inside := filepath.Join(data, table.Dir)
	if _, err := os.Stat(inside); err != nil && filepath.Base(data) == table.Dir {
		return data
	}
	return inside
}

func parents(dirs []string) []string {
	out := make([]string, len(dirs))
	for i, d := range dirs {
		out[i] = filepath.Dir(d)
	}
	return out
}

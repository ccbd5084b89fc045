package plan

import (
	"errors"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/delivery"
	"github.com/gorge-stream/gorge/internal/diag"
	"github.com/gorge-stream/gorge/internal/spec"
)

// sink makes the node of a sink.
func (c *compiler) sink(p *part) *Node {
	before := len(c.found)
	op, settings, set := c.sinkEdge(p.value, sinkDecl, p.String())
	settingsOK := len(c.found) == before
	input, schema, ok := c.input(p)
	if !ok || !settingsOK {
		return nil
	}
	if set.IsSet("delivery") {
		g := delivery.Guarantee(indexOf(delivery.Names, set.String("delivery")))
		op.Delivery = &g
	}
	if !c.fits(op, schema, settings, p.String()) {
		return nil
	}
	return &Node{Name: p.name, Op: op, Inputs: []Ref{input}, Place: p.place}
}

// sinkEdge reads connector and format of a sink or of the dead-letter output.
func (c *compiler) sinkEdge(v *yamlValue, decl *spec.Decl, what string) (op *Sink, connector yamlEntry, set *spec.Values) {
	x, ok := c.edge(v, decl, what, c.cat.offered())
	if !ok {
		return nil, x.settings, x.set
	}
	info := c.cat.Sinks[x.connector]
	op = &Sink{
		Connector: x.connector, Set: c.connectorSettings(x.settings, info.Decl, what),
		Bytes: info.Bytes, Parallel: info.Parallel,
	}
	if x.format != nil && info.DefaultFormat == "" && !info.Bytes {
		c.errorf(codeFormat, x.format.place, "%s has a format, but %s takes rows as they are", what, x.connector).WithHint("leave the format out")
		return op, x.settings, x.set
	}
	f, ok := c.formatOf(x, info.DefaultFormat, func(f FormatInfo) bool { return f.Writes }, "written", what)
	op.Format, op.FormatSet = f.name, f.set
	if ok && f.name == "" && info.Bytes {
		c.errorf(codeFormat, x.settings.place, "%s has no format", what).WithHint("write what it is to hold, for example format: json")
	}
	return op, x.settings, x.set
}

// fits asks connector and format whether their settings fit the columns.
func (c *compiler) fits(op *Sink, schema *batch.Schema, settings yamlEntry, what string) bool {
	before := len(c.found)
	if check := c.cat.Sinks[op.Connector].Check; check != nil {
		if err := check(op.Set, visible(schema)); err != nil {
			c.misfit(err, settings.place, what)
		}
	}
	if check := c.cat.Formats[op.Format].CheckWrite; check != nil {
		if err := check(op.FormatSet, visible(schema)); err != nil {
			c.misfit(err, op.FormatSet.Place(), what)
		}
	}
	return len(c.found) == before
}

// misfit takes what a connector or format has against settings or columns.
func (c *compiler) misfit(err error, place diag.Place, what string) {
	var e *diag.Error
	if !errors.As(err, &e) {
		e = diag.New(codeSink, "%s does not fit the columns it gets", what).WithCause(err)
	}
	if e.Place.File == "" {
		e.At(place)
	}
	c.found.Add(e)
}

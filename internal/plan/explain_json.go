package plan

import (
	"encoding/json"
	"math"
)

// The JSON form of a plan is read by tools: its names stay.
type jsonPlan struct {
	Name        string         `json:"name"`
	Stages      []jsonStage    `json:"stages"`
	Nodes       []jsonNode     `json:"nodes"`
	Functions   []jsonFunction `json:"functions"`
	Paths       []jsonPath     `json:"paths"`
	DeadLetters string         `json:"dead_letters,omitempty"`
	Checkpoint  jsonCheckpoint `json:"checkpoint"`
	State       jsonState      `json:"state"`
}

type jsonCheckpoint struct {
	Interval string `json:"interval"` // or "off"
	Timeout  string `json:"timeout"`
	Retain   int    `json:"retain"`
}

type jsonState struct {
	Backend     string `json:"backend"`
	MemoryLimit int64  `json:"memory_limit,omitempty"` // bytes of each task, with the backend disk
}

type jsonStage struct {
	Partitioning string   `json:"partitioning"` // by_split, by_key, single
	Keys         []string `json:"keys,omitempty"`
	Nodes        []string `json:"nodes"`
}

type jsonNode struct {
	Name    string       `json:"name"`
	Kind    string       `json:"kind"`
	Does    string       `json:"does"`
	Stage   int          `json:"stage"`
	Inputs  []string     `json:"inputs,omitempty"`
	Columns []jsonColumn `json:"columns,omitempty"` // of the result; those without a name are the engine's
	Reads   *jsonReads   `json:"reads,omitempty"`   // of a source
	Notes   []string     `json:"notes,omitempty"`
}

type jsonColumn struct {
	Name     string `json:"name"`
	Type     string `json:"type"`
	Nullable bool   `json:"nullable,omitempty"`
}

type jsonReads struct {
	Columns []string `json:"columns"`
	Of      int      `json:"of"`
}

type jsonFunction struct {
	Name    string   `json:"name"`
	File    string   `json:"file"`
	Version int      `json:"version,omitempty"`
	Workers int      `json:"workers,omitempty"`
	Timeout string   `json:"timeout"`
	OnError string   `json:"on_error"`
	Default *float64 `json:"default,omitempty"`
	Returns []string `json:"returns"`
}

type jsonPath struct {
	Nodes     []string `json:"nodes"`
	Guarantee string   `json:"guarantee"`
	Weakest   string   `json:"weakest"`
	Why       string   `json:"why"`
}

// JSON explains the plan to a program.
func (p *Plan) JSON() ([]byte, error) {
	out := jsonPlan{Name: p.Name, Functions: []jsonFunction{}, Paths: []jsonPath{}}
	out.Checkpoint = jsonCheckpoint{Interval: formatDuration(p.Checkpoint.Interval), Timeout: formatDuration(p.Checkpoint.Timeout), Retain: p.Checkpoint.Retain}
	if p.Checkpoint.Off {
		out.Checkpoint.Interval = checkpointOff
	}
	out.State.Backend = stateBackends[0]
	if p.State.Disk {
		out.State = jsonState{Backend: stateBackends[1], MemoryLimit: p.State.MemoryLimit}
	}
	for _, s := range p.Stages {
		js := jsonStage{Partitioning: [...]string{BySplit: "by_split", ByKey: "by_key", Single: "single"}[s.Partitioning], Keys: s.Keys}
		for _, n := range s.Nodes {
			js.Nodes = append(js.Nodes, n.Name)
		}
		out.Stages = append(out.Stages, js)
	}
	for _, n := range p.Nodes {
		j := p.jsonNode(n)
		if n.Name == DeadLetters {
			out.DeadLetters = j.Does
		}
		out.Nodes = append(out.Nodes, j)
	}
	for _, f := range p.Functions {
		out.Functions = append(out.Functions, toJSONFunction(f))
	}
	for _, path := range p.Paths {
		out.Paths = append(out.Paths, jsonPath{Nodes: path.Nodes, Guarantee: path.Guarantee.String(), Weakest: path.Weakest, Why: path.Why})
	}
	b, err := json.MarshalIndent(out, "", "  ")
	return append(b, '\n'), err
}

func (p *Plan) jsonNode(n *Node) jsonNode {
	kind, what := words(n)
	j := jsonNode{Name: n.Name, Kind: kind, Does: what, Stage: n.Stage, Notes: p.notes(n)}
	for _, in := range n.Inputs {
		j.Inputs = append(j.Inputs, refWords(in))
	}
	if n.Schema != nil {
		for _, f := range n.Schema.Fields {
			j.Columns = append(j.Columns, jsonColumn{Name: f.Name, Type: f.Kind.String(), Nullable: f.Nullable})
		}
	}
	if s, ok := n.Op.(*Source); ok {
		names, of := s.Reads(n.Schema)
		j.Reads = &jsonReads{Columns: names, Of: of}
	}
	return j
}

func toJSONFunction(f Function) jsonFunction {
	j := jsonFunction{
		Name: f.Name, File: f.File, Version: f.Version, Workers: f.Workers,
		Timeout: formatDuration(f.Timeout), OnError: onErrorNames[f.OnError],
	}
	if f.OnError == ErrorDefault && !math.IsNaN(f.Default) {
		j.Default = &f.Default
	}
	for _, k := range f.Returns {
		j.Returns = append(j.Returns, k.String())
	}
	return j
}

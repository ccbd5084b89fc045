package plan

import "slices"

// readers returns the nodes that read the port of n, in topological order.
func (p *Plan) readers(n *Node, port Port) []*Node {
	var out []*Node
	for _, m := range p.Nodes {
		for _, in := range m.Inputs {
			if in.Node == n && in.Port == port {
				out = append(out, m)
			}
		}
	}
	return out
}

// offered returns the words of the sinks that a file may name.
func (cat *Catalog) offered() []string {
	return slices.DeleteFunc(sortedKeys(cat.Sinks), func(name string) bool { return cat.Sinks[name].Internal })
}

// insertBefore puts n into the list in front of at.
func (p *Plan) insertBefore(at, n *Node) {
	p.Nodes = slices.Insert(p.Nodes, slices.Index(p.Nodes, at), n)
}

// dropUnread leaves out what no sink depends on, with a warning for each: such
// a step would cost time and change nothing.
func (c *compiler) dropUnread() {
	read := map[*Node]bool{}
	late := map[*Node]bool{}
	for _, n := range slices.Backward(c.plan.Nodes) {
		if _, ok := n.Op.(*Sink); ok {
			read[n] = true
		}
		if !read[n] {
			continue
		}
		for _, in := range n.Inputs {
			read[in.Node] = true
			late[in.Node] = late[in.Node] || in.Port == Late
		}
	}
	for _, n := range c.plan.Nodes {
		if !read[n] {
			c.warnf(codeUnread, n.Place, "no sink depends on %s, so it does not run", n.Name).
				WithHint("let a sink or step read it, or remove it")
			continue
		}
		if w, ok := n.Op.(*WindowAggregate); ok && w.LateOutput && !late[n] {
			c.warnf(codeUnread, placeOf(c.parts[n.Name].value, "late", n.Place), "nobody reads the late rows %s.late", n.Name).
				WithHint("let a sink or step read %s.late, or write late: drop: the rows are dropped and counted", n.Name)
			w.LateOutput = false
		}
	}
	c.plan.Nodes = slices.DeleteFunc(c.plan.Nodes, func(n *Node) bool { return !read[n] })
	used := map[string]bool{}
	for _, n := range c.plan.Nodes {
		if call, ok := n.Op.(*Call); ok {
			used[call.Function] = true
		}
	}
	for _, f := range c.plan.Functions {
		if !used[f.Name] {
			c.warnf(codeUnread, f.Place, "no step calls the function %s", f.Name).WithHint("call it in a step that a sink depends on, or remove it")
		}
	}
	c.plan.Functions = slices.DeleteFunc(c.plan.Functions, func(f Function) bool { return !used[f.Name] })
}

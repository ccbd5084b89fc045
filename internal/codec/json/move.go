package json

import "github.com/gorge-stream/gorge/internal/batch"

// move copies a row of the batch to an earlier one.
func (d *decoder) move(from, to int) {
	for _, c := range d.dst {
		if c.Kind() == batch.Bool {
			c.SetBool(to, c.Bool(from))
		} else {
			w := c.Kind().Width()
			copy(c.Data()[to*w:to*w+w], c.Data()[from*w:])
		}
		if c.HasNulls() {
			v := c.Validity()
			v[to>>6] = v[to>>6]&^(1<<(uint(to)&63)) | v[from>>6]>>(uint(from)&63)&1<<(uint(to)&63)
		}
	}
}

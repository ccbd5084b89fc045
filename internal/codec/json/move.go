package json

import "github.com/gorge-stream/gorge/internal/batch"

// move copies n rows of the batch to earlier ones.
func (d *decoder) move(from, to, n int) {
	if from == to || n == 0 {
		return
	}
	for _, c := range d.dst {
		if c.Kind() == batch.Bool {
			moveBits(c.Bits(), from, to, n)
		} else {
			w := c.Kind().Width()
			copy(c.Data()[to*w:(to+n)*w], c.Data()[from*w:])
		}
		if c.HasNulls() {
			moveBits(c.Validity(), from, to, n)
		}
	}
}

// moveBits copies n bits to earlier places.
func moveBits(w []uint64, from, to, n int) {
	for i := range n {
		f, t := uint(from+i), uint(to+i)
		w[t>>6] = w[t>>6]&^(1<<(t&63)) | w[f>>6]>>(f&63)&1<<(t&63)
	}
}

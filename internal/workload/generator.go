package workload

import (
	"math"
	"math/bits"
)

// Mark tells what is special about an event.
type Mark uint8

// The marks; they are bits.
const (
	Late    Mark = 1 << iota // further behind its schedule than the disorder allows
	Anomaly                  // the temperature is off
)

// Sites is the number of sites; device d stands at site d % Sites.
const Sites = 200

// Events is a run of events as columns. Only the first N entries mean something.
type Events struct {
	First       int64 // number of the first event
	N           int
	Device      []uint32
	Millis      []int64 // event time since 1970-01-01T00:00:00Z
	Temperature []int32 // hundredths of a degree Celsius
	Humidity    []int32 // hundredths of a percent
	AirQuality  []int32 // index from 0 to 499
	Marks       []Mark
}

// NewEvents makes room for capacity events.
func NewEvents(capacity int) *Events {
	return &Events{
		Device:      make([]uint32, capacity),
		Millis:      make([]int64, capacity),
		Temperature: make([]int32, capacity),
		Humidity:    make([]int32, capacity),
		AirQuality:  make([]int32, capacity),
		Marks:       make([]Mark, capacity),
	}
}

// Cap returns the number of events that fit.
func (e *Events) Cap() int { return len(e.Device) }

// Generator makes events. It has no state: any goroutine may use it.
type Generator struct {
	c        Config
	key      uint64 // the seed, mixed
	devices  uint64
	zipf     *zipf // nil: uniform
	disorder uint64
	late     uint64 // of 2^32
	lateBy   uint64
	anomaly  uint64 // of 2^32
	off      int32  // of an anomaly, in hundredths
}

// New makes a generator.
func New(c Config) (*Generator, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	g := &Generator{
		c: c, key: mix(c.Seed + golden), devices: uint64(c.Devices),
		disorder: uint64(c.Disorder), lateBy: uint64(c.LateBy),
		late: uint64(c.Late * (1 << 32)), anomaly: uint64(c.Anomalies * (1 << 32)),
		off: int32(math.Round(c.AnomalySize * 100)),
	}
	if c.Skew > 0 && c.Devices > 1 {
		g.zipf = newZipf(c.Skew, c.Devices)
	}
	return g, nil
}

// Config returns what the generator was made of.
func (g *Generator) Config() Config { return g.c }

const golden = 0x9E3779B97F4A7C15

// mix is the finaliser of SplitMix64 (Steele, Lea, Flood 2014): a bijection whose
// every output bit depends on every input bit. Mixing a counter is what lets an
// event be a function of its number.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xBF58476D1CE4E5B9
	x = (x ^ x>>27) * 0x94D049BB133111EB
	return x ^ x>>31
}

// below maps 64 random bits to [0, n).
func below(r, n uint64) uint64 {
	hi, _ := bits.Mul64(r, n)
	return hi
}

// Fill replaces e by the n events from number first on; n is at most e.Cap().
func (g *Generator) Fill(e *Events, first int64, n int) {
	e.First, e.N = first, n
	device, millis, temp := e.Device[:n], e.Millis[:n], e.Temperature[:n]
	hum, air, marks := e.Humidity[:n], e.AirQuality[:n], e.Marks[:n]
	second := g.c.Start + first/g.c.Rate*1000
	rest := uint64(first % g.c.Rate)
	special := g.late > 0 || g.anomaly > 0
	for i := range n {
		r := g.key + uint64(first+int64(i))*golden
		a := mix(r)
		b := mix(a ^ golden)
		var d uint64
		if g.zipf == nil {
			d = below(a, g.devices)
		} else {
			d = g.zipf.draw(a)
		}
		ts := second + int64((rest+uint64(i))*1000/uint64(g.c.Rate))
		device[i] = uint32(d)
		temp[i] = g.base(d) + int32((b&0xFFFF)+(b>>16&0xFFFF))*200>>16 - 200
		hum[i] = 2000 + int32((b>>32&0xFFFF)*6000>>16)
		air[i] = int32((b >> 48) * 500 >> 16)
		marks[i] = 0
		c := mix(b ^ r)
		if back := int64(below(c, g.disorder+1)); ts-back >= g.c.Start {
			millis[i] = ts - back
		} else {
			millis[i] = g.c.Start
		}
		if special {
			g.mark(e, i, ts, mix(c^golden))
		}
	}
}

// base is the usual temperature of a device in hundredths: 15.00 to 24.99. The
// readings of a device scatter around it by a triangle of 2 degrees either way.
func (g *Generator) base(d uint64) int32 {
	return 1500 + int32(below(mix(d*golden^g.key), 1000))
}

// mark makes event i late or an anomaly if r says so; ts is its schedule.
func (g *Generator) mark(e *Events, i int, ts int64, r uint64) {
	if r&0xFFFFFFFF < g.late {
		e.Marks[i] |= Late
		e.Millis[i] = ts - int64(g.disorder) - 1 - int64(below(mix(r^golden), g.lateBy))
	}
	if r>>32 < g.anomaly {
		e.Marks[i] |= Anomaly
		if mix(r)&1 == 0 {
			e.Temperature[i] += g.off
		} else {
			e.Temperature[i] -= g.off
		}
	}
}

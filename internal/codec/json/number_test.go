package json

import (
	"math"
	"math/big"
	"math/rand/v2"
	"strconv"
	"testing"

	"github.com/gorge-stream/gorge/internal/codec"
)

func TestQuotientIsTheNearestFloat(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for i := range often(300_000) {
		mant := r.Uint64N(1e19) >> r.IntN(64)
		if i%3 == 0 { // near halfway between two floats
			mant = uint64(float64(1<<53+r.Uint64N(1<<53)))<<1 | 1
			mant <<= r.IntN(9)
		}
		frac := r.IntN(20)
		if mant >= 1e19 {
			continue
		}
		text := strconv.FormatUint(mant, 10) + "e-" + strconv.Itoa(frac)
		want, _ := strconv.ParseFloat(text, 64)
		if got := quotient(mant, frac); got != want {
			t.Fatalf("%s: got %v, want %v", text, got, want)
		}
	}
}

func TestFloatsAreReadLikeStrconv(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	p := newParser(nil, codec.Limits{})
	for i := range often(300_000) {
		var text string
		switch i % 4 {
		case 0:
			text = strconv.FormatFloat(math.Float64frombits(r.Uint64()), 'g', -1, 64)
		case 1:
			text = strconv.FormatFloat(r.NormFloat64()*1000, 'f', r.IntN(25), 64)
		case 2:
			text = strconv.FormatFloat(float64(math.Float32frombits(r.Uint32())), 'e', r.IntN(12), 64)
		case 3: // halfway between two float32, and near that
			f := math.Float32frombits(r.Uint32() &^ (1 << 30)) // below 2
			text = new(big.Float).SetFloat64((float64(f)+float64(math.Nextafter32(f, 0)))/2).Text('f', 40)
		}
		if text == "NaN" || text[len(text)-1] == 'f' {
			continue
		}
		var d decimal
		if end := p.number([]byte(text), 0, &d); end != len(text) {
			t.Fatalf("%s: ends at %d", text, end)
		}
		got, ok := d.float64([]byte(text))
		want, err := strconv.ParseFloat(text, 64)
		if ok != (err == nil) || math.Float64bits(got) != math.Float64bits(want) {
			t.Fatalf("%s: got %v %v, want %v %v", text, got, ok, want, err)
		}
		got32, ok := d.float32([]byte(text))
		want, err = strconv.ParseFloat(text, 32)
		if ok != (err == nil) || math.Float32bits(got32) != math.Float32bits(float32(want)) {
			t.Fatalf("%s as float32: got %v %v, want %v %v", text, got32, ok, want, err)
		}
	}
}

func TestScaledIsExact(t *testing.T) {
	p := newParser(nil, codec.Limits{})
	for _, c := range []struct {
		text  string
		scale int
		want  int64
		whole whole
	}{
		{"0", 0, 0, isWhole},
		{"-0", 0, 0, isWhole},
		{"-0.000", 3, 0, isWhole},
		{"0e99999999999999999999", 0, 0, isWhole},
		{"7.0", 0, 7, isWhole},
		{"0.7e1", 0, 7, isWhole},
		{"70000000000000000000000e-22", 0, 7, isWhole},
		{"7.000000000000000000000000000000", 0, 7, isWhole},
		{"7.000000000000000000000000000001", 0, 7, isBroken},
		{"-7.000000000000000000000000000001", 0, -8, isBroken},
		{"1.5", 0, 1, isBroken},
		{"-1.5", 0, -2, isBroken},
		{"1e-30", 0, 0, isBroken},
		{"-1e-30", 0, -1, isBroken},
		{"-1e-99999999999999999999", 0, -1, isBroken},
		{"9223372036854775807", 0, math.MaxInt64, isWhole},
		{"9223372036854775807.5", 0, math.MaxInt64, isBroken},
		{"9223372036854775808", 0, 0, isHuge},
		{"-9223372036854775808", 0, math.MinInt64, isWhole},
		{"-9223372036854775808.5", 0, 0, isHuge},
		{"-9223372036854775809", 0, 0, isHuge},
		{"922337203685477580700e-2", 0, math.MaxInt64, isWhole},
		{"18446744073709551616", 0, 0, isHuge},
		{"1e19", 0, 0, isHuge},
		{"1e18", 0, 1e18, isWhole},
		{"1e18", 3, 0, isHuge},
		{"99999999999999999999999999", -10, 9999999999999999, isBroken},
		{"1e99999999999999999999", 0, 0, isHuge},
		{"1.7601234567891e9", 6, 1760123456789100, isWhole},
		{"1760123456.7891234", 6, 1760123456789123, isBroken},
		{"-1", -3, -1, isBroken},
		{"-1000", -3, -1, isWhole},
		{"1999", -3, 1, isBroken},
	} {
		var d decimal
		if end := p.number([]byte(c.text), 0, &d); end != len(c.text) {
			t.Fatalf("%s: ends at %d", c.text, end)
		}
		got, w := d.scaled(c.scale)
		if w != c.whole || w != isHuge && got != c.want {
			t.Errorf("%s * 10^%d: got %d %d, want %d %d", c.text, c.scale, got, w, c.want, c.whole)
		}
	}
}

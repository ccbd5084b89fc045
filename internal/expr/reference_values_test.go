package expr

import (
	"fmt"
	"math"
	"math/big"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// The functions of texts, times and conversions of the reference.

func textFunction(name, s string, rest []any) any {
	text := func(i int) string { return rest[i].(string) }
	switch name {
	case "length":
		return int64(utf8.RuneCountInString(s))
	case "lower":
		return strings.ToLower(s)
	case "upper":
		return strings.ToUpper(s)
	case "trim":
		return strings.TrimSpace(s)
	case "+", "concat":
		for i := range rest {
			s += text(i)
		}
		return s
	case "contains":
		return strings.Contains(s, text(0))
	case "starts_with":
		return strings.HasPrefix(s, text(0))
	case "ends_with":
		return strings.HasSuffix(s, text(0))
	case "matches":
		return regexp.MustCompile(text(0)).MatchString(s)
	case "replace":
		if text(0) == "" {
			return s
		}
		return strings.ReplaceAll(s, text(0), text(1))
	case "split_part":
		return part(s, text(0), rest[1].(int64))
	case "substring":
		return cut(s, rest)
	}
	panic("reference: text " + name)
}

func part(s, separator string, n int64) any {
	if separator == "" {
		return nil
	}
	parts := strings.Split(s, separator)
	if n < 0 {
		n += int64(len(parts)) + 1
	}
	if n < 1 || n > int64(len(parts)) {
		return nil
	}
	return parts[n-1]
}

func cut(s string, rest []any) any {
	var out []rune
	runes := []rune(s)
	start := big.NewInt(rest[0].(int64))
	if start.Sign() == 0 {
		return nil
	}
	if start.Sign() < 0 {
		start.Add(start, big.NewInt(int64(len(runes)+1)))
	}
	end := new(big.Int).Add(start, big.NewInt(math.MaxInt64))
	if len(rest) > 1 {
		if rest[1].(int64) < 0 {
			return nil
		}
		end.Add(start, big.NewInt(rest[1].(int64)))
	}
	for i, r := range runes {
		at := big.NewInt(int64(i + 1))
		if at.Cmp(start) >= 0 && at.Cmp(end) < 0 {
			out = append(out, r)
		}
	}
	return string(out)
}

func timeFunction(name string, args []any) any {
	switch name {
	case "date_trunc":
		return truncated(args[1].(instant), args[0].(string))
	case "duration":
		d, err := time.ParseDuration(args[0].(string))
		if err != nil {
			panic(err)
		}
		return d.Microseconds()
	case "truncate":
		return truncated(args[0].(instant), args[1].(string))
	case "+", "-":
		y, moment := args[1].(instant)
		if !moment {
			y = instant(args[1].(int64))
		}
		v := intFunction(name, int64(args[0].(instant)), []any{nil, int64(y)})
		if i, ok := v.(int64); ok && !moment {
			return instant(i)
		}
		return v
	}
	t := args[0].(instant)
	at := time.UnixMicro(int64(t)).UTC()
	switch name {
	case "year":
		return int64(at.Year())
	case "month":
		return int64(at.Month())
	case "day":
		return int64(at.Day())
	case "hour":
		return int64(at.Hour())
	case "minute":
		return int64(at.Minute())
	case "second":
		return int64(at.Second())
	case "weekday":
		if at.Weekday() == time.Sunday {
			return int64(7)
		}
		return int64(at.Weekday())
	case "epoch_ms":
		return at.UnixMilli()
	}
	panic("reference: time " + name)
}

func truncated(t instant, unit string) any {
	at := time.UnixMicro(int64(t)).UTC()
	day := time.Date(at.Year(), at.Month(), at.Day(), 0, 0, 0, 0, time.UTC)
	switch unit {
	case "second", "minute", "hour":
		unit = "1" + unit[:1]
	case "day":
		return micros(day)
	case "week":
		return micros(day.AddDate(0, 0, -(int(day.Weekday())+6)%7))
	case "month":
		return micros(time.Date(at.Year(), at.Month(), 1, 0, 0, 0, 0, time.UTC))
	case "quarter":
		return micros(time.Date(at.Year(), (at.Month()-1)/3*3+1, 1, 0, 0, 0, 0, time.UTC))
	case "year":
		return micros(time.Date(at.Year(), 1, 1, 0, 0, 0, 0, time.UTC))
	}
	d, err := time.ParseDuration(unit)
	if err != nil {
		panic(err)
	}
	x, size := big.NewInt(int64(t)), big.NewInt(d.Microseconds())
	x.Sub(x, new(big.Int).Mod(x, size)) // Mod is Euclidean
	if v := fit(x); v != nil {
		return instant(v.(int64))
	}
	return nil
}

// micros returns a moment as a timestamp, nil when it is outside of time.
func micros(t time.Time) any {
	x := new(big.Int).Mul(big.NewInt(t.Unix()), big.NewInt(1_000_000))
	if v := fit(x.Add(x, big.NewInt(int64(t.Nanosecond()/1000)))); v != nil {
		return instant(v.(int64))
	}
	return nil
}

func cast(name string, v any) any {
	switch name {
	case "int":
		return castInt(v)
	case "float":
		return castFloat(v)
	case "string":
		return castString(v)
	case "bool":
		switch v := v.(type) {
		case int64:
			return v != 0
		case float64:
			if math.IsNaN(v) {
				return nil
			}
			return v != 0
		case string:
			if v != "true" && v != "false" {
				return nil
			}
			return v == "true"
		}
		return v
	}
	switch v := v.(type) {
	case int64:
		return instant(v)
	case string:
		return parseMoment(v)
	}
	return v
}

func castInt(v any) any {
	switch v := v.(type) {
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return nil
		}
		i, _ := big.NewFloat(v).Int(nil)
		return fit(i)
	case string:
		i, err := strconv.ParseInt(v, 10, 64)
		if err != nil {
			return nil
		}
		return i
	case bool:
		if v {
			return int64(1)
		}
		return int64(0)
	case instant:
		return int64(v)
	}
	return v
}

var floatText = regexp.MustCompile(`^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$|^(?i:[+-]?(inf|infinity)|nan)$`)

func castFloat(v any) any {
	switch v := v.(type) {
	case int64:
		return float64(v)
	case bool:
		return map[bool]float64{true: 1}[v]
	case string:
		f, err := strconv.ParseFloat(v, 64)
		if err != nil || !floatText.MatchString(v) {
			return nil
		}
		return f
	}
	return v
}

func castString(v any) any {
	switch v := v.(type) {
	case float64:
		if a := math.Abs(v); a != 0 && (a < 1e-6 || a >= 1e21) {
			return strconv.FormatFloat(v, 'e', -1, 64)
		}
		return strconv.FormatFloat(v, 'f', -1, 64)
	case instant:
		t := time.UnixMicro(int64(v)).UTC()
		rest := t.Format("-01-02T15:04:05.999999Z")
		switch {
		case t.Year() > 9999 || t.Year() < 0:
			return fmt.Sprintf("%+07d", t.Year()) + rest
		default:
			return fmt.Sprintf("%04d", t.Year()) + rest
		}
	}
	return fmt.Sprint(v)
}

var momentText = regexp.MustCompile(`^(\d{4}|[+-]\d{6})-(\d\d)-(\d\d)(?:[Tt ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d+))?)?([Zz]|[+-]\d\d:?\d\d)?)?$`)

func parseMoment(s string) any {
	m := momentText.FindStringSubmatch(s)
	if m == nil {
		return nil
	}
	var f [8]int
	for i := 1; i <= 6; i++ {
		f[i], _ = strconv.Atoi(m[i])
	}
	nanos, _ := strconv.Atoi((m[7] + "000000")[:6] + "000")
	t := time.Date(f[1], time.Month(f[2]), f[3], f[4], f[5], f[6], nanos, time.UTC)
	if int(t.Month()) != f[2] || t.Day() != f[3] || t.Hour() != f[4] || t.Minute() != f[5] || t.Second() != f[6] {
		return nil
	}
	if zone := strings.ReplaceAll(m[8], ":", ""); len(zone) == 5 {
		n, _ := strconv.Atoi(zone[1:])
		if n/100 > 23 || n%100 > 59 {
			return nil
		}
		d := time.Duration(n/100)*time.Hour + time.Duration(n%100)*time.Minute
		if zone[0] == '+' {
			d = -d
		}
		t = t.Add(d)
	}
	return micros(t)
}

//go:build !noasm

package json

import "golang.org/x/sys/cpu"

func stage1Variants() map[string]func(p *byte, n int, nl *uint64) bool {
	v := map[string]func(p *byte, n int, nl *uint64) bool{"go": stage1Go, "sse2": stage1SSE2}
	if cpu.X86.HasAVX2 {
		v["avx2"] = stage1AVX2
	}
	return v
}

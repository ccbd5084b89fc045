//go:build !noasm

package json

import "golang.org/x/sys/cpu"

// stage1AVX2 is stage1 for processors with AVX2. n must be positive.
//
//go:noescape
func stage1AVX2(p *byte, n int, nl *uint64) (unclean bool)

// stage1SSE2 is stage1 for every amd64 processor. n must be positive.
//
//go:noescape
func stage1SSE2(p *byte, n int, nl *uint64) (unclean bool)

func bestStage1() func(p *byte, n int, nl *uint64) bool {
	if cpu.X86.HasAVX2 {
		return stage1AVX2
	}
	return stage1SSE2
}

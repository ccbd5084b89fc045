//go:build !amd64 || noasm

package json

func bestStage1() func(p *byte, n int, nl *uint64) bool { return stage1Go }

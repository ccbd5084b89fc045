//go:build !amd64 || noasm

package json

func stage1Variants() map[string]func(p *byte, n int, nl *uint64) bool {
	return map[string]func(p *byte, n int, nl *uint64) bool{"go": stage1Go}
}

//go:build !race

package disk

const race, scale = false, 1

// Package docs runs what the documentation says: blocks of YAML are checked, and
// blocks of shell are run, with the real binary.
//
// A page is one session in a folder of its own. Marks stand behind the language
// of a block:
//
//	python file=NAME  written to NAME before anything else, in any language
//	yaml check=NAME   written to NAME, must pass gorge check
//	sh run            given to sh, which must end with 0
//	text output       each line must be in what the last sh block printed
//
// Blocks without a mark are for reading only.
package docs

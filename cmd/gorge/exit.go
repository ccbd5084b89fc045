package main

import (
	"errors"
	"fmt"
)

// The exit codes; docs/reference/cli.md explains them.
const (
	exitDone    = 0
	exitFailed  = 1
	exitUsage   = 2
	exitRefused = 3
)

// exitError is an error with the exit code that it means.
type exitError struct {
	code int
	err  error // nil: everything has been said
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// refused marks an error as found by the check of a pipeline.
func refused(err error) error { return &exitError{exitRefused, err} }

// usage marks an error as a wrong command line.
func usage(err error) error { return &exitError{exitUsage, err} }

// failed marks an error as the end of a run, unless it is marked as something else.
func failed(err error) error {
	var e *exitError
	if errors.As(err, &e) {
		return err
	}
	return &exitError{exitFailed, err}
}

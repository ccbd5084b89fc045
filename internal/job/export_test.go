package job

// InspectBytes sets how much stored state is looked at together, and returns what sets it back.
func InspectBytes(n int64) (restore func()) {
	before := inspectBytes
	inspectBytes = n
	return func() { inspectBytes = before }
}

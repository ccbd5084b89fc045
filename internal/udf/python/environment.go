package python

import "strings"

// passed are the variables of the engine's environment that a worker sees.
// Everything else stays behind: passwords, tokens and keys of sources and sinks
// are none of a function's business. A function gets settings of its own in
// variables that begin with UDF_.
var passed = map[string]bool{
	"PATH": true, "HOME": true, "USER": true, "LOGNAME": true, "TZ": true, "TMPDIR": true,
	"LANG": true, "LANGUAGE": true,
	"VIRTUAL_ENV": true, "CONDA_PREFIX": true, "PYTHONPATH": true, "LD_LIBRARY_PATH": true,
	"SSL_CERT_FILE": true, "SSL_CERT_DIR": true,
	"CUDA_VISIBLE_DEVICES": true, "OMP_NUM_THREADS": true, "OPENBLAS_NUM_THREADS": true, "MKL_NUM_THREADS": true,
}

// environment returns what of env a worker sees.
func environment(env []string) []string {
	out := []string{
		"PYTHONHASHSEED=0", // sets in the same order after a restart
		"PYTHONUTF8=1",     // whatever the locale says
	}
	for _, e := range env {
		name, _, ok := strings.Cut(e, "=")
		if ok && (passed[name] || strings.HasPrefix(name, "LC_") || strings.HasPrefix(name, "UDF_")) {
			out = append(out, e)
		}
	}
	return out
}

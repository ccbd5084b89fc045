#!/bin/sh
# python.sh: prints the CPython that the project uses: $PYTHON, or the first of python3, python3.14 ... python3.11 that fits.
set -eu

fits() {
	command -v "$1" >/dev/null 2>&1 &&
		"$1" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11) or sys.implementation.name != "cpython")' >/dev/null 2>&1
}

for candidate in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11}; do
	if fits "$candidate"; then
		command -v "$candidate"
		exit 0
	fi
done
cat >&2 <<MESSAGE
no CPython >= 3.11 with the modules venv and ensurepip was found (looked at: ${PYTHON:-python3, python3.14 ... python3.11})
hint: install one (Debian, Ubuntu: apt-get install python3 python3-venv), or name it: make PYTHON=/path/to/python3 ...
MESSAGE
exit 1

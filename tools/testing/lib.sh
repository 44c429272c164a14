# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# Sourced by the host test suites: TAP printing, where things are, scratch space.
# A suite calls `tap_begin`, any number of `ok`/`not_ok`/`skip`, then `tap_end`.

set -u
export LC_ALL=C

VD_TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
VD_BUILD=${VD_BUILD:-$VD_TOP/build}
VDCTL=${VDCTL:-$VD_BUILD/vdctl}

# The only place that knows where the corpus may lie.
if [ -z "${VDISK_CORPUS:-}" ] && [ -f "$VD_TOP/../shared/corpus/MANIFEST.tsv" ]; then
	VDISK_CORPUS=$(cd "$VD_TOP/../shared/corpus" && pwd)
fi
export VDISK_CORPUS=${VDISK_CORPUS:-}

TAP_N=0
TAP_FAILED=0

tap_begin() {
	echo "TAP version 13"
}

ok() {
	TAP_N=$((TAP_N + 1))
	echo "ok $TAP_N - ${1//#/ }"
}

# not_ok NAME [DETAIL...]: details are shown as diagnostics.
not_ok() {
	local name=$1 line
	shift
	TAP_N=$((TAP_N + 1))
	TAP_FAILED=$((TAP_FAILED + 1))
	echo "not ok $TAP_N - ${name//#/ }"
	while [ $# -gt 0 ]; do
		while IFS= read -r line; do
			echo "# $line"
		done <<<"$1"
		shift
	done
}

skip() {
	TAP_N=$((TAP_N + 1))
	echo "ok $TAP_N - ${1//#/ } # SKIP ${2:-no reason given}"
}

# check NAME CONDITION-STATUS [DETAIL...]
check() {
	local name=$1 status=$2
	shift 2
	if [ "$status" -eq 0 ]; then ok "$name"; else not_ok "$name" "$@"; fi
}

# same NAME GOT WANT [DETAIL]
same() {
	if [ "$2" = "$3" ]; then
		ok "$1"
	else
		not_ok "$1" "got:  $2" "want: $3" "${@:4}"
	fi
}

# The plan comes last; the exit status says whether something failed.
tap_end() {
	echo "1..$TAP_N"
	[ "$TAP_FAILED" -eq 0 ]
}

# scratch NAME: an empty directory under build/ that is ours alone, printed.
# Two runs at once do not meet; what dead runs left is swept.
scratch() {
	local dir=$VD_BUILD/scratch/$1.$$ old

	for old in "$VD_BUILD/scratch/$1".*; do
		[ -d "$old" ] && ! kill -0 "${old##*.}" 2>/dev/null && rm -rf "$old"
	done
	rm -rf "$dir"
	mkdir -p "$dir"
	echo "$dir"
}

# Is it "make check", which keeps some of what is alike for "make check-full"?
brief() {
	[ -n "${VDISK_BRIEF:-}" ]
}

have() {
	command -v "$1" >/dev/null 2>&1
}

sha() {
	sha256sum "$1" | cut -d ' ' -f 1
}

# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash disable=SC2154
# bash completion: values of options that may do without one. Sourced by run.

# completes WORD... : what is offered for the last of these words
completes() {
	(
		# shellcheck source=/dev/null
		. "$VD_TOP/completions/vdctl.bash"
		COMP_WORDS=("$VDCTL" "$@")
		COMP_CWORD=$#
		_vdctl
		echo "${COMPREPLY[*]}"
	)
}

cd "$work" || exit 1
touch file
same "completion: --drop-cbt=" "$(completes attach --drop-cbt =)" "delete"
same "completion: --drop-cbt=d" "$(completes attach --drop-cbt = d)" "delete"
same "completion: --repair=" "$(completes check --repair =)" "merge all"
same "completion: --repair=m" "$(completes check --repair = m)" "merge"
same "completion: --repair, and then a file" "$(completes check --repair fil)" "file"
same "completion: --drop-cbt, and then a file" "$(completes attach --drop-cbt fil)" "file"
same "completion: --lock=" "$(completes attach --lock =)" "yes no"
same "completion: --lock" "$(completes attach --lock "")" "yes no"
same "completion: set --uuid=" "$(completes set --uuid =)" "new"
same "completion: set --uuid, and then a file" "$(completes set --uuid fil)" "file"
same "completion: create --uuid takes what follows" "$(completes create --uuid fil)" ""
same "completion: set --comment takes what follows" "$(completes set --comment fil)" ""
same "completion: set: a file" "$(completes set fil)" "file"
cd "$VD_TOP" || exit 1

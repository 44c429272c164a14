# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash disable=SC2154
# Real images: each VMDK, VDI and raw row of the manifest, and what expected.tsv says
# of those without a hash. Sourced by run.

# Not in the scratch directory: unpacking is slow, and the files never change.
corpus=$VD_BUILD/corpus

expected_row() {
	awk -F '\t' -v p="$1" '$1 == p { print $2 "\t" $3; exit }' "$here/expected.tsv"
}

stats() {
	(cd "$corpus" && find . -type f -printf '%p %s %T@ %C@ %m\n' | sort)
}

# One row: path, format, hash of the manifest ("-" if none)
corpus_row() {
	local path=$1 format=$2 hash=$3 verdict value name="corpus: $1" args=()

	[ "$format" != raw ] || args=(-f raw)
	IFS=$'\t' read -r verdict value <<<"$(expected_row "$path")"
	case $verdict in
	"")
		if [ "$hash" = - ]; then
			not_ok "$name" "no hash in the manifest, no row in expected.tsv"
		else
			cat_is "$name" "$hash" "${args[@]}" "$corpus/$path"
		fi
		;;
	sha256)
		[ "$hash" = - ] || [ "$hash" = "$value" ] ||
			echo "# $path: expected.tsv overrides the manifest's hash $hash"
		cat_is "$name" "$value" "${args[@]}" "$corpus/$path"
		;;
	refused)
		refused "$name is refused" "${value%%:*}" "${value#*:}" cat "$corpus/$path"
		;;
	bytes)
		cat_is "$name" "$(head -c "${value%:*}" /dev/zero | tr '\0' "${value#*:}" | disk sha)" \
			--length "${value%:*}" "$corpus/$path"
		;;
	raw)
		cat_is "$name" "$(sha "$corpus/$path")" "$corpus/$path"
		;;
	parts)
		local hash_of_all=${value%% *} parts=()
		for part_name in ${value#* }; do
			parts+=("$corpus/$part_name")
		done
		cat_is "$name" "$hash_of_all" -f raw "${parts[@]}"
		;;
	qemu)
		local got
		if ! qemu-img convert -O raw "$corpus/$path" "$work/oracle.raw"; then
			not_ok "$name" "qemu-img cannot read it"
			return
		fi
		got=$(disk compare "$VDCTL" "$corpus/$path" "$work/oracle.raw")
		same "$name equals qemu-img convert" "$got" ok
		rm -f "$work/oracle.raw"
		;;
	*)
		not_ok "$name" "expected.tsv: unknown verdict '$verdict'"
		;;
	esac
}

# VirtualBox writes neither hint nor parentCID into a VMDK, and a VDI has no place for
# a name: only a UUID leads to the parent.
corpus_virtualbox_chain() { # DIRECTORY EXTENSION STRANGER
	local dir=$corpus/virtualbox-vd/$1 ext=$2 alone=$work/alone what="virtualbox $2" hash

	hash=$(awk -F '\t' -v p="virtualbox-vd/$1/diff2.$ext" '$1 == p { print $7 }' \
		"$VDISK_CORPUS/MANIFEST.tsv")
	mkdir -p "$alone"
	cp "$dir/diff1.$ext" "$work"
	cp "$dir/diff2.$ext" "$alone"
	refused "corpus: $what delta without its parents" 3 "parent" cat "$alone/diff2.$ext"
	# Each --parent is for the next level that is missing.
	cat_is "corpus: $what chain, first parent given" "$hash" \
		--parent "$dir/diff1.$ext" "$alone/diff2.$ext"
	cat_is "corpus: $what chain, both parents given" "$hash" \
		--parent "$work/diff1.$ext" --parent "$dir/base.$ext" "$alone/diff2.$ext"
	# A parent of the same chain, but not this one's: its UUID tells.
	refused "corpus: $what delta over a wrong parent" 5 "uuid|parent" \
		cat --parent "$dir/base.$ext" "$alone/diff2.$ext"
	# The base of another disk.
	refused "corpus: $what delta over a stranger" 5 "uuid|parent" \
		cat --parent "$corpus/virtualbox-vd/$3" "$work/diff1.$ext"
}

run_corpus() {
	local rows before path format hash

	rows=$(awk -F '\t' '
		FNR == NR { if ($0 !~ /^#/) listed[$1] = 1; next }
		FNR > 1 && ($2 ~ /^(vmdk|vmdk-extent|vdi|raw)$/ || $1 in listed) { print $1 "\t" $2 "\t" $7 }
		' "$here/expected.tsv" "$VDISK_CORPUS/MANIFEST.tsv")
	mkdir -p "$corpus"
	# shellcheck disable=SC2046
	flock "$corpus/.lock" "$VDISK_CORPUS/unpack" "$corpus" $(cut -f 1 <<<"$rows")
	! brief || rows=$(awk 'NR % 3 == 0' <<<"$rows")
	before=$(stats)
	while IFS=$'\t' read -r path format hash; do
		corpus_row "$path" "$format" "$hash"
	done <<<"$rows"
	corpus_virtualbox_chain vmdk-sparse vmdk vmdk-split/base.vmdk
	corpus_virtualbox_chain vdi-dynamic vdi vdi-fixed/base.vdi
	while IFS=$'\t' read -r path _; do
		"$VDCTL" info "$corpus/$path" >/dev/null 2>&1
		"$VDCTL" info -J --chain "$corpus/$path" >/dev/null 2>&1
		"$VDCTL" probe "$corpus/$path" >/dev/null 2>&1
	done <<<"$rows"
	same "corpus: nothing was changed, not even a time stamp" "$(stats)" "$before"
}

if [ -z "$VDISK_CORPUS" ] || [ ! -f "$VDISK_CORPUS/MANIFEST.tsv" ]; then
	skip "corpus" "no corpus: VDISK_CORPUS names no directory with a MANIFEST.tsv"
else
	run_corpus
fi

# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash disable=SC2154
# What README.md and formats.rst promise, what the backends declare, and what happens
# with an image of each kind. Sourced by run.

su=$(scratch interop-support)

su_declared() { # FORMAT SUBFORMAT
	python3 "$here/support.py" declared "$VDCTL" "$@"
}

su_yes() { # WORD WORDS
	[[ " $2 " == *" $1 "* ]] && echo yes || echo no
}

# An image is what its kind is declared to be.
su_kind() { # FORMAT SUBFORMAT CREATED FILE [ARG...]
	local format=$1 sub=$2 created=$3 file=$4 words
	shift 4
	words=$(su_declared "$format" "$sub")
	vd info -J "$file"
	same "support: $format $sub: is what it is called" \
		"$rc $(jq -r '.format + " " + (.subformat // .format)' "$work/out")" "0 $format $sub" "$err"
	same "support: $format $sub: created" "$created" "$(su_yes create "$words")"
	vd attach --dry-run -J "$@" "$file"
	same "support: $format $sub: writable" "$rc $(jq -r .writable "$work/out")" \
		"0 $(su_yes write "$words" | sed 's/yes/true/; s/no/false/')" "$err"
	vd check "$file"
	same "support: $format $sub: checked" "$([ "$rc" = 63 ] && echo no || echo yes)" \
		"$(su_yes check "$words")" "$err"
	su_seen="$su_seen $format:$sub"
}

python3 "$here/support.py" check "$VDCTL" >"$work/tables"
while read -r verdict name; do
	case $verdict in
	ok) ok "$name" ;;
	not) not_ok "${name#ok }" "$(grep '^#' "$work/tables")" ;;
	esac
done < <(grep -v '^#' "$work/tables")

su_seen=
su_one() { # FORMAT SUBFORMAT NAME CREATE-ARG...
	local format=$1 sub=$2 name=$3
	shift 3
	vd create "$@" "$su/$name" 1M
	same "support: create $sub" "$rc" 0 "$err"
	if [ "$format" = raw ]; then
		su_kind raw raw yes "$su/$name" -f raw
	else
		su_kind "$format" "$sub" yes "$su/$name"
	fi
}

su_one raw raw a.img
su_one vmdk monolithicSparse sparse.vmdk
su_one vmdk twoGbMaxExtentSparse split.vmdk --type split
su_one vmdk monolithicFlat flat.vmdk --type flat
su_one vmdk twoGbMaxExtentFlat splitflat.vmdk --type splitflat
su_one vmdk vmfs esx.vmdk --type esx
mkdir "$su/delta"
vd create --type esx "$su/delta/base.vmdk" 1M
vd create -q --type esxsparse -b "$su/delta/base.vmdk" "$su/delta/cowd.vmdk"
su_kind vmdk vmfsSparse yes "$su/delta/cowd.vmdk"
su_one vdi dynamic dynamic.vdi
su_one vdi fixed fixed.vdi --type fixed
mkdir "$su/diff"
vd create "$su/diff/base.vdi" 2M
vd create -q -b "$su/diff/base.vdi" "$su/diff/diff.vdi"
su_kind vdi differencing yes "$su/diff/diff.vdi" --parent "$su/diff/base.vdi"

qemu-img convert -f raw -O vmdk -o subformat=streamOptimized "$su/a.img" "$su/stream.vmdk"
su_kind vmdk streamOptimized no "$su/stream.vmdk"
for su_type in vmfsThin vmfsThick vmfsPreallocated vmfsEagerZeroedThick custom; do
	sed "s/createType=\"vmfs\"/createType=\"$su_type\"/" "$su/esx.vmdk" >"$su/$su_type.vmdk"
	su_kind vmdk "$su_type" no "$su/$su_type.vmdk"
done
python3 "$here/vdi.py" make "$su/undo.vdi" map=0,f type=3 data=1
su_kind vdi undo no "$su/undo.vdi"

# Every name that is declared has been seen, but those that nobody here can make.
same "support: no kind was left out" \
	"$(vd formats -J; jq -r '.formats[] | .name as $n | .images[].subformats // "" | split(" ")[] |
		"\($n):\(.)"' "$work/out" | grep -v '^vmdk:\(sparse\|seSparse\|vmfsSeSparse\)$' | sort | xargs)" \
	"$(tr ' ' '\n' <<<"$su_seen" | grep . | sort | xargs)"

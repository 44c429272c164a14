# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash disable=SC2154
# vdctl check beside qemu-img check: sound images, damaged ones, repaired ones.
# Sourced by run.

ck=$(scratch interop-check)
ck_size=$((5 * 1048576 + 512))

# checked NAME STATUS ARG...: exit status of `vdctl check ARG...`
checked() {
	local name=$1 want=$2
	shift 2
	vd check "$@"
	same "check: $name" "$rc" "$want" "$err" "$(cat "$work/out")"
}

# qemu_says NAME STATUS IMAGE
qemu_says() {
	qemu-img check -q -f vmdk "$3" >"$work/qemu" 2>&1
	same "check: $1: qemu-img" $? "$2" "$(cat "$work/qemu")"
}

# A fresh image with every grain in use.
ck_fresh() {
	qemu-img convert -q -f raw -O vmdk -o "subformat=${2:-monolithicSparse}" "$ck/src.raw" "$ck/$1"
}

state_of() {
	sha "$1"
	stat -c '%s %Y %y %z' "$1"
}

# untouched NAME FILE STATUS ARG...: the file is the same to the nanosecond
untouched() {
	local name=$1 file=$2 want=$3 before
	shift 3
	before=$(state_of "$file")
	checked "$name" "$want" "$@"
	same "check: $name: nothing is written" "$(state_of "$file")" "$before"
}

ck_sound() {
	local subformat size seed=1

	for size in 512 $((3 * 65536 - 512)) $((40 * 1048576 + 7 * 512)); do
		disk make "$ck/s.raw" "$size" "check$seed"
		seed=$((seed + 1))
		for subformat in monolithicSparse monolithicFlat twoGbMaxExtentSparse \
			twoGbMaxExtentFlat streamOptimized; do
			qemu-img convert -q -f raw -O vmdk -o subformat=$subformat "$ck/s.raw" \
				"$ck/s-$subformat.vmdk"
			untouched "$subformat, $size bytes" "$ck/s-$subformat.vmdk" 0 --repair \
				"$ck/s-$subformat.vmdk"
			case $subformat in
			*Flat) ;;	# qemu-img cannot check them
			*) qemu_says "$subformat, $size bytes" 0 "$ck/s-$subformat.vmdk" ;;
			esac
		done
	done
	rm -f "$ck"/s[.-]*
}

# Both programs see it, and after a repair neither does.
ck_past_the_end() {
	local img=$ck/far.vmdk

	ck_fresh far.vmdk
	cp "$ck/src.raw" "$ck/far.raw"
	disk entry "$img" both 7 0x7fffff00
	qemu_says "entry past the end" 1 "$img"	# it gives up there
	untouched "entry past the end" "$img" 2 "$img"
	untouched "entry past the end, --repair -n" "$img" 2 --repair -n "$img"
	untouched "entry past the end, --repair=merge" "$img" 2 --repair=merge "$img"
	# The place of the lost grain is nobody's now: leaked space only.
	checked "entry past the end, --repair" 3 --repair "$img"
	checked "entry past the end, repaired" 3 "$img"
	qemu_says "entry past the end, repaired" 0 "$img"
	qemu-io -f raw -c "write -z $((7 * 65536)) 64k" "$ck/far.raw" >/dev/null
	cat_is "check: entry past the end, repaired: the rest is there" "$(sha "$ck/far.raw")" "$img"
}

# qemu-img looks at one copy of the tables, so some of this is clean to it.
ck_copies() {
	local img=$ck/copy.vmdk before

	ck_fresh copy.vmdk
	disk entry "$img" 0 3 0
	disk entry "$img" 1 20 0
	printf '\1' | dd of="$img" bs=1 seek=72 conv=notrunc status=none
	untouched "copies differ" "$img" 2 "$img"
	checked "copies differ, --repair=merge" 0 --repair=merge "$img"
	cat_is "check: copies differ, merged" "$(sha "$ck/src.raw")" "$img"
	qemu_says "copies differ, merged" 0 "$img"
	same "check: merged: as it was written" "$(sha "$img")" "$(
		ck_fresh copy2.vmdk
		# Its content ID is random.
		dd if="$img" of="$ck/copy2.vmdk" bs=512 skip=1 seek=1 count=20 conv=notrunc status=none
		sha "$ck/copy2.vmdk")"

	disk entry "$img" 1 4 "$(disk entry "$img" 0 5)"
	checked "two different grains" 2 "$img"
	checked "two different grains, --repair" 0 --repair "$img"
	cat_is "check: two different grains, repaired" "$(sha "$ck/src.raw")" "$img"

	disk entry "$img" both 5 "$(disk entry "$img" 0 4)"
	before=$("$VDCTL" cat "$img" | sha256sum)
	checked "a grain twice" 2 "$img"
	checked "a grain twice, --repair" 3 --repair "$img"
	same "check: a grain twice, repaired: every byte reads as before" \
		"$("$VDCTL" cat "$img" | sha256sum)" "$before"
	qemu-io -f vmdk -c "write -P 1 $((5 * 65536)) 64k" "$img" >/dev/null
	same "check: a grain twice, repaired: a write changes one of them" \
		"$("$VDCTL" cat --offset $((4 * 65536)) --length 64K "$img" | sha256sum)" \
		"$(dd if="$ck/src.raw" bs=64K skip=4 count=1 status=none | sha256sum)"
	qemu_says "a grain twice, repaired" 0 "$img"
}

ck_directory() {
	local img=$ck/dir.vmdk gd rgd

	ck_fresh dir.vmdk
	gd=$(($(od -An -tu8 -j 56 -N 8 "$img") * 512))
	rgd=$(($(od -An -tu8 -j 48 -N 8 "$img") * 512))
	printf '\377\377\377\377' | dd of="$img" bs=1 seek="$gd" conv=notrunc status=none
	checked "directory past the end" 2 "$img"
	checked "directory past the end, --repair" 0 --repair "$img"
	cat_is "check: directory past the end, repaired" "$(sha "$ck/src.raw")" "$img"
	qemu_says "directory past the end, repaired" 0 "$img"
	printf '\0\0\0\0' | dd of="$img" bs=1 seek="$rgd" conv=notrunc status=none
	checked "redundant directory absent" 2 "$img"
	checked "redundant directory absent, --repair" 0 --repair "$img"
	cat_is "check: redundant directory absent, repaired" "$(sha "$ck/src.raw")" "$img"
}

ck_leaks() {
	local img=$ck/leak.vmdk

	ck_fresh leak.vmdk
	disk entry "$img" both 9 0
	untouched "leaked grain" "$img" 3 "$img"
	qemu_says "leaked grain" 0 "$img"
	vd check -J "$img"
	same "check: leaked grain: JSON" \
		"$(jq -c '[.schema, .leaks, ."leaked-bytes", .corruptions, ."check-errors",
			."total-clusters" - ."allocated-clusters", .extents[0].findings[0].kind]' \
			"$work/out")" '[1,1,65536,0,0,1,"leak"]'
}

ck_split() {
	local d=$ck/split

	mkdir "$d"
	qemu-img convert -q -f raw -O vmdk -o subformat=twoGbMaxExtentFlat "$ck/src.raw" "$d/f.vmdk"
	truncate -s -64K "$d/f-f001.vmdk"
	checked "flat extent too short" 2 "$d/f.vmdk"
	rm "$d/f-f001.vmdk"
	checked "flat extent missing" 1 "$d/f.vmdk"
	qemu-img convert -q -f raw -O vmdk -o subformat=twoGbMaxExtentSparse "$ck/src.raw" "$d/s.vmdk"
	sed -i "s/^RW $((ck_size / 512)) SPARSE/RW $((ck_size / 512 + 4096)) SPARSE/" "$d/s.vmdk"
	checked "sparse extent smaller than its line" 2 "$d/s.vmdk"
	untouched "sparse extent smaller than its line: nothing to repair" "$d/s-s001.vmdk" 2 \
		--repair "$d/s.vmdk"
}

ck_chain() {
	local base=$ck/base.vmdk child=$ck/child.vmdk

	ck_fresh base.vmdk
	qemu-img create -q -f vmdk -F vmdk -b base.vmdk "$child" >/dev/null
	checked "child" 0 "$child"
	disk entry "$base" both 3 0x7fffff00
	checked "child, damage is the parent's" 0 "$child"
	checked "child, --chain" 2 --chain "$child"
	vd check -J --chain "$child"
	same "check: --chain says which file" \
		"$(jq -r '.extents[] | select(.findings[0].kind == "corrupt") | .filename' "$work/out")" \
		"$(realpath "$base")"
	untouched "child, --chain --repair: it would read other" "$base" 1 --chain --repair "$child"
	checked "child, --chain --repair --ignore-children" 3 --chain --repair --ignore-children \
		"$child"
	checked "parent repaired: leaks" 3 "$base"
	checked "parent repaired: the child fits no more" 2 "$child"
	qemu-img create -q -f vmdk -F vmdk -b base.vmdk "$child" >/dev/null
	qemu-io -f vmdk -c 'write -P 9 0 512' "$base" >/dev/null
	checked "parent changed behind its child" 2 "$child"
	vd check -J "$child"
	check "check: parent changed behind its child: said" \
		"$(jq -r '.extents[].findings[].text' "$work/out" | grep -q CID; echo $?)"
	mv "$base" "$ck/elsewhere.vmdk"
	checked "parent missing" 0 "$child"
	checked "parent missing, --chain" 1 --chain "$child"
}

ck_codes() {
	checked "raw" 63 -f raw "$ck/src.raw"
	checked "no such file" 1 "$ck/nothing.vmdk"
	checked "no argument" 1
	checked "no such repair" 1 --repair=everything "$ck/src.raw"
	ck_fresh lock.vmdk
	disk entry "$ck/lock.vmdk" 0 3 0
	checked "-U is for looking" 1 -U --repair "$ck/lock.vmdk"
	hold_qemu_io -r -f vmdk "$ck/lock.vmdk"
	checked "open for reading elsewhere" 2 "$ck/lock.vmdk"
	untouched "open for reading elsewhere, --repair" "$ck/lock.vmdk" 1 --repair "$ck/lock.vmdk"
	release
	hold_qemu_io -f vmdk "$ck/lock.vmdk"
	checked "open for writing elsewhere" 1 "$ck/lock.vmdk"
	checked "open for writing elsewhere, -U" 2 -U "$ck/lock.vmdk"
	release
	mkdir "$ck/lock.vmdk.lck"
	touch "$ck/lock.vmdk.lck/M12345.lck"
	untouched "VMware has it" "$ck/lock.vmdk" 1 --repair "$ck/lock.vmdk"
	checked "VMware has it, --ignore-vmware-lock" 0 --repair --ignore-vmware-lock "$ck/lock.vmdk"
}

disk make "$ck/src.raw" "$ck_size" check || not_ok "check: the disk that all images are made of"
# Every grain in use: holes would only hide what is looked for.
dd if=/dev/urandom of="$ck/src.raw" bs=64K count=80 conv=notrunc status=none
ck_sound
ck_past_the_end
ck_copies
ck_directory
ck_leaks
ck_split
ck_chain
ck_codes
rm -rf "$ck"

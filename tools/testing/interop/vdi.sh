# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash disable=SC2154
# VDI: images that create makes, as QEMU and a reader of our own see them; check and
# repair; compact. Sourced by run.

vi=$(scratch interop-vdi)

vdi() {
	python3 "$here/vdi.py" "$@"
}

vi_same_disk() { # NAME RAW FILE...: from the top down
	local name=$1 raw=$2
	shift 2
	vdi read "$@" "$vi/read.raw"
	same "$name" "$(sha "$vi/read.raw")" "$(sha "$raw")"
}

vi_qemu_clean() { # NAME FILE
	qemu-img check -q -f vdi "$2" >"$work/qemu" 2>&1
	check "$1" $? "$(cat "$work/qemu")"
}

# --- create ---

vi_create_dynamic() {
	local img=$vi/dynamic.vdi

	vd create --comment "für später" --uuid 11223344-5566-4788-99aa-bbccddeeff00 "$img" 300M
	same "create vdi: exit status" "$rc" 0 "$err"
	vi_qemu_clean "create vdi: qemu-img check" "$img"
	same "create vdi: qemu-img's size" \
		"$(qemu-img info --output=json "$img" | jq '."virtual-size"')" $((300 << 20))
	same "create vdi: its fields" \
		"$(for f in version header type flags mappos datapos sector size block extra blocks \
			allocated; do vdi field "$img" $f; done | xargs)" \
		"65537 400 1 0 1048576 2097152 512 314572800 1048576 0 300 0"
	same "create vdi: the UUID, as others store it" "$(vdi uuid "$img" uuid)" \
		11223344-5566-4788-99aa-bbccddeeff00
	same "create vdi: no parent" "$(vdi uuid "$img" parent)$(vdi uuid "$img" parentmod)" \
		00000000-0000-0000-0000-00000000000000000000-0000-0000-0000-000000000000
	check "create vdi: a modification UUID" "$([ "$(vdi uuid "$img" mod)" != \
		00000000-0000-0000-0000-000000000000 ]; echo $?)"
	same "create vdi: the comment" "$(vd info -J "$img"; jq -r .comment "$work/out")" "für später"
	same "create vdi: the map is free" "$(vdi map "$img" | tr , '\n' | sort -u)" f
	cat_is "create vdi: reads as zeros" "$(head -c 300M /dev/zero | sha256sum | cut -d' ' -f1)" "$img"
}

vi_create_fixed() {
	local img=$vi/fixed.vdi

	vd create --type fixed --prealloc=falloc "$img" 7m
	same "create vdi, fixed: exit status" "$rc" 0 "$err"
	vi_qemu_clean "create vdi, fixed: qemu-img check" "$img"
	same "create vdi, fixed: the map" "$(vdi map "$img")" 0,1,2,3,4,5,6
	same "create vdi, fixed: type, allocated, size of the file" \
		"$(vdi field "$img" type) $(vdi field "$img" allocated) $(stat -c %s "$img")" \
		"2 7 $((9 << 20))"
	check "create vdi, fixed: its space is there" \
		"$([ "$(stat -c %b "$img")" -ge $((7 * 2048)) ]; echo $?)"
	qemu-io -f vdi -c 'write -P 7 3M 1M' "$img" >/dev/null
	vi_same_disk "create vdi, fixed: what QEMU writes is there" \
		<(head -c 3M /dev/zero; head -c 1M /dev/zero | tr '\0' '\7'; head -c 3M /dev/zero) "$img"
}

vi_create_diff() {
	local img=$vi/diff.vdi

	qemu-img create -q -f vdi "$vi/base.vdi" 9M
	qemu-io -f vdi -c 'write -P 3 2M 3M' "$vi/base.vdi" >/dev/null
	vd create -b "$vi/base.vdi" --block 64K "$img"
	same "create vdi, delta: exit status" "$rc" 0 "$err"
	check "create vdi, delta: what that means for the parent" \
		"$(grep -q 'base.vdi: must not be written to from now on' <<<"$err"; echo $?)" "$err"
	same "create vdi, delta: it names its parent" "$(vdi uuid "$img" parent) $(vdi uuid "$img" parentmod)" \
		"$(vdi uuid "$vi/base.vdi" uuid) $(vdi uuid "$vi/base.vdi" mod)"
	same "create vdi, delta: type, blocks, size" \
		"$(vdi field "$img" type) $(vdi field "$img" blocks) $(vdi field "$img" size)" \
		"4 144 $((9 << 20))"
	qemu-img convert -f vdi -O raw "$vi/base.vdi" "$vi/base.raw"
	cat_is "create vdi, delta: reads as its parent" "$(sha "$vi/base.raw")" \
		--parent "$vi/base.vdi" "$img"
	cp "$vi/base.vdi" "$vi/base.old"
	vd create -b "$vi/base.old" "$vi/old.vdi"
	check "create vdi, delta: over a name that is not looked at" \
		"$(grep -q "old.vdi: the parent's name .* takes --parent" <<<"$err"; echo $?)" "$err"
	rm "$vi/base.old"
	cp "$vi/base.vdi" "$vi/copy.vdi"
	vd create -b "$vi/base.vdi" "$vi/twin.vdi"
	check "create vdi, delta: beside a copy of its parent" "$([ "$rc" -eq 0 ] &&
		grep -qE "twin.vdi: two images .* (base.vdi and copy|copy.vdi and base).vdi; .*--parent .*base.vdi" \
			<<<"$err"; echo $?)" "$err"
	refused "create vdi, delta: as it says, to open it takes more" 5 "two images beside it" \
		cat "$vi/twin.vdi"
	cat_is "create vdi, delta: and that is --parent" "$(sha "$vi/base.raw")" \
		--parent "$vi/base.vdi" "$vi/twin.vdi"
	rm "$vi/copy.vdi" "$vi/twin.vdi"
	vd create -b "$vi/base.vdi" "$vi/twin.vdi"
	check "create vdi, delta: without a copy it says nothing of it" \
		"$(! grep -q "two images" <<<"$err"; echo $?)" "$err"
	rm "$vi/twin.vdi"
	refused "create vdi, delta: fixed" 2 "cannot be of --type fixed" create --type fixed \
		-b "$vi/base.vdi" "$vi/no.vdi"
	head -c 1M /dev/zero >"$vi/raw.img"
	refused "create vdi, delta over raw" 2 "no UUID" create -b "$vi/raw.img" "$vi/no.vdi"
	refused "create vdi, --grain" 2 "grain is for VMDK, and this is VDI" create --grain 64K \
		"$vi/no.vdi" 1M
	refused "create vdi, --block 3M" 2 "no power of two" create --block 3M "$vi/no.vdi" 1M
	refused "create vdi, a long comment" 2 "256 bytes, a VDI has room for 255" create \
		--comment "$(printf 'x%.0s' $(seq 256))" "$vi/no.vdi" 1M
	refused "create vdi, too many blocks" 2 "do not fit" create --block 4K "$vi/no.vdi" 60T
	check "create vdi: what is refused leaves nothing" "$([ ! -e "$vi/no.vdi" ]; echo $?)"
}

vi_create_force() {
	local img=$vi/forced.vdi before

	vd create "$img" 1M
	vd create -b "$img" "$vi/forced-child.vdi"
	before=$(sha "$img")
	refused "create vdi: --force over one that has a snapshot" 5 "forced-child.vdi is a snapshot" \
		create --force "$img" 2M
	same "create vdi: --force: and it stays" "$(sha "$img")" "$before"
	vd create --force --ignore-children "$img" 2M
	same "create vdi: --force --ignore-children" "$rc $(vdi field "$img" size)" "0 $((2 << 20))" \
		"$err"
}

# --- check ---

vi_check_counts() {
	local img=$vi/counts.vdi

	vdi make "$img" map=0,f,1,z,2 data=1
	vd check "$img"
	same "check vdi: sound" "$rc $(grep -c error "$work/out")" "0 1" "$(cat "$work/out")"
	vdi field "$img" allocated 2
	vd check "$img"
	same "check vdi: the counter is too low" "$rc" 2 "$(cat "$work/out")"
	vdi read "$img" "$vi/counts.raw"
	vd check --repair=merge "$img"
	same "check vdi: --repair=merge raises it" "$rc $(vdi field "$img" allocated)" "0 3" \
		"$(cat "$work/out" "$work/err")"
	vi_same_disk "check vdi: nothing else changed" "$vi/counts.raw" "$img"
	vdi field "$img" allocated 9
	vd check "$img"
	same "check vdi: the counter is too high" "$rc" 3 "$(cat "$work/out")"
	vdi field "$img" allocated 3
	vdi entry "$img" 2 z
	vd check -J "$img"
	same "check vdi: a hole is a leak" "$rc $(jq .leaks "$work/out")" "3 1" "$(cat "$work/out")"
	qemu-img check -q -f vdi "$img" >/dev/null 2>&1
	same "check vdi: so says QEMU of the count" "$?" 2
}

vi_check_damage() {
	local img="$vi/an old 'damage.vdi" before

	vdi make "$img" map=0,1,2,3,1,f,f,3,z data=2
	vdi read "$img" "$vi/damage.raw"
	vdi entry "$img" 6 77
	cp "$img" "$vi/damaged.vdi"
	before=$(sha "$img")
	vd check "$img"
	same "check vdi: shared and lost slots" "$rc $(grep -c 'shares slot\|past the end' "$work/out")" \
		"2 3" "$(cat "$work/out")"
	vd check --repair --dry-run "$img"
	same "check vdi: a dry run writes nothing" "$(sha "$img")" "$before"
	check "check vdi: a dry run saves nothing" "$([ ! -e "$img.before-repair" ]; echo $?)"
	vd attach --dry-run --rw "$img"
	same "check vdi: damaged, so not to be written" "$rc" 5 "$err"
	check "check vdi: damaged: why" "$(grep -q 'share their place' <<<"$err"; echo $?)" "$err"
	vd check --repair "$img"
	cp "$work/err" "$work/repair.err"
	same "check vdi: repair" "$rc" 0 "$(cat "$work/out" "$work/err")"
	vi_same_disk "check vdi: repaired, it reads as before" "$vi/damage.raw" "$img"
	same "check vdi: the map of the repaired image" "$(vdi map "$img")" 0,1,2,3,4,f,z,5,z
	vi_qemu_clean "check vdi: repaired, qemu-img check" "$img"
	check "check vdi: what it was is kept" \
		"$(cmp -s -i 424 "$img.before-repair" <(head -c 1024 "$vi/damaged.vdi"); echo $?)"
	eval "$(sed -n 's/^hint: to put them back: //p' "$work/repair.err")" 2>/dev/null
	same "check vdi: put back, the map is the old one" "$(vdi map "$img")" 0,1,2,3,1,f,77,3,z
}

# What was there is durable, its name too, before anything is repaired; if that fails, nothing is.
vi_check_order() {
	local img=$vi/order.vdi n bad=

	if ! have strace || ! strace -o /dev/null true 2>/dev/null; then
		skip "check vdi: what is durable before what" "strace does not work here"
		return
	fi
	for n in 1 2 0; do
		vdi make "$img" map=0,1,1,f data=6
		cp "$img" "$vi/order.before"
		strace -f -y -o "$work/trace" -e trace=fsync,pwrite64 \
			-e "inject=fsync:error=EIO:when=$((n ? n : 99))" \
			"$VDCTL" check --repair "$img" >"$work/out" 2>"$work/err"
		[ $n -eq 0 ] || { cmp -s "$img" "$vi/order.before" && [ ! -e "$img.before-repair" ] &&
			grep -q 'could not be saved' "$work/out" "$work/err"; } || bad+=" $n"
	done
	same "check vdi: nothing is repaired if saving fails" "$bad" ""
	same "check vdi: what is durable before what" "$(sed -n \
		-e 's/.*fsync([0-9]*<.*before-repair>.*/sync copy/p' \
		-e "s|.*fsync([0-9]*<$vi>.*|sync dir|p" \
		-e 's/.*pwrite64([0-9]*<.*order\.vdi>.*/repair/p' "$work/trace" | uniq | head -n 3 |
		tr '\n' ';')" "sync copy;sync dir;repair;"
}

vi_check_ids() {
	local img=$vi/ids.vdi null=00000000-0000-0000-0000-000000000000

	vdi make "$img" map=0,f data=3 uuid=$null mod=$null
	vd attach --dry-run "$img"
	check "check vdi: without UUIDs it is read-only" \
		"$(grep -q 'attached read-only: its UUID or modification UUID is missing' <<<"$err"; echo $?)" "$err"
	vd check --repair "$img"
	same "check vdi: UUIDs are made" "$rc" 0 "$(cat "$work/out" "$work/err")"
	check "check vdi: they are UUIDs, and two" "$([ "$(vdi uuid "$img" uuid)" != $null ] &&
		[ "$(vdi uuid "$img" mod)" != $null ] &&
		[ "$(vdi uuid "$img" mod)" != "$(vdi uuid "$img" uuid)" ]; echo $?)"
	same "check vdi: of the random kind" "$(vdi uuid "$img" uuid | cut -c15)" 4
}

# --- compact ---

vi_compact() {
	local img=$vi/holes.vdi mod

	vdi make "$img" map=0,f,5,z,9,7,f,2 data=4
	vdi read "$img" "$vi/holes.raw"
	mod=$(vdi uuid "$img" mod)
	vd compact -J "$img"
	same "compact vdi: exit status" "$rc" 0 "$err"
	same "compact vdi: moved, complete, smaller by" \
		"$(jq -r '[.moved, .complete, ."size-before" - ."size-after"] | @tsv' "$work/out")" \
		"$(printf '3\ttrue\t%d' $((5 << 20)))"
	vi_same_disk "compact vdi: it reads as before" "$vi/holes.raw" "$img"
	same "compact vdi: no holes" "$(vdi map "$img" | tr , '\n' | grep -v '[fz]' | sort -n | xargs) $(vdi field "$img" allocated)" \
		"0 1 2 3 4 5"
	vi_qemu_clean "compact vdi: qemu-img check" "$img"
	same "compact vdi: the same modification UUID" "$(vdi uuid "$img" mod)" "$mod"
	vd compact "$img"
	same "compact vdi: again" "$rc $(cat "$work/out")" "0 moved 0 blocks; the file is 0B smaller"
	vdi make "$vi/shared.vdi" map=0,0,f data=5
	refused "compact vdi: slots are shared" 5 "share their place" compact "$vi/shared.vdi"
	check "compact vdi: no hint about another verb" "$(! grep -qe --rw "$work/err"; echo $?)" \
		"$err"
	refused "compact vmdk" 5 "vmdk images cannot be compacted" compact "$vi/v.vmdk"
}

# Where a copy finds no room, holes are left, and that is no success.
vi_compact_no_room() {
	local img=$vi/room.vdi

	if ! have strace || ! strace -o /dev/null true 2>/dev/null; then
		skip "compact vdi: no room" "strace does not work here"
		return
	fi
	vdi make "$img" map=0,f,5,z,9,7,f,2 data=4
	vdi read "$img" "$vi/holes.raw"
	strace -f -o "$work/trace" -e inject=pwrite64:error=ENOSPC:when=1 \
		"$VDCTL" compact -J "$img" >"$work/out" 2>"$work/err"
	same "compact vdi: no room: exit status" "$? $(jq .complete "$work/out")" "1 false" \
		"$(cat "$work/err")"
	check "compact vdi: no room: why" \
		"$(grep -q 'not finished: there was no room for a copy' "$work/err"; echo $?)" \
		"$(cat "$work/err")"
	vi_same_disk "compact vdi: no room: it reads as before" "$vi/holes.raw" "$img"
	vd compact -J "$img"
	same "compact vdi: with room, the rest" "$rc $(jq .complete "$work/out")" "0 true" "$err"
	vi_same_disk "compact vdi: with room it reads as before" "$vi/holes.raw" "$img"
}

qemu-img create -q -f vmdk "$vi/v.vmdk" 1M
vi_create_dynamic
vi_create_fixed
vi_create_diff
vi_create_force
vi_check_counts
vi_check_damage
vi_check_order
vi_check_ids
vi_compact
vi_compact_no_room

# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash disable=SC2154
# `vdctl create`: every kind in many sizes, as QEMU, an independent reader and
# vdctl itself see it; deltas; refusals; what failures and signals leave.
# Sourced by run.

cr=$(scratch interop-create)
mib=1048576

made() {
	python3 "$here/create.py" "$@"
}

# create NAME ARG...: it succeeds and is silent but for what --quiet silences
create() {
	local name=$1
	shift
	vd create --quiet "$@"
	if [ "$rc" -ne 0 ] || [ -s "$work/out" ] || [ -s "$work/err" ]; then
		not_ok "create: $name" "exit status $rc" "$err" "$(cat "$work/out")"
		return 1
	fi
}

# names DIR: each followed by a blank
names() {
	find "$1" -mindepth 1 -printf '%f\n' | sort | tr '\n' ' '
}

# The names in a directory and what is in the files: `shot DIR`
shot() {
	(cd "$1" && ls -A && find . -type f -size -64M -exec sha256sum {} + | sort -k 2)
}

create_type() {
	case $1 in
	sparse) echo monolithicSparse ;;
	split) echo twoGbMaxExtentSparse ;;
	flat) echo monolithicFlat ;;
	splitflat) echo twoGbMaxExtentFlat ;;
	esx) echo vmfs ;;
	esxsparse) echo vmfsSparse ;;
	esac
}

# zeros NAME IMAGE SIZE: what is read of it at both ends and at 2 GiB is zeros
zeros() {
	local at len bad='' border=$((4192256 * 512))
	for at in 0 $(($3 / 2 / 512 * 512)) $((border - 1048576)) $((2 * border - 512)) \
		$(($3 > mib ? $3 - mib : 0)); do
		len=$(($3 - at < 2 * mib ? $3 - at : 2 * mib))
		[ "$len" -gt 0 ] || continue
		"$VDCTL" cat --offset "$at" --length "$len" "$2" | cmp -s -n "$len" - /dev/zero ||
			bad+=" $at+$len"
	done
	same "$1: reads zeros" "$bad" ""
}

# qemu IMAGE: virtual size, format and createType as QEMU sees them
qemu() {
	qemu-img info --output=json "$1" |
		jq -r '"\(."virtual-size") \(.format) \(."format-specific".data."create-type" // "-")"'
}

ours() {
	"$VDCTL" info -J "${@:2}" "$1" | jq -r '"\(."virtual-size") \(.format) \(.subformat // "-")"'
}

map_total() {
	"$VDCTL" map -J "$@" | jq -c 'map(.length) | add'
}

one_kind() {
	local kind=$1 size=$2 img=$cr/k/i.vmdk type extents
	local name="create: $kind, $size bytes"

	type=$(create_type "$kind")
	mkdir "$cr/k"
	create "$kind, $size bytes" --type "$kind" "$img" "$size" || { rm -rf "$cr/k"; return; }
	same "$name: qemu-img info, vdctl info, vdctl map" \
		"$(qemu "$img") $(ours "$img") $(map_total "$img")" \
		"$size vmdk $type $size vmdk $type $size"
	qemu-img check -q "$img" >"$work/err" 2>&1
	check "$name: qemu-img check" $? "$(cat "$work/err")"
	vd check "$img"
	same "$name: vdctl check" "$rc" 0 "$err"
	zeros "$name" "$img" "$size"
	extents=$(find "$cr/k" -name 'i-[sf]???.vmdk' | wc -l)
	case $kind in
	sparse) same "$name: tables" "$(made tables empty "$img")" "ok $size" ;;
	split) same "$name: tables" "$(made tables empty "$cr"/k/i-s*.vmdk)" "ok $size" ;;
	esac
	case $kind in
	split*) same "$name: extents" "$extents" $(((size / 512 + 4192255) / 4192256)) ;;
	*) same "$name: files" "$(names "$cr/k")" \
		"$([ "$kind" = sparse ] || echo 'i-flat.vmdk ')i.vmdk " ;;
	esac
	rm -rf "$cr/k"
}

cr_every_kind() {
	local kind size sizes=(512 $((5 * 1024 * mib)))

	brief || sizes+=($((mib + 512)) $((100 * mib)) $((3 * 65536 + 5 * 512)))
	for size in "${sizes[@]}"; do
		for kind in sparse split flat splitflat esx; do
			one_kind "$kind" "$size"
		done
	done
	one_kind sparse $((64 * 1024 * mib))
	one_kind split $((64 * 1024 * mib))
}

cr_raw() {
	local img=$cr/r.img

	create "raw" "$img" $((10 * mib)) || return
	same "create: raw: size and space" "$(stat -c '%s %b' "$img")" "$((10 * mib)) 0"
	same "create: raw: vdctl info" "$(ours "$img" -f raw)" "$((10 * mib)) raw -"
	create "raw, --prealloc=falloc" --force --prealloc falloc "$img" 20M &&
		check "create: raw, --prealloc=falloc: space" \
			"$([ "$(stat -c %b "$img")" -ge 40960 ]; echo $?)" "$(stat "$img")"
	create "raw, --prealloc=full" --force --prealloc=full -f raw "$img" 20M &&
		check "create: raw, --prealloc=full: space, zeros" "$([ "$(stat -c %b "$img")" -ge 40960 ] &&
			cmp -s -n $((20 * mib)) "$img" /dev/zero; echo $?)" "$(stat "$img")"
	vd create --force "$img" 1000
	same "create: a size that is no multiple of 512 is rounded up, and that is said" \
		"$rc $(stat -c %s "$img") $(grep -c 'rounded up.*1024' "$work/err")" "0 1024 1"
	create "raw by -f, any name" -f raw "$cr/r.anything" 1M &&
		same "create: raw by -f: size" "$(stat -c %s "$cr/r.anything")" "$mib"
	rm -f "$cr"/r.*
}

# What QEMU writes into a new image is where vdctl finds it.
cr_patterns() {
	local kind img=$cr/p.vmdk raw=$cr/p.raw size=$((37 * mib + 512)) command

	for kind in sparse split flat splitflat esx; do
		set -- --type "$kind"
		[[ $kind != split* ]] || set -- "$@" --split-size 5M
		[[ $kind != sparse ]] || set -- "$@" --grain 8K
		create "$kind for patterns" "$@" "$img" "$size" || continue
		rm -f "$raw"
		truncate -s "$size" "$raw"
		for command in "write -P 1 0 512" "write -P 2 $((5 * mib - 1024)) 2048" \
			"write -P 3 9M 3M" "write -P 4 $((37 * mib)) 512" "write -P 5 20000k 70k"; do
			qemu-io -f vmdk -c "$command" "$img" >/dev/null
			qemu-io -f raw -c "$command" "$raw" >/dev/null
		done
		cat_is "create: $kind: what QEMU wrote into it" "$(sha "$raw")" "$img"
		qemu-img check -q "$img" >"$work/err" 2>&1
		check "create: $kind: qemu-img check after that" $? "$(cat "$work/err")"
		case $kind in
		sparse) same "create: $kind: tables after that" "$(made tables used "$img")" "ok $size" ;;
		split) same "create: $kind: tables after that" \
			"$(made tables used "$cr"/p-s*.vmdk)" "ok $size" ;;
		esac
		rm -f "$cr"/p*
	done
}

cids() {
	"$VDCTL" info -J "$1" | jq -r "$2"
}

# A delta over a parent that QEMU made, then one over that, then another.
cr_deltas() {
	local d=$cr/d raw=$cr/d/raw kind size=$((40 * mib + 512)) zero

	zero=00000000-0000-0000-0000-000000000000
	mkdir -p "$d/sub"
	disk make "$raw" "$size" deltas
	qemu-img convert -q -f raw -O vmdk "$raw" "$d/base.vmdk"
	for kind in sparse split esxsparse; do
		create "$kind delta" --type "$kind" -b "$d/base.vmdk" "$d/$kind.vmdk" || continue
		same "create: $kind delta: its kind and size" "$(qemu "$d/$kind.vmdk")" \
			"$size vmdk $(create_type "$kind")"
		same "create: $kind delta: QEMU finds the chain" \
			"$(qemu-img info --backing-chain --output=json "$d/$kind.vmdk" |
				jq -r '[.[].filename | sub(".*/"; "")] | join(" ")')" "$kind.vmdk base.vmdk"
		same "create: $kind delta: name and CID of the parent" \
			"$(made key "$d/$kind.vmdk" parentFileNameHint) $(made key "$d/$kind.vmdk" parentCID)" \
			"base.vmdk $(cids "$d/base.vmdk" .cid)"
		same "create: $kind delta: UUIDs of a parent that has none" \
			"$(made key "$d/$kind.vmdk" ddb.uuid.parent) $(made key "$d/$kind.vmdk" ddb.uuid.parentmodification)" \
			"$zero $zero"
		vd check "$d/$kind.vmdk"
		same "create: $kind delta: vdctl check" "$rc" 0 "$err"
		cat_is "create: $kind delta: the parent's data" "$(sha "$raw")" "$d/$kind.vmdk"
		qemu-img convert -q -f vmdk -O raw "$d/$kind.vmdk" "$d/out"
		same "create: $kind delta: the parent's data, read by QEMU" "$(sha "$d/out")" "$(sha "$raw")"
	done
	same "create: --type esx with a parent is COWD" \
		"$(create 'esx delta' --type esx -b "$d/base.vmdk" "$d/esx.vmdk" && ours "$d/esx.vmdk")" \
		"$size vmdk vmfsSparse"
	cr_deltas_of_deltas "$d" "$raw"
	cr_delta_names "$d" "$raw"
	rm -rf "$d"
}

cr_deltas_of_deltas() {
	local d=$1 raw=$2 command

	for command in "write -P 7 1M 100k" "write -P 8 40M 512"; do
		qemu-io -f vmdk -c "$command" "$d/sparse.vmdk" >/dev/null
		qemu-io -f raw -c "$command" "$raw" >/dev/null
	done
	create "delta of a delta" -b "$d/sparse.vmdk" "$d/two.vmdk"
	qemu-io -f vmdk -c "write -P 9 1050k 30k" "$d/two.vmdk" >/dev/null
	qemu-io -f raw -c "write -P 9 1050k 30k" "$raw" >/dev/null
	create "delta of a delta of a delta" --type split --split-size 8M --grain 8K \
		-b "$d/two.vmdk" "$d/three.vmdk"
	cat_is "create: three deltas" "$(sha "$raw")" "$d/three.vmdk"
	qemu-img convert -q -f vmdk -O raw "$d/three.vmdk" "$d/out"
	same "create: three deltas, read by QEMU" "$(sha "$d/out")" "$(sha "$raw")"
	same "create: three deltas: CIDs and UUIDs link them" \
		"$("$VDCTL" info -J --chain "$d/three.vmdk" |
			jq -r '.chain | .[0]."parent-cid" == .[1].cid and .[1]."parent-cid" == .[2].cid and
				.[0]."parent-uuid" == .[1].uuid and .[1]."parent-uuid" == .[2].uuid and
				.[0]."parent-modification-uuid" == .[1]."modification-uuid"')" true
	same "create: three deltas: CIDs differ" \
		"$("$VDCTL" info -J --chain "$d/three.vmdk" | jq '[.chain[].cid] | unique | length')" 4
	qemu-io -f vmdk -c "write -P 1 0 512" "$d/two.vmdk" >/dev/null
	refused "create: a parent that was written to" 5 "cid" cat "$d/three.vmdk"
}

cr_delta_names() {
	local d=$1

	create "parent in a directory below" "$d/sub/b.vmdk" 1M
	create "delta of that" -b "$d/sub/b.vmdk" "$d/below.vmdk"
	same "create: the name of a parent below is relative" \
		"$(made key "$d/below.vmdk" parentFileNameHint)" "sub/b.vmdk"
	vd cat "$d/below.vmdk"
	same "create: and it opens" "$rc $(stat -c %s "$work/out")" "0 $mib" "$err"
	vd create -b "$d/base.vmdk" "$d/sub/above.vmdk"
	same "create: a parent elsewhere is named in full, with a warning" \
		"$rc $(made key "$d/sub/above.vmdk" parentFileNameHint) $(grep -c -- '--allow-outside' "$work/err")" \
		"0 $(realpath "$d")/base.vmdk 1" "$err"
	same "create: a delta warns of writing to its parent" \
		"$(grep -c 'base.vmdk: must not be written' "$work/err")" 1 "$err"
	vd create -b "$d/sub/b.vmdk" "$d/larger.vmdk" 3M
	same "create: a delta larger than its parent, with a warning" \
		"$rc $(ours "$d/larger.vmdk") $(grep -c 'beyond' "$work/err")" \
		"0 $((3 * mib)) vmdk monolithicSparse 1" "$err"
	zeros "create: a delta larger than its parent" "$d/larger.vmdk" $((3 * mib))
	create "delta smaller than its parent" -b "$d/base.vmdk" "$d/smaller.vmdk" 1M &&
		same "create: a delta smaller than its parent" "$(map_total "$d/smaller.vmdk")" "$mib"
}

cr_properties() {
	local img=$cr/o.vmdk uuid=0fd6a2a1-3f2a-4a3c-9c2b-6b7f6ad8a001 cid long text

	create "with every option" --comment $'two\nlines \\ here' --uuid "$uuid" --adapter buslogic \
		--hwversion 11 --grain 8K --zeroed-grain "$img" 3G || return
	same "create: options in the descriptor" \
		"$(for key in ddb.uuid.image ddb.adapterType ddb.virtualHWVersion ddb.geometry.heads \
			ddb.comment; do made key "$img" "$key"; done | tr '\n' '|')" \
		"$uuid|buslogic|11|255|two\\nlines \\\\ here|"
	same "create: options as vdctl info tells them" \
		"$(cids "$img" '"\(.uuid) \(.adapter) \(.geometry.cylinders)/\(.geometry.heads)/\(.geometry.sectors)"')" \
		"$uuid buslogic 391/255/63"
	same "create: --zeroed-grain sets version 2 and its flag" \
		"$(made tables empty "$img") $(disk sparse-flags "$img")" "ok $((3 * 1024 * mib)) 7"
	same "create: QEMU sees the grain" \
		"$(qemu-img info --output=json "$img" | jq -r '."cluster-size"')" 8192
	cid=$(made key "$img" CID)
	long=$(made key "$img" ddb.longContentID)
	same "create: the long content ID ends with the CID" "${#long} ${long: -8}" "32 $cid"
	text=$(made text "$img")
	check "create: QEMU's and VirtualBox' order of keys" \
		"$([[ $text == '# Disk DescriptorFile'*CID=*parentCID=ffffffff*createType=*RW*ddb.* ]]
			echo $?)" "$text"
	create "again" --force "$img" 3G
	same "create: CID and UUIDs are new each time" \
		"$([ "$(made key "$img" CID)" != "$cid" ] && [ "$(made key "$img" ddb.uuid.image)" != \
			"$uuid" ]; echo $?)" 0
	create "ide geometry" --force "$img" 100G
	same "create: ide: no more than 16383 cylinders" \
		"$(cids "$img" '"\(.adapter) \(.geometry.cylinders)/\(.geometry.heads)/\(.geometry.sectors)"')" \
		"ide 16383/16/63"
	create "esx" --force --type esx "$img" 1M
	same "create: esx: adapter, thin" \
		"$(made key "$img" ddb.adapterType) $(made key "$img" ddb.thinProvisioned)" "lsilogic 1"
	create "esx, thick" --force --type esx --prealloc falloc "$img" 1M
	same "create: esx, --prealloc=falloc: not thin" "$(made key "$img" ddb.thinProvisioned)" ""
	create "tables with space" --force --prealloc metadata "$img" 8G
	check "create: --prealloc=metadata gives the tables their space" \
		"$([ "$(stat -c %b "$img")" -ge $((2 * 256 * 4)) ]; echo $?)" "$(stat "$img")"
	rm -f "$cr"/o*
}

cr_refusals() {
	local d=$cr/e long kind

	mkdir "$d"
	create "something to be refused over" "$d/a.vmdk" 1M
	head -c 1048576 /dev/zero >"$d/plain"
	mkdir "$d/dir.vmdk"
	ln -s a.vmdk "$d/link.vmdk"
	shot "$d" >"$work/before"
	refused "create: a file that exists" 4 "a.vmdk: exists" create "$d/a.vmdk" 2M
	check "create: a file that exists: the hint names --force" \
		"$(grep -q '^hint: .*--force' "$work/err"; echo $?)" "$err"
	touch "$d/x-s002.vmdk"
	refused "create: an extent that exists" 4 "x-s002.vmdk: exists" create --type split \
		--split-size 1M "$d/x.vmdk" 3M
	rm "$d/x-s002.vmdk"
	refused "create: a directory is not replaced" 1 "no regular file" create --force "$d/dir.vmdk" 1M
	refused "create: a link is not replaced" 1 "no regular file" create --force "$d/link.vmdk" 1M
	refused "create: size 0" 2 "size is 0" create "$d/n.vmdk" 0
	refused "create: no size" 2 "how large" create "$d/n.vmdk"
	refused "create: a size that is none" 2 "no size" create "$d/n.vmdk" ten
	refused "create: over 64 TiB" 2 "64 TiB" create "$d/n.vmdk" 65T
	refused "create: sparse over 2 TiB" 2 "2 TiB" create "$d/n.vmdk" 2T
	check "create: sparse over 2 TiB: the hint names what fits" \
		"$(grep -q '^hint: .*--type split' "$work/err"; echo $?)" "$err"
	refused "create: split in too many" 2 "extents" create --type split "$d/n.vmdk" 10T
	refused "create: split in extents too large" 2 "2 TiB" create --type split --split-size 2T \
		"$d/n.vmdk" 3T
	refused "create: unknown type" 2 "none of sparse, split" create --type stream "$d/n.vmdk" 1M
	refused "create: unknown format" 2 "none of raw, vmdk" create -f qcow2 "$d/n.vmdk" 1M
	refused "create: a name that tells no format" 2 "name ends in that of no format" create "$d/n" 1M
	refused "create: grain no power of two" 2 "grain" create --grain 5000 "$d/n.vmdk" 1M
	refused "create: grain too small" 2 "4096 is no power of two from 8K" create --grain 4K "$d/n.vmdk" 1M
	refused "create: grain too large" 2 "grain" create --grain 2M "$d/n.vmdk" 1M
	refused "create: grain of a flat disk" 2 "grain" create --type flat --grain 8K "$d/n.vmdk" 1M
	refused "create: split size of one extent" 2 "split-size" create --split-size 1M "$d/n.vmdk" 1M
	refused "create: split size within a grain" 2 "split-size" create --type split \
		--split-size 1049088 "$d/n.vmdk" 1M
	refused "create: sparse, all space" 2 "prealloc" create --prealloc full "$d/n.vmdk" 1M
	for kind in flat splitflat esx; do
		refused "create: $kind, tables" 2 "prealloc=metadata" create --prealloc metadata \
			--type "$kind" "$d/n.vmdk" 1M
	done
	refused "create: raw, tables" 2 "prealloc=metadata" create --prealloc metadata "$d/n.img" 1M
	refused "create: type of raw" 2 "is for VMDK" create --type flat "$d/n.img" 1M
	refused "create: adapter" 2 "adapter" create --adapter scsi "$d/n.vmdk" 1M
	refused "create: UUID" 2 "uuid" create --uuid 12 "$d/n.vmdk" 1M
	refused "create: comment with a quote" 2 "comment" create --comment 'a "b"' "$d/n.vmdk" 1M
	long=$(printf '%01025d' 0)
	refused "create: comment too long" 2 "comment" create --comment "$long" "$d/n.vmdk" 1M
	refused "create: name with a quote" 2 "quote" create "$d/n\".vmdk" 1M
	refused "create: name with a backslash" 2 "backslash" create "$d/n\\n.vmdk" 1M
	refused "create: no such directory" 3 "none" create "$d/none/n.vmdk" 1M
	refused "create: parent that is missing" 3 "none.vmdk" create -b "$d/none.vmdk" "$d/n.vmdk"
	refused "create: parent in no format" 2 "no format" create -b "$d/plain" "$d/n.vmdk"
	refused "create: flat delta" 2 "delta" create --type flat -b "$d/a.vmdk" "$d/n.vmdk"
	refused "create: COWD without a parent" 2 "parent" create --type esxsparse "$d/n.vmdk" 1M
	mkdir "$d/sub"
	disk chain "$d/sub" 64 >/dev/null
	refused "create: deeper than a chain can be" 2 "64 images" create -b "$d/sub/level63.vmdk" \
		"$d/sub/n.vmdk"
	rm -r "$d/sub"
	refused "create: parent replaced by its child" 2 "parent" create --force -b "$d/a.vmdk" \
		"$d/a.vmdk"
	same "create: refusals leave everything as it was" "$(shot "$d" | diff "$work/before" -)" ""
	rm -rf "$d"
}

# A failure at any moment: nothing new is there, and nothing old has gone.
cr_failures() {
	local d=$cr/f n bad='' runs=0

	mkdir "$d"
	create "old set" --type splitflat --split-size 1M "$d/a.vmdk" 3M
	for n in 1 2 3; do
		head -c 1048576 /dev/urandom >"$d/a-f00$n.vmdk"
	done
	shot "$d" >"$work/before"
	(ulimit -f 1024; vd create --force --type splitflat --split-size 2M --prealloc full \
		"$d/a.vmdk" 6M; exit "$rc")
	same "create: --force, file too large: fails" "$?" 1 "$(cat "$work/err")"
	same "create: --force, file too large: all is as it was" "$(shot "$d" | diff "$work/before" -)" ""
	(ulimit -f 1024; vd create --type flat "$d/b.vmdk" 6M; exit "$rc")
	check "create: file too large: the hint names a kind that is smaller" \
		"$(grep -q '^hint: .*splitflat' "$work/err"; echo $?)" "$(cat "$work/err")"
	same "create: file too large: nothing is there" "$(shot "$d" | diff "$work/before" -)" ""
	if strace -o /dev/null true 2>/dev/null; then
		# Each call that makes, names or keeps a file fails once.
		while read -r call n; do
			strace -f -o /dev/null -e "inject=$call:error=EIO:when=$n" "$VDCTL" create \
				--force -q --type splitflat --split-size 1M "$d/a.vmdk" 3M \
				>/dev/null 2>"$work/err" && bad+=" $call:$n succeeded"
			runs=$((runs + 1))
			shot "$d" | cmp -s "$work/before" - || bad+=" $call:$n"
		done < <(printf 'renameat %d\n' 1 2 3 4; printf 'fdatasync %d\n' 1 2 3 4
			printf 'ftruncate %d\n' 1 2 3; echo fsync 1; echo pwrite64 1)
		same "create: --force, $runs calls fail one by one: all is as it was" "$bad" ""
	else
		skip "create: --force, calls fail one by one" "strace does not work here"
	fi
	if hold_qemu_io -f raw "$d/a-f002.vmdk"; then
		refused "create: --force over a file in use" 4 "lock" create --force --type splitflat \
			--split-size 1M "$d/a.vmdk" 3M
	fi
	release
	same "create: --force over a file in use: all is as it was" "$(shot "$d" | diff "$work/before" -)" ""
	chmod 600 "$d/a.vmdk"
	create "--force" --force --type splitflat --split-size 1M "$d/a.vmdk" 3M
	zeros "create: --force" "$d/a.vmdk" $((3 * mib))
	same "create: --force leaves no other files, and the mode as it was" \
		"$(names "$d")$(stat -c %a "$d/a.vmdk" "$d/a-f002.vmdk" | tr '\n' ' ')" \
		"a-f001.vmdk a-f002.vmdk a-f003.vmdk a.vmdk 600 600 "
	rm -rf "$d"
}

cr_signals() {
	local d=$cr/s name

	mkdir "$d"
	for name in INT TERM HUP QUIT ALRM USR1 USR2 XCPU; do
		same "create: SIG$name in the midst of writing zeros" \
			"$(made stop "$name" "$d" "$VDCTL" create --prealloc=full "$d/a.img" 3G) $(ls -A "$d")" \
			"SIG$name "
	done
	create "old image" "$d/a.vmdk" 1M
	shot "$d" >"$work/before"
	same "create: SIGINT with --force" "$(made stop INT "$d" "$VDCTL" create --force --type splitflat \
		--prealloc=full "$d/a.vmdk" 3G)" SIGINT
	same "create: SIGINT with --force: all is as it was" "$(shot "$d" | diff "$work/before" -)" ""
	rm -rf "$d"
}

# File systems without RENAME_NOREPLACE, and some without second names.
cr_renames() {
	local d=$cr/rn bad='' faults

	if ! strace -o /dev/null true 2>/dev/null; then
		skip "create: file systems that lack a call" "strace does not work here"
		return
	fi
	mkdir "$d"
	for faults in renameat2:error=EINVAL "renameat2:error=EINVAL linkat:error=EPERM" \
		"renameat2:error=ENOSYS linkat:error=EOPNOTSUPP"; do
		read -ra faults <<<"$faults"
		faults=("${faults[@]/#/inject=}")
		strace -f -o /dev/null "${faults[@]/#/-e}" "$VDCTL" create -q --type splitflat \
			--split-size 1M "$d/a.vmdk" 3M 2>"$work/err" || bad+=" ${faults[*]}"
		[ "$(names "$d")" = "a-f001.vmdk a-f002.vmdk a-f003.vmdk a.vmdk " ] ||
			bad+=" names:$(names "$d")"
		vd info "$d/a.vmdk"
		[ "$rc" -eq 0 ] || bad+=" info:$rc"
		rm -f "$d"/*
	done
	same "create: file systems that lack a call" "$bad" "" "$(cat "$work/err")"
	strace -f -o /dev/null -e inject=renameat2:error=EINVAL -e inject=linkat:error=EPERM \
		-e inject=renameat:error=EIO:when=2 "$VDCTL" create -q --type splitflat \
		--split-size 1M "$d/a.vmdk" 3M 2>"$work/err"
	same "create: such a one, and then a rename fails: nothing is left" "$? $(names "$d")" "1 " \
		"$(cat "$work/err")"
	strace -f -o /dev/null -e inject=memfd_create:error=EPERM "$VDCTL" create -q "$d/a.vmdk" 3M \
		2>"$work/err"
	same "create: a descriptor that cannot be checked is not made" "$? $(names "$d")" "6 " \
		"$(cat "$work/err")"
	rm -r "$d"
}

# What looks like VMware's encryption to a careless reader.
cr_words() {
	local d=$cr/w

	mkdir -p "$d/vmwarevmcrypt"
	create "name and comment with words of encryption" --comment 'see vmware:key/list' \
		"$d/vmwarevmcrypt/vmwarevmcrypt.vmdk" 1M &&
		create "hint with words of encryption" -b "$d/vmwarevmcrypt/vmwarevmcrypt.vmdk" \
			"$d/a.vmdk"
	vd info --chain "$d/a.vmdk"
	same "create: words of encryption: they open" "$rc" 0 "$err"
	rm -r "$d"
}

# Space for all parts comes before the zeros of the first; a slow disk shows progress.
cr_reserve() {
	local d=$cr/re order

	if ! strace -o /dev/null true 2>/dev/null; then
		skip "create: space for all parts first" "strace does not work here"
		return
	fi
	mkdir "$d"
	strace -f -o "$work/trace" -e trace=fallocate,pwrite64 "$VDCTL" create -q --type splitflat \
		--split-size 1M --prealloc=full "$d/a.vmdk" 3M
	order=$(grep -oE '(fallocate|pwrite64)\(' "$work/trace" | uniq | tr -d '(' | tr '\n' ' ')
	same "create: space for all parts first" "$order" "fallocate pwrite64 "
	if have script; then
		script -q -e -c "strace -f -o /dev/null -e trace=fallocate \
			-e inject=fallocate:delay_exit=500000 $VDCTL create --type splitflat \
			--split-size 1M --prealloc=falloc $d/b.vmdk 5M" /dev/null </dev/null \
			>"$work/tty" 2>&1
		check "create: --prealloc=falloc: progress on a terminal" \
			"$(grep -aq 'of 5M (' "$work/tty"; echo $?)" "$(cat "$work/tty")"
	fi
	rm -r "$d"
}

cr_every_kind
cr_raw
cr_patterns
cr_deltas
cr_properties
cr_refusals
cr_failures
cr_signals
cr_renames
cr_words
cr_reserve

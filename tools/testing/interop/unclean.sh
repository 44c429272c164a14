# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash disable=SC2154
# Images that their last writer did not close: what is said of them, who may
# stand in the way, and what an interrupted merge leaves. And snapshots that a
# change would spoil, for attach, check and create. The module's part is played
# by fake-module.c. Sourced by run.

un=$(scratch interop-unclean)

un_image() {
	rm -f "$1"
	qemu-img convert -q -f raw -O vmdk "$un/src.raw" "$1"
}

un_marked() {
	un_image "$1"
	disk put "$1" 72 01
	disk entry "$1" 1 3 0
}

said() {
	check "$1" "$(grep -qE -- "$2" "$work/err"; echo $?)" "$err"
}

un_sentences() {
	local img=$un/a.vmdk n

	un_marked "$img"
	vd attach --dry-run "$img"
	same "unclean: a dry run: exit status" "$rc" 0 "$err"
	said "unclean: a dry run warns, without -v" \
		'^vdctl: .*did not end well; would merge 1 place of its tables and clear its mark$'
	vd attach -q --dry-run "$img"
	same "unclean: -q" "$rc $err" "0 "

	for n in 1 2 3 4 5 6 7 8 9; do
		disk entry "$img" both $((n + 10)) 0x7fffff00
	done
	vd attach --dry-run -q "$img"
	same "unclean: damaged: exit status" "$rc" 5 "$err"
	said "unclean: damaged, -q: the first findings" \
		'^hint: grain 11 \(bytes 720896 to 786431 of the extent\) is at sector'
	said "unclean: damaged, -q: how many more" '^hint: and 3 more$'
	said "unclean: damaged: the advice is to look" \
		"^hint: .*: vdctl check --repair --dry-run $img"
	check "unclean: damaged: no advice to repair at once" \
		"$(! grep -q 'check --repair /' "$work/err"; echo $?)" "$err"
	vd attach --dry-run -J "$img"
	same "unclean: damaged, -J: the findings are in the error" \
		"$(jq -r '.error.hint | split("\n") | map(select(test("^grain 1[0-9] "))) | length' \
			"$work/err")" 6 "$err"
}

# Somebody who takes no lock has it open for writing.
un_hold() { # FILE
	# shellcheck disable=SC2016 # it is the other shell's
	hold bash -c 'exec 7<>"$1"; echo open; read -r _' writer "$1"
}

un_writers() {
	local img=$un/w.vmdk before

	un_marked "$img"
	un_hold "$img"
	before=$(sha "$img")
	refused "unclean: open for writing elsewhere" 4 \
		"w.vmdk: .*not closed.*process $holder_pid \\(.+\\) has it open for writing" \
		attach --dry-run "$img"
	vd attach --dry-run "$img"
	said "unclean: open for writing elsewhere: the hint" \
		"^hint: .*vdctl attach --lock=no --dry-run $img"
	vd attach --dry-run --lock=no "$img"
	same "unclean: open for writing elsewhere, --lock=no" "$rc" 0 "$err"
	said "unclean: open for writing elsewhere, --lock=no: a warning" "process $holder_pid .*both write"
	refused "unclean: open for writing elsewhere, check --repair" 1 "process $holder_pid " \
		check --repair "$img"
	vd check --repair -n "$img"
	same "unclean: open for writing elsewhere, check --repair -n" "$rc" 2 "$err"
	said "unclean: open for writing elsewhere, check --repair -n: it is said" "process $holder_pid "
	vd check "$img"
	same "unclean: open for writing elsewhere, check" "$rc $err" "2 "
	same "unclean: open for writing elsewhere: nothing has changed" "$(sha "$img")" "$before"
	release
	exec 7<"$img"
	vd check --repair "$img"
	same "unclean: open for reading elsewhere, check --repair" "$rc $err" "0 "
	exec 7<&-
	un_hold "$img"
	vd attach --dry-run "$img"
	same "unclean: closed, but open for writing elsewhere" "$rc" 0 "$err"
	said "unclean: closed, but open for writing elsewhere: a warning" "process $holder_pid .*both write"
	vd attach --dry-run -r "$img"
	same "unclean: closed, but open for writing elsewhere, -r" "$rc $err" "0 "
	release
	un_hold "$un/src.raw"
	vd attach --dry-run -f raw "$un/src.raw"
	said "unclean: raw, open for writing elsewhere: a warning" "process $holder_pid .*both write"
	release
}

# Many tables without their second copy: that is no crash's work.
un_lone() {
	local img=$un/l.vmdk rgd

	"$VDCTL" create -q "$img" 64G
	rgd=$(($(od -An -tu8 -j 48 -N 8 "$img") * 512))
	disk put "$img" 72 01
	dd if=/dev/zero of="$img" bs=4 seek=$((rgd / 4)) count=1024 conv=notrunc status=none
	vd attach --dry-run "$img"
	same "unclean: 1024 lone tables" "$rc" 0 "$err"
	dd if=/dev/zero of="$img" bs=4 seek=$((rgd / 4)) count=1025 conv=notrunc status=none
	refused "unclean: 1025 lone tables" 5 "1025 of its tables" attach --dry-run "$img"
	said "unclean: 1025 lone tables: the hint" "^hint: .*vdctl check --repair=merge $img"
	vd check --repair=merge "$img"
	same "unclean: 1025 lone tables, check --repair=merge" "$rc" 0 "$err"
	rm "$img"
}

# A slow disk: on a terminal the merge shows how far it is. And it can be stopped.
un_progress() {
	local img=$un/p.vmdk command n bad='' before

	"$VDCTL" create -q "$img" 32G
	disk put "$img" 72 01
	before=$(sha "$img")
	for n in 30 100 1000 2500; do
		strace -f -o /dev/null -E LD_PRELOAD="$fake" -E FAKE_ANSWER=yes \
			-e trace=pread64 -e "inject=pread64:signal=INT:when=$n" \
			"$VDCTL" attach "$img" >"$work/out" 2>"$work/err"
		[ $? -eq 130 ] || bad+=" $n"
		[ ! -s "$work/out" ] || bad+=" $n:attached"
		[ "$(sha "$img")" = "$before" ] || bad+=" $n:changed"
	done 2>/dev/null
	same "unclean: SIGINT while it is read" "$bad" ""
	un_image "$un/e.vmdk"
	disk entry "$un/e.vmdk" both 5 "$(disk entry "$un/e.vmdk" 0 4)"
	strace -f -o /dev/null -e trace=pwrite64 -e inject=pwrite64:error=ENOSPC "$VDCTL" check \
		--repair "$un/e.vmdk" >"$work/out" 2>&1
	same "unclean: a repair without space: exit status" $? 1 "$(cat "$work/out")"
	check "unclean: a repair without space: it says so" \
		"$(grep -q 'cannot be written: No space left on device' "$work/out"; echo $?)" \
		"$(cat "$work/out")"
	disk entry "$un/e.vmdk" both 5 0x7fffff00
	strace -o "$work/trace" -e trace=pwrite64,fsync,fdatasync "$VDCTL" check --repair \
		"$un/e.vmdk" >"$work/out" 2>&1
	# The descriptor is in sectors 1 to 20, its flush is fsync, the others' is not.
	same "unclean: a repair that clears: new IDs first, durably" \
		"$(sed -nE '/^[pf]/ { s/^(pwrite64)\(.*, ([0-9]+)\) += .*/\1 \2/; s/\(.*//; p }' \
			"$work/trace" | awk '$1 == "pwrite64" { $0 = $2 < 10752 ? "ids" : "other" }
				$0 != last { printf "%s ", $0; last = $0 }' | cut -d " " -f 1-4)" \
		"ids fsync fdatasync other" "$(cat "$work/trace")"
	if ! have script; then
		skip "unclean: progress of a merge" "no script(1)"
		return
	fi
	command="strace -f -o /dev/null -E LD_PRELOAD=$fake -E FAKE_ANSWER=yes -e trace=pread64 "
	command+="-e inject=pread64:delay_exit=1000 $VDCTL attach $img"
	script -q -e -c "$command" /dev/null </dev/null >"$work/tty" 2>&1
	same "unclean: a slow merge: exit status" "$?" 0 "$(cat "$work/tty")"
	check "unclean: a slow merge: progress on the terminal" \
		"$(grep -aq 'of 32G (' "$work/tty"; echo $?)" "$(cat "$work/tty")"
	rm "$img"
}

# The kernel takes no parent that somebody writes to: that is known before the change.
un_parent_written() {
	local base=$un/base.vmdk img=$un/top.vmdk before

	un_image "$base"
	"$VDCTL" create -q -b "$base" "$img"
	disk put "$img" 72 01
	before=$(sha "$img")
	un_hold "$base"
	LD_PRELOAD=$fake FAKE_ANSWER=yes "$VDCTL" attach "$img" >"$work/out" 2>"$work/err"
	same "unclean: a parent that is written to: exit status" $? 4 "$(cat "$work/err")"
	check "unclean: a parent that is written to: who does" \
		"$(grep -q "base.vmdk: it is a parent, and process $holder_pid " "$work/err"; echo $?)" \
		"$(cat "$work/err")"
	same "unclean: a parent that is written to: nothing has changed" "$(sha "$img")" "$before"
	release
	LD_PRELOAD=$fake FAKE_ANSWER=yes "$VDCTL" attach "$img" >"$work/out" 2>"$work/err"
	same "unclean: and then it is not: merged" "$? $(disk at "$img" 72 1 | od -An -tx1)" "0  00" \
		"$(cat "$work/err")"
	rm "$base" "$img"
}

# child FILE HINT: a delta over a.vmdk, by content ID and name
un_child() {
	printf '# Disk DescriptorFile\nversion=1\nCID=22222222\nparentCID=%s\ncreateType="custom"\nparentFileNameHint="%s"\nRW 4096 ZERO\n' \
		"$(printf %08x "0x$(made_cid "$un/kids/a.vmdk")")" "$2" >"$1"
}

made_cid() {
	"$VDCTL" info -J "$1" 2>/dev/null | jq -r .cid
}

un_children() {
	local d=$un/kids img=$un/kids/a.vmdk where

	mkdir -p "$d/Snapshots" "$d/deeper"
	un_image "$img"
	for where in Snapshots/s.vmdk:../a.vmdk ../s.vmdk:kids/a.vmdk "../s.vmdk:$img" \
		"Snapshots/s.vmdk:$img"; do
		un_child "$d/${where%%:*}" "${where#*:}"
		refused "unclean: snapshot ${where%%:*}, hint ${where#*:}" 5 \
			"${where%%:*} is a snapshot" attach --dry-run "$img"
		rm "$d/${where%%:*}"
	done
	for where in Snapshots/s.vmdk:a.vmdk ../s.vmdk:a.vmdk deeper/s.vmdk:../a.vmdk \
		../s.vmdk:other/a.vmdk; do
		un_child "$d/${where%%:*}" "${where#*:}"
		vd attach --dry-run "$img"
		same "unclean: snapshot ${where%%:*}, hint ${where#*:}: not of this one" "$rc $err" "0 "
		rm "$d/${where%%:*}"
	done
	un_child "$un/s.vmdk" kids/a.vmdk
	ln -s "$un/s.vmdk" "$d/Snapshots/link.vmdk"
	rm -r "$d/Snapshots"
	ln -s .. "$d/Snapshots"
	mv "$un/s.vmdk" "$un/elsewhere"
	vd attach --dry-run "$img"
	same "unclean: Snapshots that is a link is not followed" "$rc $err" "0 "
	rm "$d/Snapshots"
	un_child "$d/s.vmdk" a.vmdk
	un_check_children "$d" "$img"
	un_create_children "$d" "$img"
}

# What a repair clears is lost to a snapshot; what it merges or copies is not.
un_check_children() {
	local d=$1 img=$2 cid before

	cid=$(made_cid "$img")
	disk entry "$img" both 5 "$(disk entry "$img" 0 4)"
	disk entry "$img" 1 9 0
	before=$("$VDCTL" cat "$img" | sha256sum)
	vd check --repair "$img"
	same "unclean: a snapshot, a repair that keeps the content" "$rc $err" "3 "
	same "unclean: a snapshot, a repair that keeps the content: CID and content" \
		"$(made_cid "$img") $("$VDCTL" cat "$img" | sha256sum)" "$cid $before"
	check "unclean: a repair names what was copied, on a line of its own" \
		"$(grep -qE '^  copied: bytes 327680 to 393215 of the disk;' "$work/out"; echo $?)" \
		"$(cat "$work/out")"
	disk entry "$img" both 7 0x7fffff00
	before=$(sha "$img")
	refused "unclean: a snapshot, a repair that clears" 1 "s.vmdk is a snapshot" \
		check --repair "$img"
	said "unclean: a snapshot, a repair that clears: the hint" \
		"^hint: .*vdctl check --ignore-children --repair $img"
	vd check --repair -n "$img"
	same "unclean: a snapshot, a repair that clears, -n" "$rc" 2 "$err"
	check "unclean: a dry run names what would read other" \
		"$(grep -qE '^  would be changed: bytes 458752 to 524287 of ' "$work/out"; echo $?)" \
		"$(cat "$work/out")"
	vd check --repair=merge "$img"
	same "unclean: a snapshot, --repair=merge" "$rc $err" "2 "
	same "unclean: a snapshot: nothing is written" "$(sha "$img")" "$before"
	vd check --repair --ignore-children "$img"
	same "unclean: a snapshot, --ignore-children" "$rc $err" "3 "
	check "unclean: a snapshot, --ignore-children: it no longer fits" \
		"$([ "$(made_cid "$img")" != "$cid" ]; echo $?)" "$cid"
	check "unclean: a repair names what reads other, on a line of its own" \
		"$(grep -qE '^  changed: bytes 458752 to 524287 of the disk;' "$work/out"; echo $?)" \
		"$(cat "$work/out")"
}

un_create_children() {
	local d=$1 img=$2 before

	un_child "$d/s.vmdk" a.vmdk
	before=$(sha "$img")
	refused "unclean: create --force over a parent" 5 "s.vmdk is a snapshot" \
		create --force "$img" 1M
	same "unclean: create --force over a parent: it is as it was" "$(sha "$img")" "$before"
	vd create --force --ignore-children "$img" 1M
	same "unclean: create --force --ignore-children" "$rc $err" "0 "
}

disk make "$un/src.raw" 2097152 unclean
dd if=/dev/urandom of="$un/src.raw" bs=64K count=32 conv=notrunc status=none
un_sentences
un_writers
un_lone
un_children
if may_pretend unclean; then
	un_parent_written
	un_progress
fi
rm -rf "$un"

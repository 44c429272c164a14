# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash disable=SC2154
# vdctl rename: each kind of image before and after, what refuses to be renamed, and
# what is left when any of its system calls fails or the process dies there: the image
# opens under one of its names, and the same command again ends well. The content is
# qemu-img's to judge. Sourced by run.

rn=$(scratch interop-rename)
rn_old=disk.vmdk
rn_new=new.vmdk
rn_fmt=vmdk
rn_args=()

# --- images, each in a directory of its own that is copied for each try ---

rn_ref() {
	disk make "$rn/ref.raw" 3145728 rename
}

# rn_kind_KIND: fills the directory it is in
rn_kind_raw() {
	cp "$rn/ref.raw" disk.img
}

rn_kind_vdi() {
	qemu-img convert -q -f raw -O vdi "$rn/ref.raw" disk.vdi
}

rn_kind_sparse() {
	qemu-img convert -q -f raw -O vmdk "$rn/ref.raw" disk.vmdk
}

rn_kind_stream() {
	qemu-img convert -q -f raw -O vmdk -o subformat=streamOptimized "$rn/ref.raw" disk.vmdk
}

rn_kind_flat() {
	qemu-img convert -q -f raw -O vmdk -o subformat=monolithicFlat "$rn/ref.raw" disk.vmdk
}

rn_kind_split() {
	"$VDCTL" create --type split --split-size 1M disk.vmdk 3M &&
		qemu-img convert -q -n -f raw -O vmdk "$rn/ref.raw" disk.vmdk
}

rn_kind_splitflat() {
	"$VDCTL" create --type splitflat --split-size 1M disk.vmdk 3M &&
		qemu-img convert -q -n -f raw -O vmdk "$rn/ref.raw" disk.vmdk
}

rn_kind_esx() {
	"$VDCTL" create --type esx disk.vmdk 3M &&
		qemu-img convert -q -n -f raw -O vmdk "$rn/ref.raw" disk.vmdk
}

# A descriptor inside, over several sectors, and a log of changes beside it.
rn_kind_tracked() {
	rn_kind_sparse
	printf '\xa2\x72\x19\xf6\x01\0\0\0' >disk-ctk.vmdk
	printf '# Disk DescriptorFile\nversion=1\nCID=1010a8cd\nparentCID=ffffffff\ncreateType="monolithicSparse"\nRW 6144 SPARSE "disk.vmdk"\n%s\n# Change Tracking File\nchangeTrackPath="disk-ctk.vmdk"\n%s\n' \
		"$(printf '#%.0s' {1..600})" 'ddb.adapterType = "ide"' >"$rn/text"
	truncate -s 10240 "$rn/text"
	dd if="$rn/text" of=disk.vmdk bs=512 seek=1 conv=notrunc status=none
}

# Snapshots of two kinds: text inside, text in a file of its own.
rn_kind_chain() {
	rn_kind_split && qemu-img create -q -f vmdk -b disk.vmdk -F vmdk inside.vmdk &&
		"$VDCTL" create -b disk.vmdk --type split --split-size 1M apart.vmdk
}

rn_kind_sparsechain() {
	rn_kind_sparse && qemu-img create -q -f vmdk -b disk.vmdk -F vmdk inside.vmdk &&
		"$VDCTL" create -b disk.vmdk --type split --split-size 1M apart.vmdk
}

# Snapshots of another format, which QEMU does not open.
rn_kind_rawmixed() {
	rn_kind_raw && "$VDCTL" create -q -F raw -b disk.img inside.vmdk &&
		"$VDCTL" create -q -F raw -b disk.img --type split --split-size 1M apart.vmdk
}

rn_kind_vdimixed() {
	rn_kind_vdi && "$VDCTL" create -q -b disk.vdi inside.vmdk &&
		"$VDCTL" create -q -b disk.vdi --type split --split-size 1M apart.vmdk
}

# rn_use KIND: the parts below are about it
rn_use() {
	rn_kind=$1
	rn_old=disk.vmdk rn_new=new.vmdk rn_fmt=vmdk rn_args=()
	case $1 in raw*) rn_old=disk.img rn_new=new.img rn_fmt=raw ;; esac
	case $1 in vdi*) rn_old=disk.vdi rn_new=new.vdi rn_fmt=vdi ;; esac
	case $1 in *chain | *mixed) rn_args=(--update-children) ;; esac
	if [ ! -d "$rn/kind/$1" ]; then
		mkdir -p "$rn/kind/$1"
		(cd "$rn/kind/$1" && "rn_kind_$1" >/dev/null) || not_ok "rename: $1 is made"
		rn_reset
		rn_before=$(rn_state)
		vd rename "${rn_args[@]}" "$rn/img/$rn_old" "$rn/img/$rn_new"
		(cd "$rn/img" && ls -A) >"$rn/kind.$1.after"
		echo "$rn_before" >"$rn/kind.$1.before"
	fi
	rn_before=$(cat "$rn/kind.$1.before")
	rn_after=$(cat "$rn/kind.$1.after")
}

rn_reset() {
	rm -rf "$rn/img"
	cp -a "$rn/kind/$rn_kind" "$rn/img"
}

# Names and contents of all there is.
rn_state() {
	(cd "$rn/img" && find . -type f -exec sha256sum {} + | sort -k 2)
}

rn_same_content() {
	qemu-img compare -q -f raw -F "$2" "$rn/ref.raw" "$1" >/dev/null 2>&1
}

# Snapshots that QEMU does not open read as their parent.
rn_mixed_open() {
	local f

	for f in inside apart; do
		"$VDCTL" cat "$rn/img/$f.vmdk" 2>&1 | cmp - "$rn/ref.raw" || return 1
	done
}

# Complete under the new name, nothing else: rn_done, else says what is wrong.
rn_done() {
	local f

	[ "$(cd "$rn/img" && ls -A)" = "$rn_after" ] || { ls -A "$rn/img"; return 1; }
	rn_same_content "$rn/img/$rn_new" "$rn_fmt" || { echo "content differs"; return 1; }
	case $rn_kind in *chain)
		for f in inside apart; do
			rn_same_content "$rn/img/$f.vmdk" vmdk ||
				{ echo "$f.vmdk differs, or lacks its parent"; return 1; }
			"$VDCTL" cat "$rn/img/$f.vmdk" 2>&1 | cmp - "$rn/ref.raw" || return 1
		done ;;
	*mixed) rn_mixed_open || return 1 ;;
	esac
	! grep -qa '"disk' "$rn/img/"* || { echo "an old name is left"; return 1; }
}

# rn_run FAULT...: the command, with faults as strace says them
rn_run() {
	(timeout -k 5 60 strace -o "$work/trace" "$@" "$VDCTL" rename "${rn_args[@]}" \
		"$rn/img/$rn_old" "$rn/img/$rn_new" >"$work/out" 2>"$work/err"; exit $?) 2>/dev/null
	rc=$?
	err=$(cat "$work/err")
}

# --- it works ---

rn_kinds() {
	local kind text

	for kind in raw vdi sparse stream flat split splitflat esx tracked chain sparsechain \
		rawmixed vdimixed; do
		rn_use "$kind"
		rn_reset
		rn_same_content "$rn/img/$rn_old" "$rn_fmt"
		check "rename: $kind: the image is what it should be" $?
		vd rename --dry-run "${rn_args[@]}" "$rn/img/$rn_old" "$rn/img/$rn_new"
		text=$(cat "$work/out")
		same "rename: $kind: a dry run changes nothing" "$rc $(rn_state)" "0 $rn_before"
		same "rename: $kind: and says each new name" \
			"$(sed -n 's/^rename: .* -> .*\/\([^/]*\) (.*/\1/p' <<<"$text" | sort)" \
			"$(comm -13 <(cd "$rn/kind/$kind" && ls -A) <(echo "$rn_after"))"
		vd rename "${rn_args[@]}" "$rn/img/$rn_old" "$rn/img/$rn_new"
		text=$(rn_done)
		check "rename: $kind" $((rc + $?)) "exit status $rc" "$err" "$text"
		vd check -q "$rn/img/$rn_new"
		[ "$rn_fmt" = raw ] || check "rename: $kind: check finds nothing" "$rc" "$err"
		vd rename "${rn_args[@]}" "$rn/img/$rn_new" "$rn/img/$rn_old"
		same "rename: $kind: and back: as before, to the byte" "$rc $(rn_state)" "0 $rn_before" "$err"
	done
}

# What the parts below judge by does see what is wrong.
rn_control() {
	rn_use chain
	rn_reset
	vd rename --ignore-children "$rn/img/disk.vmdk" "$rn/img/new.vmdk"
	check "rename: control: snapshots that were not told" "$(! rn_done >/dev/null; echo $?)"
	rm "$rn/img/new-s002.vmdk"
	check "rename: control: an extent is missing" "$(! rn_opens >/dev/null; echo $?)"
	rn_use split
	rn_reset
	vd rename "$rn/img/disk.vmdk" "$rn/img/new.vmdk"
	ln "$rn/img/new-s001.vmdk" "$rn/img/disk-s001.vmdk"
	check "rename: control: an old name is left" "$(! rn_done >/dev/null; echo $?)"
	printf x | dd of="$rn/img/new-s001.vmdk" bs=1 seek=70000 conv=notrunc status=none
	check "rename: control: another content" "$(! rn_opens >/dev/null; echo $?)"
}

# Rights and the number of names.
rn_rights() {
	local attrs

	rn_use flat
	rn_reset
	chmod 640 "$rn/img/disk.vmdk"
	chmod 600 "$rn/img/disk-flat.vmdk"
	attrs=$(python3 -c 'import os, sys
os.setxattr(sys.argv[1], "user.note", b"kept")' "$rn/img/disk.vmdk" 2>&1)
	vd rename "$rn/img/disk.vmdk" "$rn/img/new.vmdk"
	same "rename: mode and names of each file" \
		"$(stat -c '%a %h' "$rn/img/new.vmdk" "$rn/img/new-flat.vmdk")" "640 1
600 1"
	if [ -n "$attrs" ]; then
		skip "rename: attributes" "this file system has none"
	else
		same "rename: attributes of a text that is written anew" "$(python3 -c 'import os, sys
print(os.getxattr(sys.argv[1], "user.note").decode())' "$rn/img/new.vmdk")" kept
	fi
}

# Only what is called after the image follows; what lies elsewhere stays.
rn_names() {
	rn_use flat
	rn_reset
	mkdir "$rn/img/sub"
	disk make "$rn/img/other.bin" 4096 a
	disk make "$rn/img/disk2-flat.vmdk" 4096 b
	disk make "$rn/img/sub/disk-flat.vmdk" 4096 c
	cat >"$rn/img/disk.vmdk" <<-END
		# Disk DescriptorFile
		version=1
		CID=11111111
		parentCID=ffffffff
		createType="custom"
		RW 8 FLAT "disk-flat.vmdk" 0
		RW 8 FLAT "other.bin" 0
		RW 8 FLAT "disk2-flat.vmdk" 0
		RW 8 FLAT "sub/disk-flat.vmdk" 0
		RW 8 FLAT "disk-flat.vmdk" 8
	END
	"$VDCTL" cat "$rn/img/disk.vmdk" >"$rn/mixed.raw"
	vd -v rename "$rn/img/disk.vmdk" "$rn/img/my disk.vmdk"
	same "rename: which extents follow" "$rc $(cd "$rn/img" && find . -type f | sort)" "0 ./disk2-flat.vmdk
./my disk-flat.vmdk
./my disk.vmdk
./other.bin
./sub/disk-flat.vmdk"
	same "rename: a note says which do not" "$(grep -c "keeps its name" "$work/err")" 3
	"$VDCTL" cat "$rn/img/my disk.vmdk" | cmp -s - "$rn/mixed.raw"
	check "rename: extents of both kinds are found" $?
	mkdir "$rn/img/dir"
	refused "rename: to where a name would not lead any more" 1 "sub/disk-flat" \
		rename "$rn/img/my disk.vmdk" "$rn/img/dir"
	vd rename -J "$rn/img/my disk.vmdk" "$rn/img/third"
	same "rename: JSON" "$(python3 -c '
import json, sys
top = json.load(open(sys.argv[1]))
print(top["schema"], top["format"], top["dry-run"], len(top["rename"]), len(top["rewrite"]),
      sorted(top["keep"]))' "$work/out")" \
		"1 vmdk False 2 1 ['disk2-flat.vmdk', 'other.bin', 'sub/disk-flat.vmdk']"
	"$VDCTL" cat "$rn/img/third" | cmp -s - "$rn/mixed.raw"
	check "rename: to a name without an extension" $?
}

# A new stem that begins as the old one does, and the other way.
rn_stems() {
	local from to

	rn_use flat
	rn_reset
	for to in disk-2 disk disk.x disk-2-flat2 disk; do
		from=${from:-disk}
		vd rename "$rn/img/$from.vmdk" "$rn/img/$to.vmdk"
		same "rename: $from to $to" "$rc $(cd "$rn/img" && ls -A)" "0 $to-flat.vmdk
$to.vmdk" "$err"
		rn_same_content "$rn/img/$to.vmdk" vmdk
		check "rename: $from to $to: content" $?
		from=$to
	done
}

# Into another directory of the file system, and what names its parent from there.
rn_directory() {
	local hint

	rn_use split
	rn_reset
	mkdir "$rn/img/dir"
	vd rename "$rn/img/disk.vmdk" "$rn/img/dir"
	same "rename: into a directory" "$rc $(cd "$rn/img" && find . -type f | sort)" "0 ./dir/disk-s001.vmdk
./dir/disk-s002.vmdk
./dir/disk-s003.vmdk
./dir/disk.vmdk" "$err"
	rn_same_content "$rn/img/dir/disk.vmdk" vmdk
	check "rename: into a directory: content" $?
	vd rename "$rn/img/dir/disk.vmdk" "$rn/img/again.vmdk"
	rn_same_content "$rn/img/again.vmdk" vmdk
	check "rename: out of it, with another name" $((rc + $?)) "$err"
	rn_use chain
	rn_reset
	mkdir "$rn/img/dir"
	vd rename --update-children "$rn/img/disk.vmdk" "$rn/img/dir/base.vmdk"
	hint=$(grep -a parentFileNameHint "$rn/img/apart.vmdk")
	same "rename: a snapshot finds its parent below it" "$rc $hint" \
		'0 parentFileNameHint="dir/base.vmdk"' "$err"
	rn_same_content "$rn/img/inside.vmdk" vmdk
	check "rename: both do" $?
}

# --- it is refused ---

# rn_refused NAME CODE WORD: as refused does, and all is as it was
rn_refused() {
	refused "rename: $1" "$2" "$3" rename "${@:4}" "$rn/img/$rn_old" "$rn/img/$rn_new"
	same "rename: $1: nothing changed" "$(rn_state)" "$rn_here"
}

rn_exists() {
	local file

	for file in new.vmdk new-s001.vmdk new-s003.vmdk; do
		rn_use split
		rn_reset
		echo precious >"$rn/img/$file"
		rn_here=$(rn_state)
		rn_refused "$file exists" 4 "exists already"
	done
	for kind in sparse raw; do
		rn_use "$kind"
		rn_reset
		echo precious >"$rn/img/$rn_new"
		rn_here=$(rn_state)
		rn_refused "$kind: the new name exists" 4 "exists already"
	done
	# Another disk, whose descriptor is alike.
	rn_use flat
	rn_reset
	cp -a "$rn/kind/flat/disk.vmdk" "$rn/img/new.vmdk"
	sed -i 's/disk-flat/new-flat/' "$rn/img/new.vmdk"
	rn_here=$(rn_state)
	rn_refused "a descriptor that might be of an earlier run" 4 "exists already"
	rn_use tracked
	rn_reset
	echo precious >"$rn/img/new-ctk.vmdk"
	rn_here=$(rn_state)
	rn_refused "the log's new name exists" 4 "exists already"
}

rn_usage() {
	rn_use flat
	rn_reset
	rn_here=$(rn_state)
	refused "rename: no new name" 2 "which new name" rename "$rn/img/disk.vmdk"
	refused "rename: nothing" 2 "which image" rename
	refused "rename: to itself" 2 "its name already" rename "$rn/img/disk.vmdk" "$rn/img/../img/disk.vmdk"
	refused "rename: to no name" 2 "no name" rename "$rn/img/disk.vmdk" "$rn/img/.."/img/nowhere/..
	refused "rename: of nothing" 3 "no such file" rename "$rn/img/none.vmdk" "$rn/img/new.vmdk"
	refused "rename: to a directory that is not there" 3 "directory" \
		rename "$rn/img/disk.vmdk" "$rn/img/none/new.vmdk"
	refused "rename: a name that a descriptor cannot hold" 1 "quotes" \
		rename "$rn/img/disk.vmdk" "$rn/img/ne\"w.vmdk"
	ln -s disk.vmdk "$rn/img/link.vmdk"
	refused "rename: of a symbolic link" 1 "symbolic link" rename "$rn/img/link.vmdk" "$rn/img/new.vmdk"
	rm "$rn/img/link.vmdk"
	refused "rename: of an extent" 1 "part of the image" \
		rename "$rn/img/disk-flat.vmdk" "$rn/img/new.vmdk"
	refused "rename: to the old name of an extent" 4 "exists already" \
		rename "$rn/img/disk.vmdk" "$rn/img/disk-flat.vmdk"
	mkfifo "$rn/img/pipe"
	refused "rename: of a pipe" 1 "regular file" rename "$rn/img/pipe" "$rn/img/new.vmdk"
	rm "$rn/img/pipe"
	same "rename: usage: nothing changed" "$(rn_state)" "$rn_here"
	if [ "$(stat -c %d /dev/shm "$rn" 2>/dev/null | sort -u | wc -l)" -eq 2 ]; then
		refused "rename: to another file system" 1 "another file system" \
			rename "$rn/img/disk.vmdk" /dev/shm/vdctl-rename.vmdk
		same "rename: to another file system: nothing changed" "$(rn_state)" "$rn_here"
	else
		skip "rename: to another file system" "/dev/shm is none"
	fi
}

rn_locked() {
	rn_use split
	rn_reset
	for file in disk.vmdk disk-s002.vmdk; do
		mkdir "$rn/img/$file.lck"
		touch "$rn/img/$file.lck/M1.lck"
		rn_here=$(rn_state)
		rn_refused "VMware has $file" 4 "VMware has it open"
		check "rename: a hint says what to do if that is stale" \
			"$(grep -q "hint: .*remove the directory" "$work/err"; echo $?)" "$err"
		rm -r "$rn/img/$file.lck"
	done
	for mode in -r -n; do
		[ "$mode" = -r ] || mode=
		# shellcheck disable=SC2086
		if hold_qemu_io $mode -f vmdk "$rn/img/disk.vmdk"; then
			rn_here=$(rn_state)
			rn_refused "qemu-io has it open${mode:+ for reading}" 4 "locked"
		else
			not_ok "rename: qemu-io starts"
		fi
		release
	done
	# Without any lock, as VirtualBox: found by who has it open for writing.
	hold disk hold sh -c "exec 3<>'$rn/img/disk-s001.vmdk'; echo open; echo more"
	rn_refused "a program has an extent open for writing" 4 "has it open for writing"
	release
}

# Attached without locks, so that nothing but the module tells.
rn_attached() {
	may_pretend rename || return
	rn_use sparse
	rn_reset
	rn_here=$(rn_state)
	LD_PRELOAD=$fake FAKE_PATH=$rn/img/disk.vmdk rn_refused "it is attached" 4 \
		"attached as vdisk3"
}

rn_permission() {
	if [ "$(id -u)" -ne 0 ] || ! have setpriv; then
		skip "rename: without permission" "wants root and setpriv"
		return
	fi
	rn_use split
	rn_reset
	chmod 755 "$rn/img"
	rn_here=$(rn_state)
	cp "$VDCTL" "$rn/vdctl"
	chmod 755 "$rn/vdctl"
	setpriv --reuid=65534 --regid=65534 --clear-groups "$rn/vdctl" rename "$rn/img/disk.vmdk" \
		"$rn/img/new.vmdk" >"$work/out" 2>"$work/err"
	rc=$?
	same "rename: without permission" "$rc $(rn_state)" "6 $rn_here" "$(cat "$work/err")"
}

rn_children() {
	rn_use chain
	rn_reset
	rn_here=$(rn_state)
	rn_refused "an image with snapshots" 5 "snapshot on top"
	check "rename: hints say both ways" \
		"$(grep -c "hint:.*--\(update\|ignore\)-children" "$work/err" | grep -qx 2; echo $?)" "$err"
	refused "rename: not both ways" 2 "exclude" rename --update-children --ignore-children a b
	if hold_qemu_io -f vmdk "$rn/img/inside.vmdk"; then
		rn_here=$(rn_state)
		rn_refused "a snapshot is in use" 4 "locked" --update-children
	else
		not_ok "rename: qemu-io starts"
	fi
	release
	rn_reset
	vd rename --ignore-children "$rn/img/disk.vmdk" "$rn/img/new.vmdk"
	same "rename: --ignore-children leaves them as they are" \
		"$rc $(cd "$rn/img" && sha256sum inside.vmdk apart*.vmdk)" \
		"0 $(cd "$rn/kind/chain" && sha256sum inside.vmdk apart*.vmdk)"
}

# Snapshots that know their parent by UUID alone find it beside themselves, or not.
rn_unhinted() {
	local at=$rn/img new

	for new in base2.vdi dir/base.vdi base.bak; do
		rm -rf "$at"
		mkdir -p "$at/dir"
		(cd "$at" && rn_kind_vdi && mv disk.vdi base.vdi &&
			"$VDCTL" create -q -b base.vdi child.vdi) || not_ok "rename: a VDI with a snapshot"
		if [ "$new" = base2.vdi ]; then
			vd rename "$at/base.vdi" "$at/$new"
			same "rename: a VDI beside its snapshot" "$rc" 0 "$err"
			cat_is "rename: the snapshot finds it" "$(sha "$rn/ref.raw")" "$at/child.vdi"
			continue
		fi
		for how in "" --update-children; do
			# shellcheck disable=SC2086
			refused "rename: a VDI to where its snapshot does not find it, $new $how" 5 \
				"child.vdi is a snapshot .* by UUID alone" \
				rename $how "$at/base.vdi" "$at/$new"
		done
		cat_is "rename: $new: nothing has changed" "$(sha "$rn/ref.raw")" "$at/child.vdi"
		vd rename --ignore-children "$at/base.vdi" "$at/$new"
		same "rename: $new: unless that is said" "$rc $([ -e "$at/$new" ]; echo $?)" "0 0" "$err"
	done
}

# --- it is stopped ---

# rn_meet FILE COMMAND...: vdctl's COMMAND has opened FILE, but locked nothing, when somebody
# sets its comment, which makes a new file of it
rn_meet() {
	local file=$1 strace_pid
	shift

	# What the last one said is not this one's.
	rm -f "$work/trace"
	strace -o "$work/trace" -e trace=fcntl -e inject=fcntl:signal=STOP:when=1 \
		"$VDCTL" "$@" >"$work/meet.out" 2>"$work/meet.err" &
	strace_pid=$!
	until grep -qs 'stopped by SIGSTOP' "$work/trace" || ! kill -0 "$strace_pid" 2>/dev/null; do
		read -r -t 0.05 <> <(:) || :
	done
	"$VDCTL" set "$file" --comment "$(printf 'x%.0s' {1..700})" >/dev/null 2>&1
	rn_set=$?
	kill -CONT "$(cat "/proc/$strace_pid/task/$strace_pid/children")"
	wait "$strace_pid"
	rc=$?
	err=$(cat "$work/meet.err")
}

rn_raced() {
	local word

	for word in rename attach; do
		rn_use flat
		rn_reset
		if [ $word = rename ]; then
			rn_meet "$rn/img/disk.vmdk" rename "$rn/img/disk.vmdk" "$rn/img/new.vmdk"
		else
			rn_meet "$rn/img/disk.vmdk" attach --dry-run --rw "$rn/img/disk.vmdk"
		fi
		same "rename: $word of what has just been replaced: refused" \
			"$rn_set $rc $(grep -c 'has just replaced it' <<<"$err")" "0 4 1" "$err"
		same "rename: $word: the new file is as it was set" \
			"$("$VDCTL" info -J "$rn/img/disk.vmdk" | jq -r '.comment | length')" 700
	done
}

rn_calls='linkat renameat2 renameat unlinkat fsync fdatasync pwrite64 ftruncate'

# What may stand after a crash: the image, under one of its names.
rn_opens() {
	local f

	rn_same_content "$rn/img/$rn_old" "$rn_fmt" || rn_same_content "$rn/img/$rn_new" "$rn_fmt" ||
		{ echo "neither name opens: $(cd "$rn/img" && ls -A)"; return 1; }
	case $rn_kind in *chain)
		for f in inside apart; do
			rn_same_content "$rn/img/$f.vmdk" vmdk ||
				{ echo "$f.vmdk does not open"; return 1; }
		done ;;
	vdimixed) rn_mixed_open ;;
	esac
}

# The same command again: it is done now, or had been.
rn_again() {
	rn_run -e trace=linkat "${rn_mode[@]}"
	[ "$rc" -eq 0 ] || { [ "$rc" -eq 3 ] && grep -q 'nothing is left to be done' "$work/err"; } ||
		{ echo "again: exit status $rc: $err"; return 1; }
	rn_done
}

# rn_kill CALL: dies before its nth, for each n. Words in $rn_mode: more faults.
rn_kill() {
	local n bad text=

	for ((n = 1; n < 60; n++)); do
		rn_reset
		rn_run -e "trace=linkat,$1" "${rn_mode[@]}" -e "inject=$1:signal=KILL:when=$n"
		[ "$rc" -eq 137 ] || break
		bad=
		[ ${#rn_mode[@]} -ne 0 ] || bad=$(rn_opens)
		bad+=$(rn_again)
		[ -z "$bad" ] || text+="before the ${n}th: $bad
"
	done
	rn_n=$((n - 1))
	rn_all=$((rn_all + rn_n))
	[ "$rn_n" -eq 0 ] && [ "$rc" -eq 0 ] && return
	[ "$rc" -eq 0 ] || text+="without a kill: $err"
	same "rename: $rn_kind$rn_how: killed at each of $rn_n $1" "$text" ""
}

# rn_fail CALL ERROR: its nth fails, for each n
rn_fail() {
	local n bad text=

	for ((n = 1; n < 60; n++)); do
		rn_reset
		rn_run -e "trace=linkat,$1" "${rn_mode[@]}" -e "inject=$1:error=$2:when=$n"
		grep "^$1(" "$work/trace" | grep -q INJECTED || break
		bad=
		[ "$rc" -eq 0 ] || [ -s "$work/err" ] || bad="no sentence"
		if [ "$rc" -ne 0 ] && [ "$(rn_state)" != "$rn_before" ]; then
			rn_same_content "$rn/img/$rn_new" "$rn_fmt" || bad+="neither as before nor complete "
			bad+=$(rn_again)
		elif [ "$rc" -eq 0 ]; then
			bad+=$(rn_done)
		fi
		[ -z "$bad" ] || text+="the ${n}th: $bad $err
"
	done
	rn_n=$((n - 1))
	rn_all=$((rn_all + rn_n))
	[ "$rn_n" -eq 0 ] || same "rename: $rn_kind$rn_how: each of $rn_n $1 fails with $2" "$text" ""
}

# rn_fail_on CALL: its nth fails and all that follow, those that would undo it too. What is
# not as before then is in a journal that a hint names, by which the same command goes on.
rn_fail_on() {
	local n bad kept=0 text=

	for ((n = 1; n < 60; n++)); do
		rn_reset
		rn_run -e "trace=linkat,$1" "${rn_mode[@]}" -e "inject=$1:error=EIO:when=$n+"
		grep "^$1(" "$work/trace" | grep -q INJECTED || break
		bad=
		if [ "$rc" -eq 0 ]; then
			bad=$(rn_done)
		elif [ -e "$rn/img/.$rn_new.vdctl-rename" ]; then
			kept=$((kept + 1))
			rn_same_content "$rn/img/$rn_new" "$rn_fmt" ||
				grep -q "in $rn/img/.$rn_new.vdctl-rename: give the same command" \
					"$work/err" || bad="no hint at the journal "
			bad+=$(rn_again)
		elif [ "$(rn_state)" != "$rn_before" ]; then
			rn_same_content "$rn/img/$rn_new" "$rn_fmt" ||
				bad="no journal, and neither as before nor complete: $(rn_state | diff - <(echo "$rn_before")) "
			bad+=$(rn_again)
		fi
		[ -z "$bad" ] || text+="from the ${n}th on: $bad $err
"
	done
	same "rename: $rn_kind$rn_how: from each of $((n - 1)) $1 on they fail" "$text" ""
	check "rename: $rn_kind$rn_how: $1: there was something to undo" "$((!kept))"
}

# Asked to end: as before, or complete.
rn_term() {
	local n bad text=

	for ((n = 1; n < 60; n++)); do
		rn_reset
		rn_run -e "trace=linkat,$1" "${rn_mode[@]}" -e "inject=$1:signal=TERM:when=$n"
		grep -q "SIGTERM" "$work/trace" || break
		bad=
		if [ "$rc" -eq 0 ]; then
			bad=$(rn_done)
		elif [ "$rc" -ne 143 ] || [ "$(rn_state)" != "$rn_before" ]; then
			bad="exit status $rc, not as before"
		fi
		[ -z "$bad" ] || text+="the ${n}th: $bad $err
"
	done
	rn_n=$((n - 1))
	rn_all=$((rn_all + rn_n))
	[ "$rn_n" -eq 0 ] || same "rename: $rn_kind$rn_how: SIGTERM at each of $rn_n $1" "$text" ""
}

# Stopped while the image has both names, and then somebody writes to it under one.
rn_written() {
	local name cid

	rn_use split
	for name in disk new; do
		rn_reset
		rn_run -e trace=unlinkat -e inject=unlinkat:signal=KILL:when=1
		qemu-io -f vmdk -c 'write -P 9 1M 64k' "$rn/img/$name.vmdk" >/dev/null
		qemu-img convert -q -f vmdk -O raw "$rn/img/$name.vmdk" "$rn/written.raw"
		cid=$(grep -a ^CID= "$rn/img/$name.vmdk")
		vd rename "$rn/img/disk.vmdk" "$rn/img/new.vmdk"
		same "rename: stopped, written to as $name.vmdk, and again" \
			"$rc $(cd "$rn/img" && ls -A) $(grep -a ^CID= "$rn/img/new.vmdk")" \
			"0 $rn_after $cid" "$err"
		qemu-img compare -q -f raw -F vmdk "$rn/written.raw" "$rn/img/new.vmdk"
		check "rename: stopped, written to as $name.vmdk: content" $?
		check "rename: stopped, written to as $name.vmdk: control: it was" \
			"$(grep -qa "$cid" "$rn/kind/split/disk.vmdk"; echo $((!$?)))"
	done
}

# A journal is believed if it is what the image and the names lead to, else it is another's.
rn_journal() {
	local text

	rn_use split
	for text in "" "vdctl rename" "vdctl rename
from $rn/img/disk.vmdk
to $rn/img/new.vmdk
file other
as new-s001.vmdk"; do
		rn_reset
		printf '%s\n' "$text" >"$rn/img/.new.vmdk.vdctl-rename"
		rn_here=$(rn_state)
		rn_refused "a journal that is not of this renaming" 4 "not of this one"
	done
	rn_reset
	ln -s disk.vmdk "$rn/img/.new.vmdk.vdctl-rename"
	rn_here=$(rn_state)
	rn_refused "a journal that is a symbolic link" 4 "not of this one"
}

# Each kind of image; without links too, as on FAT.
rn_stopped() {
	local call kind

	rn_all=0
	for rn_how in "" " without links"; do
		rn_mode=()
		[ -z "$rn_how" ] || rn_mode=(-e inject=linkat:error=EPERM)
		for kind in raw vdi sparse split tracked chain sparsechain rawmixed vdimixed; do
			rn_use "$kind"
			for call in $rn_calls; do
				[ "$call$rn_how" != "linkat without links" ] || continue
				rn_kill "$call"
				rn_fail "$call" EIO
				[ -n "$rn_how" ] || rn_term "$call"
			done
		done
	done
	for kind in split tracked chain; do
		rn_use "$kind"
		rn_fail_on renameat2
		rn_fail_on fsync
		rn_fail_on unlinkat
	done
	check "rename: there were some hundred places to stop at" "$((rn_all < 300))" "$rn_all"
	echo "# rename: stopped or failed at $rn_all places"
}

# The order on disk: an old name goes when the new one is durable.
rn_order() {
	rn_use split
	rn_reset
	rn_run -y -e trace=linkat,renameat2,unlinkat,fsync
	same "rename: what is durable before what" "$(sed -n \
		-e 's/^linkat.*/link/p' -e 's/^renameat2.*/rename/p' -e 's/^unlinkat.*vdctl-new.*//p' \
		-e 's/^unlinkat.*disk\.vmdk.*/unlink image/p' -e 's/^unlinkat.*disk-s.*/unlink extent/p' \
		-e 's/^fsync([0-9]*<.*vdctl-new.*/sync file/p' -e 's/^fsync.*/sync dir/p' "$work/trace" |
		grep . | uniq | tr '\n' ';')" \
		"link;sync dir;sync file;rename;sync dir;unlink image;sync dir;unlink extent;sync dir;"
}

rn_ref
rn_kinds
rn_control
rn_rights
rn_names
rn_stems
rn_directory
rn_exists
rn_usage
rn_locked
rn_attached
rn_permission
rn_children
rn_unhinted
rn_journal
if have strace && strace -o /dev/null true 2>/dev/null; then
	rn_order
	rn_raced
	rn_written
	rn_stopped
else
	skip "rename: under strace" "strace does not work here"
fi

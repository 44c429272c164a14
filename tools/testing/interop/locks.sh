# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash disable=SC2154
# Who may use an image beside whom, without the kernel: vdctl against QEMU's
# tools and flock, in both directions. Sourced by run.

lk=$(scratch interop-locks)

# busy NAME ARG...: `vdctl ARG...` is refused as locked, and -U passes
busy() {
	local name=$1
	shift
	refused "locks: $name: refused" 4 "lock|use|busy" "$@"
	vd "$1" -U "${@:2}"
	same "locks: $name: -U passes" "$rc" 0 "$err"
}

free() {
	local name=$1
	shift
	vd "$@"
	same "locks: $name: shared" "$rc" 0 "$err"
}

lk_images() {
	disk make "$lk/src.raw" 4194304 locks
	convert_to monolithicSparse one.vmdk
	convert_to twoGbMaxExtentSparse split.vmdk
	convert_to monolithicFlat flat.vmdk
	convert_to streamOptimized stream.vmdk
	cp "$lk/src.raw" "$lk/raw.raw"
	qemu-img create -q -f vmdk -F vmdk -b one.vmdk "$lk/child.vmdk" >/dev/null
}

convert_to() {
	qemu-img convert -q -f raw -O vmdk -o "subformat=$1" "$lk/src.raw" "$lk/$2"
}

# QEMU first, then vdctl.
lk_after_qemu() {
	local img verb format

	for img in one.vmdk split.vmdk flat.vmdk raw.raw; do
		format=${img##*.}
		hold_qemu_io -f "$format" "$lk/$img"
		for verb in cat map info; do
			busy "qemu-io rw, vdctl $verb $img" "$verb" -f "$format" "$lk/$img"
		done
		# probe answers what kind of file it is; it looks at the first bytes only
		release
		free "qemu-io rw has gone, vdctl cat $img" cat -f "$format" "$lk/$img"
		hold_qemu_io -r -f "$format" "$lk/$img"
		for verb in cat map info; do
			free "qemu-io -r, vdctl $verb $img" "$verb" -f "$format" "$lk/$img"
		done
		release
	done
	hold_qemu_io -r -f vmdk "$lk/stream.vmdk"
	free "qemu-io -r, vdctl cat stream.vmdk" cat "$lk/stream.vmdk"
	release
}

# Any member counts: a descriptor that nobody holds names an extent that somebody does.
lk_members() {
	hold_qemu_io -f raw "$lk/flat-flat.vmdk"
	busy "qemu-io rw on the flat extent, vdctl cat flat.vmdk" cat "$lk/flat.vmdk"
	release
	hold_qemu_io -f vmdk "$lk/one.vmdk"
	busy "qemu-io rw on the parent, vdctl cat child.vmdk" cat "$lk/child.vmdk"
	release
	# QEMU holds the parent of what it writes for reading.
	hold_qemu_io -f vmdk "$lk/child.vmdk"
	busy "qemu-io rw on the child, vdctl cat child.vmdk" cat "$lk/child.vmdk"
	free "qemu-io rw on the child, vdctl cat its parent" cat "$lk/one.vmdk"
	release
}

lk_nbd() {
	qemu-nbd -t -f vmdk -k "$lk/nbd.sock" --pid-file "$lk/nbd.pid" "$lk/one.vmdk" &
	holder_pid=$!
	for _ in {1..300}; do
		[ -S "$lk/nbd.sock" ] && [ -s "$lk/nbd.pid" ] && break
		read -r -t 0.1 <> <(:) || :
	done
	check "locks: qemu-nbd serves" "$([ -S "$lk/nbd.sock" ]; echo $?)"
	busy "qemu-nbd rw, vdctl cat" cat "$lk/one.vmdk"
	release
}

# flock(1), as systemd's tools and scripts use it.
lk_flock() {
	# shellcheck disable=SC2016
	hold flock -x "$lk/one.vmdk" sh -c 'echo held; read -r _'
	busy "flock -x, vdctl cat" cat "$lk/one.vmdk"
	release
	hold flock -s "$lk/one.vmdk" sh -c 'echo held; read -r _'
	free "flock -s, vdctl cat" cat "$lk/one.vmdk"
	release
}

# vdctl first: its output goes to a pipe that nobody reads, so it stays in the middle.
vdctl_hold() {
	rm -f "$work/hold.pipe"
	mkfifo "$work/hold.pipe"
	"$VDCTL" cat "$@" >"$work/hold.pipe" 2>"$work/hold.err" &
	holder_pid=$!
	exec 9<"$work/hold.pipe"
	# The first bytes are out: files are open and locked.
	[ "$(head -c 512 <&9 | wc -c)" -eq 512 ]
}

vdctl_release() {
	exec 9<&-
	wait "$holder_pid" 2>/dev/null
	holder_pid=
}

# others NAME IMAGE FORMAT: what QEMU may do while vdctl reads IMAGE
lk_others() {
	local name=$1 img=$2 format=$3 out

	out=$(qemu-io -f "$format" -c 'read 0 512' "$img" 2>&1)
	check "locks: $name: qemu-io rw is refused" "$(grep -qi 'lock' <<<"$out"; echo $?)" "$out"
	out=$(qemu-io -r -f "$format" -c 'read 0 512' "$img" 2>&1)
	check "locks: $name: qemu-io -r is shared" "$(grep -q 'read 512/512' <<<"$out"; echo $?)" "$out"
	out=$(qemu-img info -f "$format" "$img" 2>&1)
	check "locks: $name: qemu-img info is shared" $? "$out"
	vd cat "${@:4}" "$img"
	same "locks: $name: a second vdctl is shared" "$rc" 0 "$err"
	check "locks: $name: flock -x is refused" "$(! flock -x -n "$img" true; echo $?)"
	check "locks: $name: flock -s is shared" "$(flock -s -n "$img" true; echo $?)"
}

lk_before_qemu() {
	local img out

	for img in one.vmdk flat.vmdk split.vmdk stream.vmdk; do
		vdctl_hold "$lk/$img"
		check "locks: vdctl cat $img runs" $? "$(cat "$work/hold.err")"
		if [ "$img" = stream.vmdk ]; then
			out=$(qemu-io -f vmdk -c 'read 0 512' "$lk/$img" 2>&1)
			check "locks: vdctl cat stream.vmdk: qemu-io rw is refused" \
				"$(grep -qi lock <<<"$out"; echo $?)" "$out"
		else
			lk_others "vdctl cat $img" "$lk/$img" vmdk
		fi
		vdctl_release
	done
	vdctl_hold -f raw "$lk/raw.raw"
	lk_others "vdctl cat raw.raw" "$lk/raw.raw" raw -f raw
	vdctl_release

	vdctl_hold "$lk/child.vmdk"
	out=$(qemu-io -f vmdk -c 'read 0 512' "$lk/one.vmdk" 2>&1)
	check "locks: vdctl cat child.vmdk: qemu-io rw on its parent is refused" \
		"$(grep -qi lock <<<"$out"; echo $?)" "$out"
	vdctl_release
	vdctl_hold "$lk/flat.vmdk"
	out=$(qemu-io -f raw -c 'read 0 512' "$lk/flat-flat.vmdk" 2>&1)
	check "locks: vdctl cat flat.vmdk: qemu-io rw on its extent is refused" \
		"$(grep -qi lock <<<"$out"; echo $?)" "$out"
	vdctl_release

	vdctl_hold -U "$lk/one.vmdk"
	out=$(qemu-io -f vmdk -c 'read 0 512' "$lk/one.vmdk" 2>&1)
	check "locks: vdctl cat -U holds nothing" "$(grep -q 'read 512/512' <<<"$out"; echo $?)" "$out"
	vdctl_release
	out=$(qemu-io -f vmdk -c 'read 0 512' "$lk/one.vmdk" 2>&1)
	check "locks: nothing is held afterwards" "$(grep -q 'read 512/512' <<<"$out"; echo $?)" "$out"
}

# The very bytes, as RELIABILITY has them: 100, 201 and 203, read locks.
lk_bytes() {
	local inode bytes

	vdctl_hold "$lk/one.vmdk"
	inode=$(stat -c %i "$lk/one.vmdk")
	bytes=$(awk -v i=":$inode\$" '$2 == "OFDLCK" && $4 == "READ" && $6 ~ i {
			for (b = $7; b <= $8; b++) print b }' /proc/locks | sort -n | tr '\n' ' ')
	same "locks: the OFD bytes that vdctl holds for reading" "$bytes" "100 201 203 "
	vdctl_release
}

# VMware's lock directory: reading goes on, with a word of warning.
lk_vmware() {
	mkdir "$lk/one.vmdk.lck"
	touch "$lk/one.vmdk.lck/M12345.lck"
	vd cat "$lk/one.vmdk"
	same "locks: VMware's .lck directory does not stop a reader" "$rc" 0 "$err"
	rm -rf "$lk/one.vmdk.lck"
}

lk_images
lk_after_qemu
lk_members
lk_nbd
lk_flock
lk_before_qemu
lk_bytes
lk_vmware
rm -rf "$lk"

# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash disable=SC2154
# Who may use an image beside whom, without the kernel: vdctl against QEMU's
# tools and flock, in both directions, reading and (attach) writing. Sourced by run.

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

# bytes_of FILE: which bytes have OFD read locks
bytes_of() {
	awk -v i=":$(stat -c %i "$1")\$" '$2 == "OFDLCK" && $4 == "READ" && $6 ~ i {
		for (b = $7; b <= $8; b++) print b }' /proc/locks | sort -n | tr '\n' ' '
}

# The very bytes of QEMU's protocol for a reader.
lk_bytes() {
	vdctl_hold "$lk/one.vmdk"
	same "locks: the OFD bytes that vdctl holds for reading" "$(bytes_of "$lk/one.vmdk")" \
		"100 201 203 "
	vdctl_release
}

# A dry run opens and locks as attach does, and keeps that until its answer is read.
attach_hold() {
	hold python3 "$here/disk.py" hold "$VDCTL" attach --dry-run "$@"
}

# At the end of its input the holder lets vdctl go on, and waits for it.
attach_release() {
	exec 8>&- 9<&-
	wait "$holder_pid"
	holder_pid=
}

# refuses NAME COMMAND...: it fails and speaks of a lock
refuses() {
	local name=$1 out
	shift
	out=$("$@" 2>&1)
	check "locks: $name is refused" "$(grep -qi lock <<<"$out"; echo $?)" "$out"
}

# reads NAME COMMAND...: it reads its sector
reads() {
	local name=$1 out
	shift
	out=$("$@" 2>&1)
	check "locks: $name is shared" "$(grep -q 'read 512/512' <<<"$out"; echo $?)" "$out"
}

# attached NAME FORMAT IMAGE FILE...: who is kept out while IMAGE is open for writing
lk_attached() {
	local name="attach $1" format=$2 img=$3 file
	shift 3

	attach_hold --ignore-children -f "$format" "$img"
	check "locks: $name holds" $? "$(cat "$work/hold.err")"
	for file; do
		same "locks: $name: a writer's bytes on ${file##*/}" "$(bytes_of "$file")" \
			"100 101 103 201 203 "
		check "locks: $name: flock -s on ${file##*/} is refused" \
			"$(! flock -s -n "$file" true; echo $?)"
		refuses "$name: qemu-io rw of ${file##*/} as raw" \
			qemu-io -f raw -c 'read 0 512' "$file"
	done
	refuses "$name: qemu-io rw" qemu-io -f "$format" -c 'read 0 512' "$img"
	if [ "$format" = vmdk ]; then
		refuses "$name: qemu-io -r" qemu-io -r -f vmdk -c 'read 0 512' "$img"
		refuses "$name: qemu-img info" qemu-img info -f vmdk "$img"
	fi
	refused "locks: $name: vdctl cat is refused" 4 "lock" cat -f "$format" "$img"
	refused "locks: $name: attach -r is refused" 4 "lock" attach --dry-run -r -f "$format" "$img"
	refused "locks: $name: a second attach is refused" 4 "lock" \
		attach --dry-run --ignore-children -f "$format" "$img"
	attach_release
	reads "$name has gone: qemu-io rw" qemu-io -f "$format" -c 'read 0 512' "$img"
}

lk_attach_before_qemu() {
	lk_attached "one.vmdk" vmdk "$lk/one.vmdk" "$lk/one.vmdk"
	lk_attached "flat.vmdk" vmdk "$lk/flat.vmdk" "$lk/flat.vmdk" "$lk/flat-flat.vmdk"
	lk_attached "split.vmdk" vmdk "$lk/split.vmdk" "$lk/split.vmdk" "$lk/split-s001.vmdk"
	lk_attached "raw.raw" raw "$lk/raw.raw" "$lk/raw.raw"

	# Parents are only read, and whoever only reads may read them too.
	attach_hold "$lk/child.vmdk"
	same "locks: attach child.vmdk: a reader's bytes on its parent" "$(bytes_of "$lk/one.vmdk")" \
		"100 201 203 "
	refuses "attach child.vmdk: qemu-io rw of its parent" \
		qemu-io -f vmdk -c 'read 0 512' "$lk/one.vmdk"
	reads "attach child.vmdk: qemu-io -r of its parent" \
		qemu-io -r -f vmdk -c 'read 0 512' "$lk/one.vmdk"
	refuses "attach child.vmdk: qemu-io -r" qemu-io -r -f vmdk -c 'read 0 512' "$lk/child.vmdk"
	attach_release

	attach_hold -r "$lk/flat.vmdk"
	same "locks: attach -r: a reader's bytes" "$(bytes_of "$lk/flat-flat.vmdk")" "100 201 203 "
	reads "attach -r: qemu-io -r" qemu-io -r -f vmdk -c 'read 0 512' "$lk/flat.vmdk"
	attach_release
	attach_hold --lock=no "$lk/flat.vmdk"
	same "locks: attach --lock=no: no bytes" "$(bytes_of "$lk/flat-flat.vmdk")" ""
	attach_release
}

# busy_attach NAME HINT IMAGE: refused, never read-only in silence
busy_attach() {
	local how

	for how in "" --rw; do
		# shellcheck disable=SC2086
		refused "locks: $1, attach $how: refused" 4 "lock" attach --dry-run $how \
			--ignore-children "${@:3}"
		check "locks: $1, attach $how: the hint" \
			"$(grep -qE -- "^hint: $2" "$work/err"; echo $?)" "$err"
	done
}

lk_attach_after_qemu() {
	local img format

	for img in one.vmdk split.vmdk flat.vmdk raw.raw; do
		format=${img##*.}
		hold_qemu_io -f "$format" "$lk/$img"
		busy_attach "qemu-io rw on $img" "-r --lock=no" -f "$format" "$lk/$img"
		release
		[ "$format" = vmdk ] || continue
		hold_qemu_io -r -f "$format" "$lk/$img"
		busy_attach "qemu-io -r on $img" "-r reads it" -f "$format" "$lk/$img"
		free "qemu-io -r on $img, attach -r" attach --dry-run -r "$lk/$img"
		release
	done
	# Any member counts.
	for img in flat-flat.vmdk split-s001.vmdk; do
		hold_qemu_io -f raw "$lk/$img"
		busy_attach "qemu-io rw on $img" "-r --lock=no" "$lk/${img%-*}.vmdk"
		release
		hold flock -s "$lk/$img" sh -c 'echo held; read -r _'
		busy_attach "flock -s on $img" "-r reads it" "$lk/${img%-*}.vmdk"
		release
	done
	hold_qemu_io -f vmdk "$lk/child.vmdk"
	busy_attach "qemu-io rw on the child" "-r reads it" "$lk/one.vmdk"
	free "qemu-io rw on the child, attach -r" attach --dry-run -r "$lk/one.vmdk"
	release
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
lk_attach_before_qemu
lk_attach_after_qemu
lk_vmware
rm -rf "$lk"

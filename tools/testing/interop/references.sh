# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash disable=SC2154
# Names that stand in images: what lies outside the image's directory, is no
# regular file or belongs to somebody else is refused with a sentence, and is
# never opened. Sourced by run.

rf=$(scratch interop-references)
img=$rf/img
out=$rf/outside
strace_ok=

# write_flat FILE NAME [SECTORS [OFFSET]]
write_flat() {
	cat >"$1" <<-END
		# Disk DescriptorFile
		version=1
		CID=11111111
		parentCID=ffffffff
		createType="monolithicFlat"
		RW ${3:-8} FLAT "$2" ${4:-0}
	END
}

# write_delta FILE PARENT-NAME [PARENT-CID]: an all-hole child
write_delta() {
	cat >"$1" <<-END
		# Disk DescriptorFile
		version=1
		CID=22222222
		parentCID=${3:-11111111}
		createType="custom"
		parentFileNameHint="$2"
		RW 8 SPARSE "hole-s001.vmdk"
	END
}

# Lines of a trace that opened (in whatever way) something beneath the
# forbidden directory, or a device of ours. strace -y shows what a returned
# descriptor is.
opened_outside() {
	grep -aE '^[0-9]+ +(open|openat|openat2|creat)\(' "$1" |
		grep -aE "= [0-9]+<($out|/dev/(zero|null|mem|sd|loop))" |
		grep -av '= [0-9]*</dev/null>'
}

# never NAME CODE WORD ARG...: refused, and under strace nothing outside is opened
never() {
	local name=$1 bad
	refused "references: $name" "$2" "$3" "${@:4}"
	[ -n "$strace_ok" ] || return
	timeout 60 strace -f -y -e trace=open,openat,openat2,creat -o "$work/trace" \
		"$VDCTL" "${@:4}" >/dev/null 2>&1
	bad=$(opened_outside "$work/trace")
	same "references: $name: nothing outside is opened" "$bad" ""
}

rf_prepare() {
	mkdir -p "$img/sub" "$out/sub"
	disk make "$img/flat.vmdk" 4096 flat
	disk make "$out/secret" 4096 secret
	cp "$img/flat.vmdk" "$img/sub/flat.vmdk"
	cp "$out/secret" "$out/sub/secret"
	write_flat "$img/ok.vmdk" flat.vmdk
	write_flat "$img/sub.vmdk" sub/flat.vmdk
	write_flat "$out/base.vmdk" secret
	# a sparse extent without any grain
	truncate -s 4096 "$rf/empty"
	disk extent "$img/hole-s001.vmdk" 8 8 "$rf/empty" 0 hole >/dev/null
	if have strace && strace -o /dev/null true 2>/dev/null; then
		strace_ok=1
	else
		skip "references: under strace" "strace does not work here"
	fi
}

rf_inside() {
	cat_is "references: a file beside" "$(sha "$img/flat.vmdk")" "$img/ok.vmdk"
	cat_is "references: a file in a directory below" "$(sha "$img/flat.vmdk")" "$img/sub.vmdk"
	write_flat "$img/dots.vmdk" "sub/../flat.vmdk"
	cat_is "references: .. that stays inside" "$(sha "$img/flat.vmdk")" "$img/dots.vmdk"
	(cd "$img" && cat_is "references: image named without a directory" \
		"$(sha flat.vmdk)" ok.vmdk) >"$work/sub.tap"
	check "references: image named without a directory" "$(grep -q '^ok' "$work/sub.tap"; echo $?)"
	refused "references: --no-references" 6 "reference|file" cat --no-references "$img/ok.vmdk"
	ln -s img/ok.vmdk "$rf/link.vmdk"
	cat_is "references: the image itself may be given by a link" \
		"$(sha "$img/flat.vmdk")" "$rf/link.vmdk"
}

rf_outside() {
	local verb

	write_flat "$img/abs.vmdk" "$out/secret"
	write_flat "$img/up.vmdk" "../outside/secret"
	write_flat "$img/upup.vmdk" "sub/../../outside/secret"
	for verb in cat map info; do
		never "absolute path, $verb" 6 "outside" "$verb" "$img/abs.vmdk"
		never ".., $verb" 6 "outside" "$verb" "$img/up.vmdk"
	done
	never ".. behind a directory" 6 "outside" cat "$img/upup.vmdk"
	write_flat "$img/passwd.vmdk" /etc/passwd 1
	refused "references: /etc/passwd" 6 "outside" cat "$img/passwd.vmdk"
	vd cat "$img/abs.vmdk"
	check "references: the hint is a command that works" \
		"$(grep -q -- "hint:.*--allow-outside" "$work/err"; echo $?)" "$err"
	rf_hint_works
	cat_is "references: --allow-outside, absolute" "$(sha "$out/secret")" \
		--allow-outside "$out" "$img/abs.vmdk"
	cat_is "references: --allow-outside, .." "$(sha "$out/secret")" \
		--allow-outside "$out" "$img/up.vmdk"
	if [ -n "$strace_ok" ]; then
		# The control: an open that is allowed does show in a trace.
		strace -f -y -e trace=open,openat,openat2,creat -o "$work/trace" \
			"$VDCTL" cat --allow-outside "$out" "$img/abs.vmdk" >/dev/null 2>&1
		check "references: the trace shows what is opened" \
			"$([ -n "$(opened_outside "$work/trace")" ]; echo $?)"
	fi
	never "--allow-outside of another directory" 6 "outside" cat --allow-outside "$rf/img" \
		"$img/abs.vmdk"
	never "--allow-outside is no prefix of a name" 6 "outside" \
		cat --allow-outside "$rf/out" "$img/abs.vmdk"
}

# Run what the hint says, word by word: no shell sees text that an image wrote.
rf_hint_works() {
	local words

	words=$(sed -n 's/^hint: [^:]*: *vdctl //p' "$work/err" | head -1)
	if [ -z "$words" ]; then
		not_ok "references: the hint's command" "no command in: $err"
		return
	fi
	# shellcheck disable=SC2086
	vd $words
	same "references: the hint's command succeeds" "$rc" 0 "$words" "$err"
}

rf_links() {
	ln -s "$out/secret" "$img/link"
	ln -s "$out" "$img/linkdir"
	ln -s flat.vmdk "$img/inner"
	ln -s "$rf/img/link" "$out/back"
	write_flat "$img/l1.vmdk" link
	write_flat "$img/l2.vmdk" linkdir/secret
	write_flat "$img/l3.vmdk" inner
	never "symbolic link to outside" 6 "link|outside" cat "$img/l1.vmdk"
	never "directory that is a link" 6 "link|outside" cat "$img/l2.vmdk"
	never "symbolic link inside" 6 "link" cat "$img/l3.vmdk"
	write_flat "$img/l4.vmdk" "/proc/self/root$out/secret"
	write_flat "$img/l5.vmdk" "/proc/self/fd/0"
	never "through /proc" 6 "outside|link" cat "$img/l4.vmdk"
	never "/proc/self/fd" 6 "outside|link" cat "$img/l5.vmdk"
	# An allowed directory is no way out of itself.
	mkdir -p "$rf/allowed"
	ln -s "$out/secret" "$rf/allowed/escape"
	write_flat "$img/l6.vmdk" "$rf/allowed/escape"
	never "a link that leaves an allowed directory" 6 "link|outside" \
		cat --allow-outside "$rf/allowed" "$img/l6.vmdk"
}

rf_kinds() {
	mkfifo "$img/fifo"
	write_flat "$img/fifo.vmdk" fifo
	never "FIFO" 6 "regular" cat "$img/fifo.vmdk"
	write_flat "$img/dir.vmdk" sub
	never "directory" 6 "regular" cat "$img/dir.vmdk"
	python3 -c 'import socket, sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])' "$img/sock"
	write_flat "$img/sock.vmdk" sock
	never "socket" 6 "regular" cat "$img/sock.vmdk"
	write_flat "$img/zero.vmdk" /dev/zero
	never "device" 5 "device" cat "$img/zero.vmdk"
	refused "references: device, although its directory is allowed" 5 "device" \
		cat --allow-outside /dev "$img/zero.vmdk"
	if mknod "$img/node" c 1 5 2>/dev/null; then
		write_flat "$img/node.vmdk" node
		never "device node beside the image" 6 "regular|device" cat "$img/node.vmdk"
	else
		skip "references: device node beside the image" "mknod is not permitted"
	fi
	# the image itself
	refused "references: a FIFO as image" 1 "regular|FIFO|block" cat "$img/fifo"
	refused "references: a directory as image" 1 "directory|regular" cat "$img"
	refused "references: no such image" 3 "nothing.vmdk" cat "$img/nothing.vmdk"
}

rf_owner() {
	local verb

	if [ "$(id -u)" -ne 0 ]; then
		skip "references: another owner" "needs root to give a file away"
		return
	fi
	cp "$img/flat.vmdk" "$img/foreign"
	chown 65534 "$img/foreign"
	write_flat "$img/foreign.vmdk" foreign
	refused "references: another owner's file" 6 "belongs|owner" cat "$img/foreign.vmdk"
	chown 65534 "$img/foreign.vmdk"
	cat_is "references: same foreign owner" "$(sha "$img/flat.vmdk")" "$img/foreign.vmdk"
	# Somebody else's descriptor must not show root's files.
	cp "$img/ok.vmdk" "$img/theirs.vmdk"
	chown 65534 "$img/theirs.vmdk"
	refused "references: somebody's descriptor over root's file" 6 "belongs|owner" \
		cat "$img/theirs.vmdk"
	# without permission to open
	if have setpriv && setpriv --reuid 65534 --regid 65534 --clear-groups test -x "$VDCTL" \
		-a -r "$img/ok.vmdk"; then
		chmod 600 "$img/flat.vmdk"
		chmod 644 "$img/ok.vmdk"
		timeout 20 setpriv --reuid 65534 --regid 65534 --clear-groups \
			"$VDCTL" cat "$img/ok.vmdk" >"$work/out" 2>"$work/err"
		same "references: a file that one may not read" "$?" 6 "$(cat "$work/err")"
		chmod 644 "$img/flat.vmdk"
		for verb in cat map info probe; do
			timeout 20 setpriv --reuid 65534 --regid 65534 --clear-groups \
				"$VDCTL" "$verb" "$img/foreign.vmdk" >"$work/out" 2>"$work/err"
			same "references: vdctl $verb needs no root" "$?" 0 "$(cat "$work/err")"
		done
	else
		skip "references: without root" "another user cannot reach $VD_BUILD"
	fi
}

rf_parents() {
	write_delta "$img/child.vmdk" ok.vmdk
	cat_is "references: parent beside" "$(sha "$img/flat.vmdk")" "$img/child.vmdk"
	write_delta "$img/pabs.vmdk" "$out/base.vmdk"
	never "absolute parent" 6 "outside" cat "$img/pabs.vmdk"
	cat_is "references: absolute parent, --allow-outside" "$(sha "$out/secret")" \
		--allow-outside "$out" "$img/pabs.vmdk"
	# --parent is the user's own word; what that parent names lies beside it.
	write_delta "$img/pgone.vmdk" gone.vmdk
	refused "references: missing parent" 3 "gone.vmdk" cat "$img/pgone.vmdk"
	cat_is "references: --parent" "$(sha "$out/secret")" --parent "$out/base.vmdk" \
		"$img/pgone.vmdk"
	refused "references: --parent that is missing too" 3 "nowhere" \
		cat --parent "$img/nowhere" "$img/pgone.vmdk"
	write_delta "$img/self.vmdk" self.vmdk 22222222
	refused "references: its own parent" 5 "itself|loop|twice|already" cat "$img/self.vmdk"
	write_delta "$img/ping.vmdk" pong.vmdk 22222222
	write_delta "$img/pong.vmdk" ping.vmdk 22222222
	refused "references: two that are each other's parent" 5 "itself|loop|twice|already" \
		cat "$img/ping.vmdk"
	ln "$img/self.vmdk" "$img/hard.vmdk"
	sed -i 's/self.vmdk/hard.vmdk/' "$img/self.vmdk"
	ln -f "$img/self.vmdk" "$img/hard.vmdk"
	refused "references: its own parent by a hard link" 5 "itself|loop|twice|already|same" \
		cat "$img/hard.vmdk"
	write_delta "$img/wrongcid.vmdk" ok.vmdk 99999999
	refused "references: parent with another CID" 5 "cid|content id" cat "$img/wrongcid.vmdk"
	cat_is "references: --ignore-cid" "$(sha "$img/flat.vmdk")" --ignore-cid "$img/wrongcid.vmdk"
	# A guest-written disk is never taken for an image with names of its own.
	write_delta "$img/praw.vmdk" flat.vmdk
	vd cat "$img/praw.vmdk"
	check "references: a raw parent is not guessed" "$([ "$rc" -ne 0 ]; echo $?)" "$err"
	# URLs and the like are names of files that do not exist
	local name
	for name in 'json:{\"driver\":\"file\"}' 'nbd://127.0.0.1:1/x' 'fd:0' 'file:///etc/passwd'; do
		write_delta "$img/url.vmdk" "$name"
		vd cat "$img/url.vmdk"
		check "references: parent '${name//\\/}' is just a name" \
			"$([ "$rc" -eq 3 ] || [ "$rc" -eq 5 ] || [ "$rc" -eq 6 ]; echo $?)" "$rc $err"
	done
}

rf_twice() {
	cat >"$img/twice.vmdk" <<-'END'
		# Disk DescriptorFile
		version=1
		CID=1
		parentCID=ffffffff
		createType="twoGbMaxExtentSparse"
		RW 8 SPARSE "hole-s001.vmdk"
		RW 8 SPARSE "hole-s001.vmdk"
	END
	refused "references: one sparse extent listed twice" 5 "twice|already|same" \
		cat "$img/twice.vmdk"
	write_flat "$img/me.vmdk" me.vmdk 1
	refused "references: a descriptor that names itself as extent" 5 "itself|twice|already|same" \
		cat "$img/me.vmdk"
}

# Chains at and past the cap of 64; the time and memory of a refusal are bounded.
rf_depth() {
	local hash deep=$rf/deep

	mkdir -p "$deep"
	hash=$(disk chain "$deep" 64)
	cat_is "references: a chain of 64" "$hash" "$deep/level63.vmdk"
	rm -rf "$deep"
	mkdir -p "$deep"
	disk chain "$deep" 100 >/dev/null
	refused "references: a chain of 65" 5 "64|deep|depth" cat "$deep/level64.vmdk"
	refused "references: a chain of 100" 5 "64|deep|depth" cat "$deep/level99.vmdk"
}

# A descriptor of legal size that names very many files.
rf_many() {
	{
		printf '# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\ncreateType="custom"\n'
		for _ in {1..5000}; do echo 'RW 1 ZERO'; done
	} >"$img/many.vmdk"
	refused "references: more extents than a disk may have" 5 "extent|line|segment" \
		cat "$img/many.vmdk"
}

rf_prepare
rf_inside
rf_outside
rf_links
rf_kinds
rf_owner
rf_parents
rf_twice
rf_depth
rf_many
rm -rf "$rf"

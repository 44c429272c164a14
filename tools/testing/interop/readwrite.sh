# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash disable=SC2154
# Which images attach read-write, and what that changes: `vdctl attach --dry-run`,
# which needs neither root nor the module. What really is to change a descriptor
# runs until it would talk to the module: that system call is made to fail.
# Sourced by run.

rw=$(scratch interop-readwrite)
long_cid=c30e9133f6a8e34df61188c51010a8cd

plan() {
	vd attach --dry-run -J "$@"
}

# of FILTER: what jq makes of the last plan
of() {
	jq -rc "$1" "$work/out" 2>&1
}

top_files='[.files[] | select(.image == 0) | .mode + " " + .lock] | unique | join(",")'

# may_write NAME IMAGE [ARG...]: and without a word
may_write() {
	local name=$1
	shift
	plan "$@"
	same "readwrite: $name: exit status" "$rc" 0 "$err"
	same "readwrite: $name: writable, all its files" "$(of .writable) $(of "$top_files")" \
		"true rw write"
	same "readwrite: $name: says nothing" "$err" ""
	plan --rw "$@"
	same "readwrite: $name: --rw" "$rc $(of .writable)" "0 true" "$err"
}

# may_not NAME WORD IMAGE [ARG...]: read-only for a reason, and refused with --rw
may_not() {
	local name=$1 word=$2
	shift 2
	plan "$@"
	same "readwrite: $name: exit status" "$rc" 0 "$err"
	same "readwrite: $name: read-only, all its files" "$(of .writable) $(of "$top_files")" \
		"false ro read"
	check "readwrite: $name: the reason" \
		"$(of '.["read-only-reason"]' | grep -qE -- "$word"; echo $?)" "$(cat "$work/out")"
	check "readwrite: $name: one warning with the reason" \
		"$([ "$(grep -c '^vdctl: ' "$work/err")" = 1 ] &&
			grep -qE "attached read-only: .*($word)" "$work/err"; echo $?)" "$err"
	same "readwrite: $name: no patches" "$(of '.patches | length')" 0
	refused "readwrite: $name: --rw is refused" 5 "$word" attach --dry-run --rw "$@"
	check "readwrite: $name: with a hint" "$(grep -q '^hint: ' "$work/err"; echo $?)" "$err"
	plan -r "$@"
	same "readwrite: $name: -r needs no reason" "$rc $(of .writable) $err" "0 false "
}

# text FILE CREATETYPE LINE...: a descriptor; further lines come from stdin if it is no terminal
text() {
	local file=$1 type=$2
	shift 2
	{
		printf '# Disk DescriptorFile\nversion=%s\nCID=%s\nparentCID=ffffffff\ncreateType="%s"\n' \
			"${VERSION:-1}" "${CID:-1010a8cd}" "$type"
		printf '%s\n' "$@"
	} >"$file"
}

rw_prepare() {
	disk make "$rw/src.raw" 2097152 rw
	truncate -s 2097152 "$rw/hole.raw"
	disk extent "$rw/s1.vmdk" 4096 128 "$rw/hole.raw" 0 one >/dev/null
	disk extent "$rw/s2.vmdk" 4096 128 "$rw/hole.raw" 0 two >/dev/null
	disk cowd "$rw/delta.vmdk" 4096
	cp "$rw/src.raw" "$rw/flat.vmdk"
}

rw_kinds() {
	local subformat

	for subformat in monolithicSparse monolithicFlat twoGbMaxExtentSparse twoGbMaxExtentFlat; do
		qemu-img convert -q -f raw -O vmdk -o "subformat=$subformat" "$rw/src.raw" \
			"$rw/q.vmdk"
		may_write "QEMU's $subformat" "$rw/q.vmdk"
		rm -f "$rw"/q.vmdk "$rw"/q-*
	done
	qemu-img create -q -f vmdk -o subformat=monolithicSparse,zeroed_grain=on "$rw/q.vmdk" 2M
	may_write "zeroed_grain=on" "$rw/q.vmdk"
	qemu-img convert -q -f raw -O vmdk -o subformat=streamOptimized "$rw/src.raw" "$rw/q.vmdk"
	may_not "streamOptimized" "compressed" "$rw/q.vmdk"
	rm -f "$rw/q.vmdk"

	text "$rw/d.vmdk" vmfs 'RW 4096 VMFS "flat.vmdk"'
	may_write "vmfs" "$rw/d.vmdk"
	text "$rw/d.vmdk" vmfsThin 'RW 4096 VMFS "flat.vmdk"' 'ddb.thinProvisioned = "1"'
	may_write "vmfsThin" "$rw/d.vmdk"
	text "$rw/d.vmdk" vmfsSparse 'RW 4096 VMFSSPARSE "delta.vmdk"'
	may_write "vmfsSparse (COWD)" "$rw/d.vmdk"
	text "$rw/d.vmdk" twoGbMaxExtentSparse 'RW 4096 SPARSE "delta.vmdk"'
	may_write "COWD that is called SPARSE" "$rw/d.vmdk"
	text "$rw/d.vmdk" custom 'RW 4096 FLAT "flat.vmdk" 0' 'RW 4096 SPARSE "s1.vmdk"'
	may_write "custom, FLAT and SPARSE" "$rw/d.vmdk"
	text "$rw/d.vmdk" custom 'RW 2048 FLAT "flat.vmdk" 0' 'RW 2048 FLAT "flat.vmdk" 2048'
	may_write "two parts of one file" "$rw/d.vmdk"
	text "$rw/d.vmdk" twoGbMaxExtentSparse 'RW 4096 SPARSE "s1.vmdk"' 'RW 4096 SPARSE "s2.vmdk"'
	may_write "two sparse extents" "$rw/d.vmdk"
}

rw_reasons() {
	text "$rw/d.vmdk" custom 'RW 4096 FLAT "flat.vmdk" 0' 'RW 8 ZERO'
	may_not "ZERO extent" "ZERO" "$rw/d.vmdk"
	text "$rw/d.vmdk" custom 'RDONLY 4096 FLAT "flat.vmdk" 0'
	may_not "RDONLY extent" "RDONLY" "$rw/d.vmdk"
	text "$rw/d.vmdk" custom 'RW 4096 FLAT "flat.vmdk" 0' 'NOACCESS 8 ZERO'
	may_not "NOACCESS extent" "NOACCESS" "$rw/d.vmdk"
	text "$rw/d.vmdk" newType 'RW 4096 FLAT "flat.vmdk" 0'
	plan "$rw/d.vmdk"
	same "readwrite: unknown createType" "$rc $(of .writable)" "0 false" "$err"
	text "$rw/d.vmdk" vmfs 'RW 4096 VMFS "flat.vmdk"' 'ddb.iofilters = "vmwarelwd"'
	may_not "I/O filter" "filter" "$rw/d.vmdk"
	text "$rw/d.vmdk" vmfs 'RW 4096 VMFS "flat.vmdk"' 'ddb.sidecars = "a.vmfd"'
	may_not "sidecar" "sidecar" "$rw/d.vmdk"
	python3 "$here/../hostile/generate.py" "$rw/other" sesparse-control
	may_not "SESparse" "SESparse" "$rw/other/cases/sesparse-control/disk.vmdk"
	head -c $((4096 * 512 - 100)) "$rw/flat.vmdk" >"$rw/short.vmdk"
	text "$rw/d.vmdk" vmfs 'RW 4096 VMFS "short.vmdk"'
	may_not "flat file without its last bytes" "short.vmdk ends" "$rw/d.vmdk"
	text "$rw/d.vmdk" vmfs 'RW 4104 VMFS "flat.vmdk"'
	refused "readwrite: a flat file without its last sectors" 5 "ends at" \
		attach --dry-run "$rw/d.vmdk"
	text "$rw/d.vmdk" vmfs 'RW 4096 VMFS "flat.vmdk"' 'CID=1010a8cd'
	may_not "two lines with the CID" "twice" "$rw/d.vmdk"

	# Not the first extent, but the second one says it.
	text "$rw/d.vmdk" twoGbMaxExtentSparse 'RW 4096 SPARSE "s1.vmdk"' 'RW 4096 SPARSE "x.vmdk"'
	cp "$rw/s2.vmdk" "$rw/x.vmdk"
	disk put "$rw/x.vmdk" 9 02
	may_not "unknown flags in the second header" "x.vmdk: .*flags" "$rw/d.vmdk"
	cp "$rw/s2.vmdk" "$rw/x.vmdk"
	disk put "$rw/x.vmdk" 4 03
	may_not "version 3 in the second header" "x.vmdk: version 3" "$rw/d.vmdk"
	plan "$rw/d.vmdk"
	check "readwrite: version 3: the hint has the command" \
		"$(grep -q "^hint: .*vdctl attach --drop-cbt --dry-run -J $rw/d.vmdk" "$work/err"
			echo $?)" "$err"
	qemu-img convert -q -f raw -O vmdk -o subformat=streamOptimized "$rw/src.raw" "$rw/x.vmdk"
	may_not "a compressed second extent" "x.vmdk: .*compressed" "$rw/d.vmdk"
	echo nonsense >"$rw/x.vmdk"
	refused "readwrite: a damaged second extent" 5 "x.vmdk" attach --dry-run "$rw/d.vmdk"
	rm "$rw/x.vmdk"
}

rw_raw() {
	plan "$rw/src.raw"
	same "readwrite: raw, not said" "$rc $(of .writable)" "0 false" "$err"
	plan -f raw "$rw/src.raw"
	same "readwrite: raw, said" "$rc $(of .writable) $(of "$top_files")" "0 true rw write" "$err"
	same "readwrite: raw has no patches" "$(of '.patches | length')" 0
	plan -r -f raw "$rw/src.raw"
	same "readwrite: raw, -r" "$rc $(of .writable)" "0 false" "$err"
}

# Content ids of every width, where they stand and what replaces them.
rw_patches() {
	local width cid bad='' image pos

	for width in 1 2 3 4 5 6 7 8; do
		cid=$(cut -c "1-$width" <<<e1b2c3d4)
		CID=$cid text "$rw/d.vmdk" vmfs 'RW 4096 VMFS "flat.vmdk"'
		plan "$rw/d.vmdk"
		pos=$(of '.patches[0].offset')
		[ "$(disk at "$rw/d.vmdk" "$pos" "$width")" = "$cid" ] || bad+=" $width:place"
		[ "$(of '.patches | map(.what + " " + (.length | tostring)) | join(",")')" = \
			"cid $width" ] || bad+=" $width:length"
		[[ $(of '.patches[0].text') =~ ^[0-9a-f]{$width}$ ]] || bad+=" $width:digits"
	done
	same "readwrite: CIDs of 1 to 8 digits" "$bad" ""
	CID=f text "$rw/d.vmdk" vmfs 'RW 4096 VMFS "flat.vmdk"'
	for _ in {1..40}; do
		plan "$rw/d.vmdk"
		[[ $(of '.patches[0].text') == [1-9a-e] ]] || bad+=" $(of '.patches[0].text')"
	done
	same "readwrite: a new CID is neither 0 nor the old one" "$bad" ""

	for image in embedded separate; do
		rw_long_cid "$image"
	done
	rw_mod_uuid
	text "$rw/d.vmdk" vmfs 'RW 4096 VMFS "flat.vmdk"'
	sed -i /^CID=/d "$rw/d.vmdk"
	plan "$rw/d.vmdk"
	same "readwrite: no CID, no patch" "$rc $(of .writable) $(of '.patches | length')" \
		"0 true 0" "$err"
}

rw_long_cid() {
	local img=$rw/long.vmdk name="readwrite: longContentID, $1 descriptor" len pos long

	if [ "$1" = embedded ]; then
		qemu-img create -q -f vmdk "$img" 2M
		pos=$(grep -abo 'ddb.adapterType' "$img" | head -1 | cut -d : -f 1)
		len=$(grep -abo 'ddb.toolsVersion = "2147483647"' "$img" | head -1 | cut -d : -f 1)
		len=$((len + 31 - pos))
		printf "%-${len}s" "ddb.longContentID = \"$long_cid\"" |
			dd of="$img" bs=1 seek="$pos" conv=notrunc status=none
	else
		text "$img" vmfs 'RW 4096 VMFS "flat.vmdk"' "ddb.longContentID = \"$long_cid\""
	fi
	plan "$img"
	same "$name: two patches" "$(of '.patches | map(.what) | join(",")')" \
		"cid,long-content-id" "$err"
	same "$name: its place" \
		"$(disk at "$img" "$(of '.patches[1].offset')" "$(of '.patches[1].length')")" \
		"$long_cid"
	long=$(of '.patches[1].text')
	[[ $long =~ ^[0-9a-f]{32}$ ]]
	check "$name: 32 digits" $? "$long"
	# QEMU's may have fewer digits.
	same "$name: the last 8 are the CID" "${long:24}" "$(printf %08x "0x$(of '.patches[0].text')")"
	check "$name: the others are new" "$([ "${long:0:8}" != "${long_cid:0:8}" ]; echo $?)" "$long"
	rm -f "$img"
}

# VirtualBox holds a child's parent by this one.
rw_mod_uuid() {
	local img=$rw/vbox.vmdk old=9c164d8e-1e37-447e-a57f-1439b7d6216d new
	local name="readwrite: ddb.uuid.modification"

	text "$img" vmfs 'RW 4096 VMFS "flat.vmdk"' "ddb.uuid.modification=\"$old\""
	plan "$img"
	same "$name: two patches" "$(of '.patches | map(.what) | join(",")')" \
		"cid,modification-uuid" "$err"
	same "$name: its place" \
		"$(disk at "$img" "$(of '.patches[1].offset')" "$(of '.patches[1].length')")" "$old"
	new=$(of '.patches[1].text')
	[[ $new =~ ^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$ ]]
	check "$name: a new one" $? "$new"
	check "$name: not the old one" "$([ "$new" != "$old" ]; echo $?)" "$new"
	sed -i /^CID=/d "$img"
	plan "$img"
	same "$name: alone" "$(of '.patches | map(.what) | join(",")')" modification-uuid "$err"
	rm -f "$img"
}

# What a crash left behind is put in order, what is damaged is refused.
rw_unclean() {
	local img=$rw/unclean.vmdk before

	qemu-img convert -q -f raw -O vmdk "$rw/src.raw" "$img"
	plan "$img"
	same "readwrite: closed cleanly: nothing to merge" "$(of .merge)" false "$err"
	disk put "$img" 72 01
	before=$(sha "$img")
	plan "$img"
	same "readwrite: unclean: would be merged" "$rc $(of .writable) $(of .merge)" \
		"0 true true" "$err"
	plan -r "$img"
	same "readwrite: unclean: -r merges nothing" "$rc $(of .merge)" "0 false" "$err"
	same "readwrite: unclean: a dry run changes nothing" "$(sha "$img")" "$before"
	# The mark of the second extent counts as well.
	text "$rw/d.vmdk" twoGbMaxExtentSparse 'RW 4096 SPARSE "s1.vmdk"' 'RW 4096 SPARSE "x.vmdk"'
	cp "$rw/s2.vmdk" "$rw/x.vmdk"
	disk put "$rw/x.vmdk" 72 01
	plan "$rw/d.vmdk"
	same "readwrite: unclean: in the second extent" "$(of .merge)" true "$err"
	# Two grains in one place (entry 1 of the first table is made entry 0).
	disk put "$img" $((27 * 512 + 4)) "$(disk at "$img" $((27 * 512)) 4 | od -An -tx1 | tr -d ' ')"
	refused "readwrite: unclean and damaged" 5 "contradict" attach --dry-run "$img"
	vd attach --dry-run "$img"
	check "readwrite: unclean and damaged: a hint" "$(grep -q '^hint:' "$work/err"; echo $?)" "$err"
	rm "$img" "$rw/x.vmdk"
}

# Parents stay as they are.
rw_chain() {
	qemu-img create -q -f vmdk "$rw/base.vmdk" 2M
	qemu-img create -q -f vmdk -F vmdk -b base.vmdk "$rw/mid.vmdk"
	qemu-img create -q -f vmdk -F vmdk -b mid.vmdk "$rw/top.vmdk"
	may_write "top of a chain" "$rw/top.vmdk"
	plan "$rw/top.vmdk"
	same "readwrite: parents are read, not written" \
		"$(of '[.files[] | (.filename | sub(".*/"; "")) + " " + .mode + " " + .lock] | join(",")')" \
		"top.vmdk rw write,mid.vmdk ro read,base.vmdk ro read"
	qemu-io -f vmdk -c 'write 0 512' "$rw/mid.vmdk" >/dev/null
	refused "readwrite: a parent that was changed" 5 "CID" attach --dry-run "$rw/top.vmdk"
	plan --ignore-cid "$rw/top.vmdk"
	same "readwrite: --ignore-cid is for reading" "$rc $(of .writable)" "0 false" "$err"
	rm "$rw/top.vmdk"
}

# child FILE HINT PARENTCID: a delta without data
child() {
	CID=22222222 text "$1" custom "parentFileNameHint=\"$2\"" 'RW 4096 SPARSE "s1.vmdk"'
	sed -i "s/^parentCID=.*/parentCID=$3/" "$1"
}

rw_children() {
	local dir=$rw/kids img=$rw/kids/base.vmdk n

	mkdir "$dir"
	cp "$rw/s1.vmdk" "$rw/flat.vmdk" "$dir/"
	CID=0abc text "$img" vmfs 'RW 4096 VMFS "flat.vmdk"' \
		'ddb.uuid.image="3f5cde62-6d36-4c36-ad72-ad9f3f321eb0"'
	child "$dir/snap.vmdk" base.vmdk 00000abc
	refused "readwrite: a snapshot beside it" 5 "snap.vmdk is a snapshot" \
		attach --dry-run "$img"
	vd attach --dry-run "$img"
	check "readwrite: a snapshot beside it: hints" \
		"$(grep -q '^hint: .*-r' "$work/err" &&
			grep -q "^hint: .*vdctl attach --ignore-children --dry-run $img" "$work/err"
			echo $?)" "$err"
	refused "readwrite: a snapshot beside it, --rw" 5 "snap.vmdk" attach --dry-run --rw "$img"
	plan -r "$img"
	same "readwrite: a snapshot beside it, -r" "$rc $(of .writable)" "0 false" "$err"
	may_write "--ignore-children" "$img" --ignore-children
	may_write "the snapshot itself" "$dir/snap.vmdk"

	child "$dir/snap.vmdk" base.vmdk 00000abd
	may_write "a stale snapshot beside it" "$img"
	child "$dir/snap.vmdk" 'C:\vm\base.vmdk' abc
	refused "readwrite: a snapshot with a Windows hint" 5 "snap.vmdk" attach --dry-run "$img"
	child "$dir/snap.vmdk" "other.vmdk" abc
	may_write "a snapshot of another disk with the same CID" "$img"
	ln "$img" "$dir/other.vmdk"
	refused "readwrite: a snapshot of the same file by another name" 5 "snap.vmdk" \
		attach --dry-run "$img"
	rm "$dir/other.vmdk"
	child "$dir/snap.vmdk" "" ffffffff
	sed -i '/parentFileNameHint/d' "$dir/snap.vmdk"
	echo 'ddb.uuid.parent="3f5cde62-6d36-4c36-ad72-ad9f3f321eb0"' >>"$dir/snap.vmdk"
	refused "readwrite: a snapshot that names it by UUID" 5 "snap.vmdk" attach --dry-run "$img"
	sed -i 's/1eb0"/1eb1"/' "$dir/snap.vmdk"
	may_write "a snapshot with another UUID" "$img"
	rm "$dir/snap.vmdk"

	mkfifo "$dir/pipe.vmdk"
	ln -s /dev/zero "$dir/zero.vmdk"
	mkdir "$dir/dir.vmdk"
	may_write "odd things beside it" "$img"
	for n in {1..300}; do
		echo nothing >"$dir/n$n.vmdk"
	done
	plan "$img"
	check "readwrite: no more than 256 files are looked at" \
		"$([ "$rc" -eq 0 ] && grep -q 'there are more' "$work/err"; echo $?)" "$err"
	rm -rf "$dir"
}

# Lines of a trace that open something for writing or change something; its own
# output, and /dev/null of the start, do not count.
changes() {
	grep -aE '^[0-9]+ +(open|openat|openat2|creat)\(.*(O_WRONLY|O_RDWR|O_CREAT|O_TRUNC)' "$1" |
		grep -avE '"/dev/null"|ENOENT'
	grep -aE '^[0-9]+ +(write|pwrite64|writev|pwritev2?|ftruncate|truncate|fallocate|rename.*|unlink.*|link.*|fchmod.*|fchown.*|mkdir.*|utimens.*)\(' "$1" |
		grep -avE '^[0-9]+ +write\([0-9]+<(pipe:|/.*/work|/dev/pts|/dev/null|'"$work"')'
}

# untouched NAME CODE ARG...: vdctl attach --dry-run ARG... opens nothing for writing
untouched() {
	local name=$1 code=$2 before

	shift 2
	[ -n "$strace_ok" ] || return
	before=$(rw_stats)
	timeout 60 strace -f -y -o "$work/trace" "$VDCTL" attach --dry-run "$@" >"$work/out" \
		2>"$work/err"
	same "readwrite: $name: exit status under strace" "$?" "$code" "$(cat "$work/err")"
	same "readwrite: $name: nothing is opened for writing" "$(changes "$work/trace")" ""
	same "readwrite: $name: files stay as they are" "$(rw_stats)" "$before"
}

rw_stats() {
	(cd "$rw" && find . -type f -printf '%p %s %T@ %C@ %m %i\n' | sort)
}

rw_untouched() {
	local img=$rw/base.vmdk

	text "$rw/d.vmdk" twoGbMaxExtentSparse 'RW 4096 SPARSE "s1.vmdk"' 'RW 4096 SPARSE "x.vmdk"'
	cp "$rw/s2.vmdk" "$rw/x.vmdk"
	untouched "-r" 0 -r "$rw/d.vmdk"
	untouched "-r, embedded descriptor" 0 -r --ignore-children "$img"
	untouched "snapshots" 5 "$img"
	hold_qemu_io -r -f vmdk "$rw/d.vmdk"
	untouched "in use" 4 "$rw/d.vmdk"
	release
	mkdir "$rw/s1.vmdk.lck"
	touch "$rw/s1.vmdk.lck/M1.lck"
	untouched "VMware's lock on an extent" 4 "$rw/d.vmdk"
	may_write "--ignore-vmware-lock" "$rw/d.vmdk" --ignore-vmware-lock
	rm -r "$rw/s1.vmdk.lck"
	disk put "$rw/x.vmdk" 4 03
	untouched "a reason" 0 "$rw/d.vmdk"
	untouched "a reason and --rw" 5 --rw "$rw/d.vmdk"
	# The control: what is writable does show.
	if [ -n "$strace_ok" ]; then
		strace -f -y -o "$work/trace" "$VDCTL" attach --dry-run --ignore-children "$img" \
			>/dev/null 2>&1
		check "readwrite: the trace shows what is opened for writing" \
			"$(changes "$work/trace" | grep -q "$img"; echo $?)"
	fi
	rm "$rw/x.vmdk"
}

# Files or file systems that nobody may write to.
rw_permission() {
	local as=(setpriv --reuid 65534 --regid 65534 --clear-groups) dir

	if [ "$(id -u)" -ne 0 ]; then
		as=()
	fi
	# As another user, so where others may go.
	dir=$(mktemp -d)
	chmod 755 "$dir"
	cp "$VDCTL" "$dir/vdctl"
	cp "$rw/flat.vmdk" "$dir/"
	text "$dir/d.vmdk" vmfs 'RW 4096 VMFS "flat.vmdk"'
	chmod a-w "$dir/flat.vmdk"
	chmod a+w "$dir/d.vmdk"
	if [ ${#as[@]} -gt 0 ] && ! "${as[@]}" "$dir/vdctl" --version >/dev/null 2>&1; then
		skip "readwrite: an extent that may not be written" "cannot become another user"
		rm -rf "$dir"
		return
	fi
	"${as[@]}" "$dir/vdctl" attach --dry-run -J "$dir/d.vmdk" >"$work/out" 2>"$work/err"
	same "readwrite: an extent that may not be written: read-only" \
		"$? $(of .writable) $(of "$top_files")" "0 false ro read" "$(cat "$work/err")"
	check "readwrite: an extent that may not be written: one warning" \
		"$([ "$(wc -l <"$work/err")" = 1 ] &&
			grep -q 'attached read-only: .*Permission denied' "$work/err"; echo $?)" \
		"$(cat "$work/err")"
	"${as[@]}" "$dir/vdctl" attach --dry-run --rw "$dir/d.vmdk" >"$work/out" 2>"$work/err"
	same "readwrite: an extent that may not be written: --rw" "$?" 6 "$(cat "$work/err")"
	check "readwrite: an extent that may not be written: the sentence" \
		"$(grep -q 'flat.vmdk: cannot open for writing' "$work/err"; echo $?)" \
		"$(cat "$work/err")"
	rm -rf "$dir"
	# A file system that is read-only: the open for writing says so.
	text "$rw/d.vmdk" vmfs 'RW 4096 VMFS "flat.vmdk"'
	if ! rw_read_only true 2>/dev/null; then
		skip "readwrite: a read-only file system" "no mount namespace of one's own"
		return
	fi
	rw_read_only "$VDCTL" attach --dry-run -J "$rw/d.vmdk" >"$work/out" 2>"$work/err"
	same "readwrite: a read-only file system" "$? $(of .writable) $(of "$top_files")" \
		"0 false ro read" "$(cat "$work/err")"
}

# A command that finds the images on a file system without writing, while nobody else does.
rw_read_only() {
	# shellcheck disable=SC2016 # for the inner shell
	unshare -m sh -c 'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && shift && exec "$@"' \
		sh "$rw" "$@"
}

# rw_injected CALL:FAULT ARG...: vdctl attach ARG..., with a system call that fails
rw_injected() {
	local inject=$1
	shift
	timeout -k 5 60 strace -o "$work/trace" -e "trace=${inject%%:*}" -e "inject=$inject" \
		"$VDCTL" attach "$@" >"$work/out" 2>"$work/err"
	rc=$?
	err=$(cat "$work/err")
}

if have strace && strace -o /dev/null true 2>/dev/null; then
	strace_ok=1
else
	strace_ok=
	skip "readwrite: under strace" "strace does not work here"
fi
rw_prepare
rw_kinds
rw_reasons
rw_raw
rw_patches
rw_unclean
rw_chain
rw_children
rw_untouched
rw_permission
rm -rf "$rw"

# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash disable=SC2154
# Properties of images: what info tells against qemu-img and against what stands in
# the file, what set changes and what it leaves alone, by whom it is refused, and what
# is left when any of its system calls fails or the process dies there. Sourced by run.

pr=$(scratch interop-props)
pr_uuid=01234567-89ab-4cde-8f01-23456789abcd

# prop IMAGE FILTER: of what info says
prop() {
	"$VDCTL" info -J "$1" 2>/dev/null | jq -r "$2"
}

# An image of each kind: descriptor inside, beside, beside of several, compressed.
pr_make() {
	local kind

	disk make "$pr/src.raw" 3145728 props
	for kind in monolithicSparse monolithicFlat twoGbMaxExtentSparse streamOptimized; do
		mkdir "$pr/$kind"
		qemu-img convert -q -f raw -O vmdk -o "subformat=$kind" "$pr/src.raw" \
			"$pr/$kind/disk.vmdk"
	done
	mkdir "$pr/vdi"
	qemu-img convert -q -f raw -O vdi "$pr/src.raw" "$pr/vdi/disk.vdi"
	# As QEMU leaves a descriptor whose CID it has changed: zeros behind the text.
	cp -a "$pr/monolithicFlat" "$pr/padded"
	truncate -s 1024 "$pr/padded/disk.vmdk"
	# A writer of Windows: other line ends, and blanks.
	cp -a "$pr/monolithicFlat" "$pr/crlf"
	tr -d '\0' <"$pr/monolithicFlat/disk.vmdk" | sed 's/ = /  =\t/; s/$/\r/' \
		>"$pr/crlf/disk.vmdk"
}

# --- info ---

pr_against_qemu() {
	local kind img want got

	for kind in monolithicSparse monolithicFlat twoGbMaxExtentSparse streamOptimized; do
		img=$pr/$kind/disk.vmdk
		want=$(qemu-img info --output=json "$img" | jq -c '[."virtual-size",
			(."format-specific".data | .cid, ."parent-cid", ."create-type")]')
		got=$(prop "$img" '[."virtual-size", .cid, 4294967295, .subformat]' | jq -c .)
		same "props: $kind: info says what qemu-img says" \
			"$(jq -c '.[1] |= tostring' <<<"$got")" \
			"$(jq -c --arg cid "$(printf '%08x' "$(jq '.[1]' <<<"$want")")" \
				'.[1] = $cid' <<<"$want")"
		same "props: $kind: its size is that of all its files" "$(prop "$img" '."file-size"')" \
			"$(cat "$pr/$kind"/* | wc -c)"
	done
	same "props: image flags" "$(for kind in monolithicSparse monolithicFlat \
		twoGbMaxExtentSparse streamOptimized; do
		prop "$pr/$kind/disk.vmdk" '."image-flags" | join(",")'; done | tr '\n' ' ')" \
		" fixed split stream "
}

pr_golden_image() {
	mkdir "$pr/golden"
	truncate -s 1M "$pr/golden/flat"
	cat >"$pr/golden/disk.vmdk" <<-END
		# Disk DescriptorFile
		version=1
		encoding="UTF-8"
		CID=00000abc
		parentCID=12345678
		createType="custom"
		parentFileNameHint="base.vmdk"
		RW 2048 FLAT "flat" 0
		ddb.adapterType = "lsilogic"
		ddb.geometry.cylinders = "64"
		ddb.geometry.heads = "2"
		ddb.geometry.sectors = "16"
		ddb.geometry.biosCylinders = "8"
		ddb.geometry.biosHeads = "16"
		ddb.geometry.biosSectors = "16"
		ddb.uuid.image = "$pr_uuid"
		ddb.uuid.modification = "11234567-89ab-4cde-8f01-23456789abcd"
		ddb.uuid.parent = "21234567-89ab-4cde-8f01-23456789abcd"
		ddb.uuid.parentmodification = "31234567-89ab-4cde-8f01-23456789abcd"
		ddb.comment = "two\\nlines"
	END
	touch -d 2001-02-03T04:05:06Z "$pr/golden/flat"
	touch -d 2003-02-03T04:05:06Z "$pr/golden/disk.vmdk"
}

pr_golden() {
	local want

	pr_golden_image
	want=$(jq -cS . <<-END
		{"adapter":"lsilogic", "change-tracking":false, "cid":"00000abc",
		 "comment":"two\\\\x0alines", "encoding":"UTF-8",
		 "extents":[{"kind":"flat", "length":1048576, "offset":0, "start":0}],
		 "file-size":$((1048576 + $(stat -c %s "$pr/golden/disk.vmdk"))), "format":"vmdk",
		 "geometry":{"cylinders":64, "heads":2, "sectors":16},
		 "image-flags":["fixed", "diff"], "lchs":{"cylinders":8, "heads":16, "sectors":16},
		 "modification-uuid":"11234567-89ab-4cde-8f01-23456789abcd",
		 "modified":"2003-02-03T04:05:06Z", "parent-cid":"12345678",
		 "parent-hint":"base.vmdk",
		 "parent-modification-uuid":"31234567-89ab-4cde-8f01-23456789abcd",
		 "parent-uuid":"21234567-89ab-4cde-8f01-23456789abcd", "schema":1,
		 "subformat":"custom", "unclean":false, "uuid":"$pr_uuid", "version":1,
		 "virtual-size":1048576}
	END
	)
	same "props: info -J, all of it" "$("$VDCTL" info -J "$pr/golden/disk.vmdk" |
		jq -cS 'del(.filename, .extents[].filename, ."actual-size")')" "$want"
	vd info "$pr/golden/disk.vmdk"
	for want in 'version: +1' 'virtual size: +1M \(1048576' 'file size: ' \
		'image flags: +fixed diff' 'geometry: +64/2/16' 'lchs: +8/16/16' \
		"uuid: +$pr_uuid" 'modification uuid: +11234567-' 'parent uuid: +21234567-' \
		'parent mod. uuid: +31234567-' 'comment: +two.x0alines' 'parent: +base.vmdk' \
		'modified: +2003-02-03T04:05:06Z'; do
		check "props: info tells '$want'" "$(grep -qE "^$want" "$work/out"; echo $?)" \
			"$(cat "$work/out")"
	done
	truncate -s 3000 "$pr/plain.raw"
	touch -d 2001-02-03T04:05:06Z "$pr/plain.raw"
	same "props: info -J of raw" "$("$VDCTL" info -J -f raw "$pr/plain.raw" |
		jq -cS 'del(.filename, .extents, ."actual-size")')" \
		'{"file-size":3000,"format":"raw","image-flags":["fixed"],"modified":"2001-02-03T04:05:06Z","schema":1,"virtual-size":3072}'
}

# --- set ---

# text_of IMAGE: its descriptor, wherever that is
text_of() {
	if head -c 4 "$1" | grep -q KDMV; then
		tail -c +513 "$1" | head -c 10240 | tr -d '\0'
	else
		tr -d '\0' <"$1"
	fi
}

# Everything of an image's files but the place of the descriptor.
rest_of() {
	local file

	for file in "$1"/*; do
		if [ "$file" != "$1/disk.vmdk" ]; then
			sha "$file"
		elif head -c 4 "$file" | grep -q KDMV; then
			{ head -c 512 "$file"; tail -c +10753 "$file"; } | sha256sum
		fi
	done
}

# set_one KIND NAME LINES FILTER WANT OPTION...: the option is set; info's FILTER says
# WANT then; the text differs in lines that match LINES alone, and nothing else does
set_one() {
	local kind=$1 name="props: $1: $2" lines=$3 filter=$4 want=$5 img=$pr/run/disk.vmdk
	local before rest

	shift 5
	before=$(text_of "$img" | grep -avE "$lines" | sha256sum)
	rest=$(rest_of "$pr/run")
	vd set "$img" "$@"
	same "$name: set" "$rc $(cat "$work/out")" "0 " "$err"
	same "$name: info" "$(prop "$img" "$filter")" "$want"
	same "$name: the other lines" "$(text_of "$img" | grep -avE "$lines" | sha256sum)" \
		"$before" "$(text_of "$img")"
	same "$name: all other bytes" "$(rest_of "$pr/run")" "$rest"
	qemu-img compare -q -f vmdk -F raw "$img" "$pr/src.raw" 2>"$work/err"
	check "$name: qemu-img compare" $? "$(cat "$work/err")"
}

# Twice, so that the second comment replaces the first.
pr_set_kind() {
	local kind=$1 long
	long=$(printf 'x%.0s' {1..700})

	rm -rf "$pr/run"
	cp -a "$pr/$kind" "$pr/run"
	set_one "$kind" comment 'ddb\.comment' .comment 'a word' --comment 'a word'
	set_one "$kind" "another comment" 'ddb\.comment' .comment 'grüße\x0azwei' --comment 'grüße
zwei'
	set_one "$kind" "a long comment" 'ddb\.comment' .comment "$long" --comment "$long"
	set_one "$kind" "no comment" 'ddb\.comment' '.comment == null' true --comment ''
	set_one "$kind" uuid 'ddb\.uuid\.image' .uuid "$pr_uuid" "--uuid=$pr_uuid"
	set_one "$kind" "a new uuid" 'ddb\.uuid\.image' \
		".uuid != \"$pr_uuid\" and (.uuid | length) == 36" true --uuid
	set_one "$kind" "the modification uuid" 'ddb\.uuid\.mod' '."modification-uuid"' \
		"$pr_uuid" "--modification-uuid=$pr_uuid"
	set_one "$kind" geometry 'ddb\.geometry\.[chs]' '.geometry | tostring' \
		'{"cylinders":7,"heads":8,"sectors":9}' --geometry 7/8/9
	set_one "$kind" lchs 'ddb\.geometry\.bios' '.lchs | tostring' \
		'{"cylinders":1024,"heads":255,"sectors":63}' --lchs 1024/255/63
	set_one "$kind" "no lchs, and all at once" 'ddb\.(geometry\.bios|comment|uuid)' \
		'[.lchs, .comment, .uuid] | tostring' "[null,\"x\",\"$pr_uuid\"]" \
		--lchs 0/0/0 --comment x "--uuid=$pr_uuid"
}

# value_only FORM NAME OPTION VALUE: the descriptor is what stands in $pr/want then
value_only() {
	cp -a "$pr/$1/." "$pr/run"
	vd set "$pr/run/disk.vmdk" "$3" "$4"
	check "props: $1: $2: to the last byte" "$(cmp -s "$pr/want" "$pr/run/disk.vmdk"; echo $?)" \
		"$err" "$(text_of "$pr/run/disk.vmdk")"
}

pr_last_byte() {
	local old=$pr/padded/disk.vmdk

	rm -rf "$pr/run"
	mkdir "$pr/run"
	sed '/heads/s/"16"/"12"/' "$old" >"$pr/want"
	value_only padded "another value" --geometry "$(prop "$old" .geometry.cylinders)/12/63"
	{ tr -d '\0' <"$old" && printf 'ddb.comment = "x"\n'; } >"$pr/want"
	truncate -s 1024 "$pr/want"
	value_only padded "a new line" --comment x
	old=$pr/crlf/disk.vmdk
	sed '/heads/s/"16"/"2"/' "$old" >"$pr/want"
	value_only crlf "another value" --geometry "$(prop "$old" .geometry.cylinders)/2/63"
	{ cat "$old" && printf 'ddb.comment = "x"\r\n'; } >"$pr/want"
	value_only crlf "a new line" --comment x
}

# A rename makes a new file: whose it is, and what else is known of it, stays.
pr_same_rights() {
	local img=$pr/run/disk.vmdk attrs

	rm -rf "$pr/run"
	cp -a "$pr/monolithicFlat" "$pr/run"
	chmod 640 "$img"
	[ "$(id -u)" -ne 0 ] || chown 1234:4321 "$img"
	attrs=$(python3 -c 'import os, sys
os.setxattr(sys.argv[1], "user.note", b"kept")' "$img" 2>&1)
	vd set "$img" --comment "$(printf 'y%.0s' {1..600})"
	same "props: owner and mode stay" "$rc $(stat -c '%a' "$img")" "0 640" "$err"
	[ "$(id -u)" -ne 0 ] || same "props: owner stays" "$(stat -c %u:%g "$img")" 1234:4321
	if [ -n "$attrs" ]; then
		skip "props: attributes stay" "this file system has none"
	else
		same "props: attributes stay" "$(python3 -c 'import os, sys
print(os.getxattr(sys.argv[1], "user.note").decode())' "$img")" kept
	fi
	same "props: nothing is left behind" "$(find "$pr/run" -name '.*.vdctl*')" ""
	ln "$img" "$pr/run/other.vmdk"
	vd set "$img" --comment "$(printf 'z%.0s' {1..900})"
	check "props: another name is told of" "$([ "$rc" -eq 0 ] &&
		grep -q 'it has 2 names' "$work/err"; echo $?)" "$err"
	ln -s disk.vmdk "$pr/run/link.vmdk"
	vd set "$pr/run/link.vmdk" --comment "$(printf 'a%.0s' {1..600})"
	check "props: a symbolic link stays one" "$([ "$rc" -eq 0 ] && [ -L "$pr/run/link.vmdk" ]
		echo $?)" "$err"
}

# set_vdi NAME FROM LENGTH FILTER WANT OPTION...: no byte changes but LENGTH from FROM on
set_vdi() {
	local name="props: vdi: $1" from=$2 to=$(($2 + $3)) filter=$4 want=$5 img=$pr/run/disk.vdi

	shift 5
	cp "$img" "$pr/before"
	vd set "$img" "$@"
	same "$name: set" "$rc $(cat "$work/out")" "0 " "$err"
	same "$name: info" "$(prop "$img" "$filter")" "$want"
	same "$name: all other bytes" "$(cmp -l "$pr/before" "$img" |
		awk -v from="$from" -v to="$to" '$1 <= from || $1 > to')" ""
	qemu-img compare -q -f vdi -F raw "$img" "$pr/src.raw" 2>"$work/err"
	check "$name: qemu-img compare" $? "$(cat "$work/err")"
}

pr_vdi() {
	local img=$pr/run/disk.vdi word

	rm -rf "$pr/run"
	mkdir "$pr/run"
	qemu-img convert -q -f raw -O vdi "$pr/src.raw" "$img"
	set_vdi comment 84 256 .comment 'grüße' --comment 'grüße'
	set_vdi "another comment" 84 256 .comment x --comment x
	set_vdi "no comment" 84 256 '.comment == null' true --comment ''
	set_vdi uuid 392 16 .uuid "$pr_uuid" "--uuid=$pr_uuid"
	same "props: vdi: uuid as Windows has it" "$(od -An -tx1 -j392 -N16 "$img" | tr -d ' ')" \
		67452301ab89de4c8f0123456789abcd
	set_vdi "the modification uuid" 408 16 '."modification-uuid"' "$pr_uuid" \
		"--modification-uuid=$pr_uuid"
	set_vdi geometry 348 16 '.geometry | tostring' '{"cylinders":6,"heads":16,"sectors":63}' \
		--geometry 6/16/63
	refused "props: vdi: QEMU's header has no lchs" 5 "a logical geometry" set "$img" \
		--lchs 6/16/63
	refused "props: vdi: 256 bytes of comment" 2 "255" set "$img" \
		--comment "$(printf 'x%.0s' {1..256})"
	hold_qemu_io -f vdi "$img"
	refused "props: vdi: open in QEMU" 4 "lock" set "$img" --comment x
	release
	# Ours has all fields.
	rm "$img"
	"$VDCTL" create -q -f vdi "$img" 3M
	"$VDCTL" create -q -f vdi -b "$img" "$pr/run/child.vdi"
	refused "props: vdi: a child names its uuid" 5 "child.vdi is a snapshot" set "$img" --uuid
	refused "props: vdi: and its modification uuid" 5 "child.vdi is a snapshot" set "$img" \
		--modification-uuid
	vd set "$img" --lchs 6/16/63
	same "props: vdi: lchs" "$rc $(prop "$img" '.lchs | tostring')" \
		'0 {"cylinders":6,"heads":16,"sectors":63}' "$err"
	vd set "$pr/run/child.vdi" --parent-uuid $pr_uuid --parent-modification-uuid $pr_uuid
	same "props: vdi: parent's uuids" "$rc $(prop "$pr/run/child.vdi" \
		'."parent-uuid" + ."parent-modification-uuid"')" "0 $pr_uuid$pr_uuid" "$err"
	for word in --parent-uuid --parent-modification-uuid; do
		refused "props: vdi: $word new" 2 \
			"$word: 'new' is for --uuid and --modification-uuid" \
			set "$pr/run/child.vdi" "$word" new
	done
}

# What no image of a format can say: set and create refuse it, and say the same.
pr_no_comment() {
	local format=$1 name=$2 comment=$3 word=$4 said

	refused "props: $format: set, $name" 2 "$word" set "$pr/run/disk.$format" \
		--comment "$comment"
	said=${err##*"disk.$format: "}
	refused "props: $format: create, $name" 2 "$word" create --comment "$comment" \
		"$pr/run/new.$format" 1M
	same "props: $format: create says the same, $name" "${err##*"new.$format: "}" "$said"
	check "props: $format: create makes nothing, $name" \
		"$([ ! -e "$pr/run/new.$format" ]; echo $?)"
}

pr_no_comments() {
	rm -rf "$pr/run"
	mkdir "$pr/run"
	for format in vmdk vdi; do
		"$VDCTL" create -q "$pr/run/disk.$format" 1M
		pr_no_comment $format "no UTF-8" $'ab\xff' 'no UTF-8 at byte 2'
	done
	pr_no_comment vmdk "too long" "$(printf 'x%.0s' {1..1025})" "1024 bytes"
	pr_no_comment vmdk "too long as it is spelled" "$(printf '\\%.0s' {1..513})" "1024 bytes"
	pr_no_comment vmdk "a quote" 'a"b' "a quote"
	pr_no_comment vdi "too long" "$(printf 'x%.0s' {1..256})" "256 bytes, .* room for 255"
	vd create --comment "$(printf '\\%.0s' {1..512})" "$pr/run/most.vmdk" 1M
	same "props: vmdk: as long as it can be" "$rc $(prop "$pr/run/most.vmdk" .comment)" \
		"0 $(printf '\\%.0s' {1..512})" "$err"
}

# --- refused ---

pr_refused() {
	local img=$pr/run/disk.vmdk before

	rm -rf "$pr/run"
	cp -a "$pr/monolithicFlat" "$pr/run"
	cp "$pr/src.raw" "$pr/run/plain.raw"
	before=$(cat "$pr/run"/* | sha256sum)
	refused "props: raw has no comment" 5 "raw image .* a comment" set "$pr/run/plain.raw" \
		--comment x
	refused "props: -f raw has no uuid" 5 "raw image .* a UUID" set -f raw "$pr/run/plain.raw" \
		--uuid
	refused "props: no child has no parent's uuid" 5 "the UUID of a parent" set "$img" \
		--parent-uuid $pr_uuid
	refused "props: geometry" 2 "16383/16/63" set "$img" --geometry 1/17/1
	refused "props: lchs" 2 "1024/255/63" set "$img" --lchs 1025/1/1
	refused "props: a quote" 2 "quote" set "$img" --comment 'a"b'
	refused "props: no UTF-8" 2 "UTF-8" set "$img" --comment $'\xff'
	refused "props: too long" 2 "1024" set "$img" --comment "$(printf 'x%.0s' {1..1025})"
	refused "props: no geometry" 2 "CYLINDERS/HEADS/SECTORS" set "$img" --geometry 1/2
	refused "props: more than a geometry" 2 "CYLINDERS/HEADS/SECTORS" set "$img" --lchs 1/2/3/4
	refused "props: no uuid" 2 "no UUID" set "$img" --uuid=123
	refused "props: a uuid of zeros" 2 "zeros" set "$img" \
		--uuid=00000000-0000-0000-0000-000000000000
	refused "props: both kinds of options" 2 "--comment is about an image" set "$img" --ro \
		--comment x
	refused "props: both kinds of options, -f" 2 "-f is about an image" set "$img" -f vmdk --rw
	refused "props: no property" 2 "nothing to change" set "$img" -f vmdk
	refused "props: no image" 2 "which image" set --comment x
	refused "props: a uuid behind a blank" 2 "one at a time; .* --uuid=UUID" set "$img" --uuid \
		$pr_uuid
	refused "props: no file" 3 "No such file" set "$pr/run/none.vmdk" --comment x
	same "props: refusals change nothing" "$(cat "$pr/run"/* | sha256sum)" "$before"
}

pr_locked() {
	local kind img before

	for kind in monolithicSparse monolithicFlat; do
		img=$pr/$kind/disk.vmdk
		before=$(cat "$pr/$kind"/* | sha256sum)
		hold_qemu_io -f vmdk "$img"
		refused "props: $kind: open in QEMU" 4 "lock" set "$img" --comment x
		release
		hold_qemu_io -r -f vmdk "$img"
		refused "props: $kind: open in QEMU for reading" 4 "lock" set "$img" --comment x
		release
		hold flock "$img" sh -c 'echo held; read -r _'
		refused "props: $kind: flock" 4 "lock" set "$img" --comment x
		release
		mkdir "$img.lck"
		touch "$img.lck/M1.lck"
		refused "props: $kind: open in VMware" 4 "VMware" set "$img" --comment x
		same "props: $kind: no hint at an option of attach" \
			"$(grep -c 'hint:.*-r reads' <<<"$err")" 0 "$err"
		rm -r "$img.lck"
		same "props: $kind: a lock leaves it alone" "$(cat "$pr/$kind"/* | sha256sum)" \
			"$before"
	done
}

# Without locks, so that nothing but the module tells.
pr_attached() {
	local img=$pr/run/disk.vmdk

	may_pretend props || return
	rm -rf "$pr/run"
	cp -a "$pr/monolithicFlat" "$pr/run"
	ln -s disk.vmdk "$pr/run/link.vmdk"
	LD_PRELOAD=$fake FAKE_PATH=$pr/run/link.vmdk refused "props: attached" 4 \
		"attached as vdisk3" set "$img" --comment x
	LD_PRELOAD=$fake FAKE_PATH=$pr/monolithicFlat/disk.vmdk vd set "$img" --comment x
	same "props: another one is attached" "$rc $(prop "$img" .comment)" "0 x" "$err"
}

pr_children() {
	local base=$pr/run/base.vmdk

	rm -rf "$pr/run"
	mkdir "$pr/run"
	"$VDCTL" create -q "$base" 1M && "$VDCTL" create -q -b "$base" "$pr/run/child.vmdk"
	refused "props: a child names its uuid" 5 "child.vmdk is a snapshot" set "$base" --uuid
	vd set "$base" --comment "no matter to the child"
	same "props: a comment is no matter to a child" "$rc" 0 "$err"
	vd set "$base" "--uuid=$pr_uuid" --ignore-children
	same "props: --ignore-children" "$rc $(prop "$base" .uuid)" "0 $pr_uuid" "$err"
	check "props: then the child does not fit" \
		"$(! "$VDCTL" map "$pr/run/child.vmdk" >/dev/null 2>&1; echo $?)"
	vd set "$pr/run/child.vmdk" --parent-uuid "$pr_uuid"
	same "props: until it is told" "$rc $("$VDCTL" map "$pr/run/child.vmdk" >/dev/null 2>&1
		echo $?)" "0 0" "$err"
}

# --- when it is stopped ---

# pr_fault FAULT: sets the comment of $pr_img to $pr_new; did the fault come?
pr_fault() {
	# The shell has its word to say of who was killed; not here.
	(timeout -k 5 60 strace -f -o "$work/trace" -e "trace=${1%%:*}" -e "inject=$1" "$VDCTL" \
		set "$pr_img" --comment "$pr_new" >"$work/out" 2>"$work/err"; exit $?) \
		2>/dev/null
	rc=$?
	err=$(cat "$work/err")
	grep -q 'INJECTED\|killed by' "$work/trace"
}

# pr_stopped KIND OLD NEW FAULT CALL...: the n-th CALL fails or is the last, for each n
pr_stopped() {
	local kind=$1 old=$2 new=$3 fault=$4 call n got bad='' hits=0 format=vmdk
	pr_new=$new
	shift 4

	[ "$kind" != vdi ] || format=vdi
	pr_img=$pr/run/disk.$format
	rm -rf "$pr/from"
	cp -a "$pr/$kind" "$pr/from"
	"$VDCTL" set "$pr/from/disk.$format" --comment "$old" || bad="cannot begin"
	for call; do
		for n in 1 2 3 4 5 6 7 8 9; do
			rm -rf "$pr/run"
			cp -a "$pr/from" "$pr/run"
			pr_fault "$call:$fault:when=$n" || break
			hits=$((hits + 1))
			[ "$rc" -ne 0 ] || bad+=" $call:$n:silent"
			got=$(prop "$pr_img" .comment)
			[ "$got" = "$old" ] || [ "$got" = "$new" ] || bad+=" $call:$n:comment"
			qemu-img compare -q -f "$format" -F raw "$pr_img" "$pr/src.raw" \
				>/dev/null 2>&1 || bad+=" $call:$n:content"
			[ "$fault" = signal=KILL ] || [ -z "$(find "$pr/run" -name '.*.vdctl*')" ] ||
				bad+=" $call:$n:left"
			"$VDCTL" set "$pr_img" --comment "$new" || bad+=" $call:$n:again"
			[ "$(prop "$pr_img" .comment)" = "$new" ] || bad+=" $call:$n:never"
		done
	done
	same "props: $kind, $fault in each of: $*" "$bad" ""
	check "props: $kind, $fault: each call was met" "$([ "$hits" -ge $# ]; echo $?)" "$hits"
}

# A new file is durable before it has the name, and has it durably before that is said.
pr_order() {
	local word
	rm -rf "$pr/run"
	cp -a "$pr/monolithicFlat" "$pr/run"
	strace -f -y -o "$work/trace" -e trace=renameat,fsync "$VDCTL" set "$pr/run/disk.vmdk" \
		--comment "$(printf 'y%.0s' {1..700})"
	same "props: what is durable before what" "$? $(sed -n \
		-e 's/.*fsync([0-9]*<.*\.disk\.vmdk\.vdctl.*/sync file/p' \
		-e 's/.*renameat(.*/rename/p' -e "s|.*fsync([0-9]*<$pr/run>.*|sync dir|p" \
		"$work/trace" | tr '\n' ';')" "0 sync file;rename;sync dir;"
	# Where a directory cannot be synced there is nothing to do for it; a failure is one.
	for word in EINVAL EIO; do
		strace -f -o /dev/null -e "inject=fsync:error=$word:when=2" "$VDCTL" set \
			"$pr/run/disk.vmdk" --comment "$(printf "$word%.0s" {1..100})" 2>"$work/err"
		same "props: a directory's sync says $word" \
			"$? $(grep -c 'fsync of its directory' "$work/err")" \
			"$([ $word = EIO ] && echo 1 1 || echo 0 0)" "$(cat "$work/err")"
	done
}

pr_stops() {
	local fault long1 long2
	long1=$(printf 'o%.0s' {1..700})
	long2=$(printf 'n%.0s' {1..900})

	for fault in signal=KILL error=EIO; do
		# A new file, one sector of a file, one sector and several of an extent.
		pr_stopped monolithicFlat old "$long2" "$fault" fchown fchmod pwrite64 fsync renameat
		pr_stopped padded old new "$fault" pwrite64 fdatasync
		pr_stopped monolithicSparse old new "$fault" pwrite64 fdatasync
		pr_stopped monolithicSparse "$long1" "$long2" "$fault" pwrite64 fdatasync
		pr_stopped vdi old new "$fault" pwrite64 fdatasync
	done
}

pr_make
pr_against_qemu
pr_golden
for kind in monolithicSparse monolithicFlat twoGbMaxExtentSparse streamOptimized crlf; do
	pr_set_kind "$kind"
done
pr_last_byte
pr_vdi
pr_no_comments
pr_same_rights
pr_refused
pr_locked
pr_attached
pr_children
if have strace && strace -o /dev/null true 2>/dev/null; then
	pr_order
	pr_stops
else
	skip "props: under strace" "strace does not work here"
fi

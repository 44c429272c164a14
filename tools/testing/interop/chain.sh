# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash disable=SC2154
# Chains: of VMDK, of VDI, and mixed; parents that moved, changed or went; `vdctl
# chain` and what --search makes of a heap of files. Sourced by run.

ch=$(scratch interop-chain)

chpy() {
	python3 "$here/chain.py" "$@"
}

# new ARG...: vdctl create, quietly; what it says is a failure
new() {
	vd create --quiet "$@"
	[ "$rc" -eq 0 ] || not_ok "chain: create $*" "$err"
}

# states NAME WANT ARG...: the column STATE of `vdctl chain ARG...`, and its exit status
states() {
	local name=$1 want=$2
	shift 2
	vd chain -J "$@"
	same "$name" "$(jq -r '[.chain[].state] | join(" ")' "$work/out") $rc" "$want" "$err"
}

# row NUMBER KEY: of the last `vdctl chain -J`
row() {
	jq -r ".chain[$1].\"$2\"" "$work/out"
}

# hinted NAME WORD: the last vdctl gave a hint with WORD
hinted() {
	check "$1" "$(grep -qE -- "^hint: .*($2)" "$work/err"; echo $?)" "$err"
}

# opens NAME COMMAND SHA: a printed `vdctl attach` command, with cat in place of attach
opens() {
	local words got
	eval "words=($2)"
	if [ "${words[0]} ${words[1]}" != "vdctl attach" ]; then
		not_ok "$1" "no command: $2"
		return
	fi
	got=$("$VDCTL" cat "${words[@]:2}" 2>"$work/err" | sha256sum | cut -d ' ' -f 1)
	same "$1" "$got" "$3" "$2" "$(cat "$work/err")"
}

# A chain of three of one format: base.EXT, mid.EXT, top.EXT and what it reads as.
three() {
	local dir=$1 ext=$2
	mkdir -p "$dir"
	truncate -s 5M "$dir/raw"
	new "$dir/base.$ext" 5M
	chpy fill "$dir/base.$ext" "$dir/raw" "$ext-base"
	new -b "$dir/base.$ext" "$dir/mid.$ext"
	chpy fill "$dir/mid.$ext" "$dir/raw" "$ext-mid"
	new -b "$dir/mid.$ext" "$dir/top.$ext"
	chpy fill "$dir/top.$ext" "$dir/raw" "$ext-top"
}

chain_of_vmdk() {
	local d=$ch/vmdk want
	three "$d" vmdk
	want=$(sha "$d/raw")
	cat_is "chain: VMDK" "$want" "$d/top.vmdk"
	qemu-img convert -O raw "$d/top.vmdk" "$work/o.raw"
	same "chain: VMDK, as QEMU reads it" "$(sha "$work/o.raw")" "$want"
	states "chain: VMDK: states" "ok ok ok 0" "$d/top.vmdk"
	same "chain: VMDK: names" "$(jq -r '[.chain[].filename | sub(".*/"; "")] | join(" ")' "$work/out")" \
		"top.vmdk mid.vmdk base.vmdk"
	same "chain: VMDK: links" "$(row 0 link) $(row 2 link)" "name,uuid,modification,cid null"
	same "chain: VMDK: ids are those of the descriptor" "$(row 1 cid) $(row 0 parent-cid)" \
		"$(printf %08x "0x$(python3 "$here/create.py" key "$d/mid.vmdk" CID)") $(row 1 cid)"
	vd chain "$d/top.vmdk"
	cp "$d/base.vmdk" "$work/two
lines.vmdk"
	check "chain: the table has a name as other messages have it" \
		"$("$VDCTL" chain "$work/two
lines.vmdk" | grep -qF '/two\x0alines.vmdk '; echo $?)"
	same "chain: the table has a line an image" "$rc $(wc -l <"$work/out") $(awk 'END { print $1, $3, $4, $NF }' "$work/out")" \
		"0 4 2 vmdk 5M ok"

	# A parent that was renamed has its UUID still.
	mv "$d/mid.vmdk" "$d/renamed.vmdk"
	cat_is "chain: VMDK: a renamed parent" "$want" "$d/top.vmdk"
	states "chain: VMDK: a renamed parent: states" "ok ok ok 0" "$d/top.vmdk"
	same "chain: VMDK: a renamed parent: found" "$(row 0 link)" "beside,uuid,modification,cid"
	# Another disk has its name now.
	cp "$d/base.vmdk" "$d/mid.vmdk"
	cat_is "chain: VMDK: another disk by the parent's name" "$want" "$d/top.vmdk"
	# And nothing else has its UUID.
	mkdir "$d/away"
	mv "$d/renamed.vmdk" "$d/away/"
	refused "chain: VMDK: only another disk" 5 "wants a parent with UUID" cat "$d/top.vmdk"
	hinted "chain: VMDK: only another disk: hint" "--force-parent"
	states "chain: VMDK: only another disk: states" "ok wrong parent 5" "$d/top.vmdk"
	vd cat --force-parent "$d/top.vmdk"
	same "chain: VMDK: --force-parent" "$rc" 0 "$err"
	vd attach --dry-run -J --force-parent "$d/top.vmdk"
	same "chain: VMDK: --force-parent is for reading" "$rc $(jq .writable "$work/out")" "0 false" "$err"
	cat_is "chain: VMDK: --parent beats it" "$want" --parent "$d/away/renamed.vmdk" \
		--parent "$d/base.vmdk" "$d/top.vmdk"
	rm "$d/mid.vmdk"
	refused "chain: VMDK: a lost parent" 3 "parent 'mid.vmdk' with UUID [0-9a-f-]{36} not found .tried: $d/mid.vmdk" \
		cat "$d/top.vmdk"
	hinted "chain: VMDK: a lost parent: hint" "vdctl chain --search $d $d/top.vmdk"
	states "chain: VMDK: a lost parent: states" "ok missing 3" "$d/top.vmdk"
	cat_is "chain: VMDK: both parents said, though one is found" "$want" \
		--parent "$d/away/renamed.vmdk" --parent "$d/base.vmdk" "$d/top.vmdk"
	mv "$d/base.vmdk" "$d/away/base.vmdk"
	states "chain: VMDK: it goes as far as it gets" "ok ok ok 0" \
		--parent "$d/away/renamed.vmdk" "$d/top.vmdk"
	# QEMU, which knows no UUID, changes the CID of a parent.
	qemu-io -c 'write -q -P 1 0 64k' "$d/away/renamed.vmdk" || not_ok "chain: qemu-io"
	refused "chain: VMDK: a changed parent" 5 "wants a parent with CID" \
		cat --parent "$d/away/renamed.vmdk" "$d/top.vmdk"
}

# VirtualBox keeps snapshots below the directory of the disk: by UUID it is found there, and
# used by whoever says that the directory is trusted.
chain_of_snapshots() {
	local d=$ch/machine want
	three "$d" vdi
	want=$(sha "$d/raw")
	mkdir "$d/Snapshots" && mv "$d/mid.vdi" "$d/top.vdi" "$d/Snapshots/"
	refused "chain: Snapshots: the base above" 6 "parent '../base.vdi' lies outside" \
		cat "$d/Snapshots/top.vdi"
	hinted "chain: Snapshots: the base above: hint" "--allow-outside $d "
	cat_is "chain: Snapshots: trusted" "$want" --allow-outside "$d" "$d/Snapshots/top.vdi"
	states "chain: Snapshots: states" "ok ok ok 0" --allow-outside "$d" "$d/Snapshots/top.vdi"
	cp "$d/base.vdi" "$d/copy.vdi"
	refused "chain: Snapshots: two above" 5 "two images in the directory above have the UUID" \
		cat --allow-outside "$d" "$d/Snapshots/top.vdi"
	mkdir "$d/away" && mv "$d/base.vdi" "$d/copy.vdi" "$d/away/"
	refused "chain: Snapshots: no base" 3 "tried: images in $d/Snapshots with .*, images in $d/Snapshots/.. with" \
		cat --allow-outside "$d" "$d/Snapshots/top.vdi"
	hinted "chain: Snapshots: no base: hint" "vdctl chain --search $d/Snapshots/.. "
	mv "$d/away/base.vdi" "$d/" && mv "$d/Snapshots" "$d/others"
	refused "chain: Snapshots: another directory" 3 "tried: images in $d/others with the UUID of the parent\)" \
		cat --allow-outside "$d" "$d/others/top.vdi"
}

chain_of_vdi() {
	local d=$ch/vdi want uuid other=11111111-2222-4333-8444-555555555555
	three "$d" vdi
	want=$(sha "$d/raw")
	cat_is "chain: VDI" "$want" "$d/top.vdi"
	states "chain: VDI: states" "ok ok ok 0" "$d/top.vdi"
	same "chain: VDI: links" "$(row 0 link)" "beside,uuid,modification"
	uuid=$(row 0 parent-uuid)
	mv "$d/mid.vdi" "$d/any name.VDI"
	cat_is "chain: VDI: any name will do" "$want" "$d/top.vdi"
	ln "$d/any name.VDI" "$d/link.vdi"
	cat_is "chain: VDI: two names of one file" "$want" "$d/top.vdi"
	rm "$d/link.vdi"
	cp "$d/any name.VDI" "$d/copy.vdi"
	refused "chain: VDI: two with one UUID" 5 "two images beside it have the UUID $uuid of its parent: (copy.vdi and any name.VDI|any name.VDI and copy.vdi)" \
		cat "$d/top.vdi"
	hinted "chain: VDI: two with one UUID: hint" "--parent PATH"
	cat_is "chain: VDI: two with one UUID, one said" "$want" --parent "$d/copy.vdi" "$d/top.vdi"
	rm "$d/copy.vdi"
	chpy uuid "$d/any name.VDI" modification "$other"
	refused "chain: VDI: a parent that was written to" 5 "wants a parent with modification UUID .* has $other" \
		cat "$d/top.vdi"
	cat_is "chain: VDI: a parent that was written to, all the same" "$want" --force-parent "$d/top.vdi"
	cat_is "chain: VDI: and by the older name" "$want" --ignore-cid "$d/top.vdi"
	states "chain: VDI: a parent that was written to: states" "ok wrong parent ok 5" "$d/top.vdi"
	chpy uuid "$d/any name.VDI" image "$other"
	refused "chain: VDI: no parent" 3 "parent with UUID $uuid not found .tried: images in $d with" \
		cat "$d/top.vdi"
	hinted "chain: VDI: no parent: hint" "vdctl chain --search $d $d/top.vdi"
	refused "chain: VDI: a parent by --parent must fit, too" 5 "wants a parent with UUID $uuid" \
		cat --parent "$d/base.vdi" "$d/top.vdi"
	refused "chain: VDI: a raw one has no UUID" 5 "wants a parent with UUID $uuid, but .*raw has none" \
		cat --parent "$d/raw" "$d/top.vdi"
	vd cat --force-parent --parent "$d/raw" "$d/top.vdi"
	same "chain: VDI: a raw one that was insisted on" "$rc" 0 "$err"
	# Its own parent; and one whose parent is its child.
	chpy uuid "$d/top.vdi" link "$other"
	chpy uuid "$d/top.vdi" parent 00000000-0000-0000-0000-000000000000
	chpy uuid "$d/any name.VDI" link "$(vd chain -J "$d/top.vdi"; row 0 uuid)"
	refused "chain: VDI: a loop of two" 5 "loop" cat "$d/top.vdi"
	chpy uuid "$d/base.vdi" link "$(vd chain -J "$d/base.vdi"; row 0 uuid)"
	refused "chain: VDI: its own parent" 5 "loop|dynamic" cat "$d/base.vdi"
}

# The same UUID again further down, in another file.
chain_uuid_loop() {
	local d=$ch/uuids a=11111111-1111-4111-8111-111111111111 b=22222222-2222-4222-8222-222222222222
	mkdir "$d" "$d/sub"
	chpy text "$d/top.vmdk" $a $b
	chpy text "$d/mid.vmdk" $b $a
	chpy text "$d/sub/copy.vmdk" $a $b
	refused "chain: a loop by UUIDs" 5 "is a loop" cat "$d/top.vmdk"
	mv "$d/top.vmdk" "$work/top.vmdk"
	refused "chain: a copy of an image above" 5 "is a loop" cat --parent "$d/mid.vmdk" \
		--parent "$d/sub/copy.vmdk" "$work/top.vmdk"
	chpy text "$d/lone.vmdk" $a 99999999-9999-4999-8999-999999999999
	states "chain: what is wanted stands in the table" "ok missing 3" "$d/lone.vmdk"
	same "chain: what is wanted: UUID" "$(row 1 uuid)" 99999999-9999-4999-8999-999999999999
	rm "$work/top.vmdk"
}

chain_mixed() {
	local d=$ch/mixed seed top want
	mkdir "$d"
	# Raw: by what its child says of it, and never by what its guest wrote to it.
	disk make "$d/base.raw" 3145728 7
	new -b "$d/base.raw" "$d/child.vmdk"
	want=$(sha "$d/base.raw")
	cat_is "chain: VMDK over raw" "$want" "$d/child.vmdk"
	states "chain: VMDK over raw: states" "ok ok 0" "$d/child.vmdk"
	same "chain: VMDK over raw: the CID is not one that means none" \
		"$([[ $(row 0 parent-cid) =~ ^(ffffffff|fffffffe|00000000)$ ]]; echo $?)" 1
	same "chain: VMDK over raw: QEMU sees the parent's name" \
		"$(qemu-img info -U --output=json "$d/child.vmdk" 2>/dev/null |
			jq -r '."backing-filename"')" "base.raw"
	head -c 1048576 "$ch/vmdk/away/renamed.vmdk" | dd of="$d/base.raw" conv=notrunc status=none
	cat_is "chain: VMDK over raw that looks like a VMDK" "$(sha "$d/base.raw")" "$d/child.vmdk"
	refused "chain: writing to a raw disk with a child" 5 "child.vmdk is a snapshot on top of it" \
		attach --dry-run -f raw "$d/base.raw"
	vd attach --dry-run -J -f raw --ignore-children "$d/base.raw"
	same "chain: writing to a raw disk, child or not" "$rc $(jq .writable "$work/out")" "0 true" "$err"
	mv "$d/base.raw" "$d/moved"
	refused "chain: VMDK over raw that moved" 3 "base.raw" cat "$d/child.vmdk"
	cat_is "chain: VMDK over raw that moved, said" "$(sha "$d/moved")" --parent "$d/moved" "$d/child.vmdk"
	# A child that does not say so takes a raw parent from --parent only.
	disk make "$d/bare.raw" 3145728 8
	cp "$d/bare.raw" "$d/other"
	want=$(sha "$d/other")
	sed -i 's/^ddb.vdisk.parentFormat = "raw"/#db.vdisk.parentFormat = "raw"/; s/"base.raw"/"bare.raw"/' \
		"$d/child.vmdk"
	refused "chain: VMDK over raw by name alone" 5 "in no format" cat "$d/child.vmdk"
	cat_is "chain: VMDK over raw by --parent" "$want" --parent "$d/other" "$d/child.vmdk"
	refused "chain: create over what may be a damaged image" 2 "in no format" \
		create -b "$d/other" "$d/x.vmdk"
	hinted "chain: create over what may be a damaged image: hint" "-F raw"
	new -F raw -b "$d/other" "$d/said.vmdk"
	cat_is "chain: create over raw that was said" "$want" "$d/said.vmdk"
	mv "$d/other" "$d/other.vmdk"
	refused "chain: VMDK over what may be a damaged VMDK" 5 "in no format" \
		cat --parent "$d/other.vmdk" "$d/child.vmdk"
	refused "chain: VDI over raw" 2 "no UUID" create -b "$d/bare.raw" "$d/x.vdi"
	refused "chain: -F without -b" 2 "-F is for -b" create -F raw "$d/x.vmdk" 1M

	! brief || CHAINS=${CHAINS:-6}
	for seed in $(seq 1 "${CHAINS:-16}"); do
		rm -rf "$d/r"
		mkdir "$d/r"
		if ! top=$(chpy random "$VDCTL" "$d/r" "$seed" 2>"$work/err"); then
			not_ok "chain: mixed chain $seed is made" "$(cat "$work/err")"
			continue
		fi
		cat_is "chain: mixed chain $seed: $(cd "$d/r" && echo [0-9]*)" "$(sha "$d/r/expected")" "$top"
	done
}

# VirtualBox's own chains.
chain_corpus() {
	local dir=virtualbox-vd/vdi-dynamic manifest=$VDISK_CORPUS/MANIFEST.tsv corpus=$VD_BUILD/corpus
	local name hash rows

	if [ -z "$VDISK_CORPUS" ] || [ ! -f "$manifest" ]; then
		skip "chain: VirtualBox' VDI chain" "no corpus"
		return
	fi
	rows=$(awk -F '\t' -v d="$dir/" 'index($1, d) == 1 { print $1 }' "$manifest")
	mkdir -p "$corpus" "$ch/vbox"
	# shellcheck disable=SC2086
	flock "$corpus/.lock" "$VDISK_CORPUS/unpack" "$corpus" $rows
	for name in $rows; do
		hash=$(awk -F '\t' -v n="$name" '$1 == n { print $7 }' "$manifest")
		cat_is "chain: $name" "$hash" "$corpus/$name"
		cp "$corpus/$name" "$ch/vbox/$(basename "$name" .vdi).$((RANDOM % 10)).lost"
	done
	states "chain: $dir: states" "ok ok ok 0" "$corpus/$dir/diff2.vdi"
	hash=$(awk -F '\t' -v n="$dir/diff2.vdi" '$1 == n { print $7 }' "$manifest")
	vd chain -J --search "$ch/vbox"
	opens "chain: $dir: put together again" "$(jq -r '.chains[0].command' "$work/out")" "$hash"
}

# Two chains and an orphan, shuffled: moved to other directories under other names.
chain_search() {
	local d=$ch/heap f n=0 where=(. a a/b c) want_vmdk want_vdi
	mkdir -p "$d/a/b" "$d/c" "$d/orphan"
	three "$ch/two" vmdk
	three "$ch/one" vdi
	want_vmdk=$(sha "$ch/two/raw")
	want_vdi=$(sha "$ch/one/raw")
	rm "$ch/one/raw" "$ch/two/raw"
	for f in "$ch"/one/* "$ch"/two/*; do
		n=$((n + 1))
		mv "$f" "$d/${where[n % 4]}/file $n"
	done
	chpy text "$d/orphan/o.vmdk" - 12345678-1234-4234-8234-123456789abc
	cp "$VDCTL" "$d/program"
	vd chain -J --search "$d"
	same "chain: search" "$rc $(jq -c '[.images, .alone, (.chains | length), (.duplicates | length)]' "$work/out")" \
		"0 [7,0,3,0]" "$err"
	same "chain: search: states" \
		"$(jq -r '.chains[] | "\(.complete) \([.chain[] | .format // "-"] | join(" ")) \([.chain[].state] | join(" "))"' \
			"$work/out" | sort)" \
		"false vmdk - ok missing
true vdi vdi vdi ok ok ok
true vmdk vmdk vmdk ok ok ok"
	same "chain: search: what the orphan looks for" \
		"$(jq -r '.chains[] | select(.complete | not) | .chain[1].uuid' "$work/out")" \
		"12345678-1234-4234-8234-123456789abc"
	cp "$work/out" "$work/found"
	opens "chain: search: the command for VMDK" \
		"$(jq -r '.chains[] | select(.complete and .chain[0].format == "vmdk") | .command' "$work/found")" "$want_vmdk"
	opens "chain: search: the command for VDI" \
		"$(jq -r '.chains[] | select(.complete and .chain[0].format == "vdi") | .command' "$work/found")" "$want_vdi"
	vd chain --search "$d"
	same "chain: search: as text" \
		"$rc $(grep -c '^chain [0-9]*: complete' "$work/out") $(grep -c '^to open it: vdctl attach' "$work/out") $(grep -c missing "$work/out")" \
		"0 2 2 1" "$err"
	f=$(jq -r '.chains[] | select(.chain[0].format == "vdi") | .chain[0].filename' "$work/found")
	vd chain -J --search "$d" "$f"
	opens "chain: search for one" "$(jq -r '.chains[0].command' "$work/out")" "$want_vdi"
	mv "$f" "$ch/elsewhere"
	vd chain -J --search "$d" "$ch/elsewhere"
	opens "chain: search for one that lies elsewhere" "$(jq -r '.chains[0].command' "$work/out")" "$want_vdi"
	mv "$ch/elsewhere" "$f"
	refused_after_answer "chain: search for an orphan" 3 "no parent" --search "$d" "$d/orphan/o.vmdk"

	# A copy is told, and what was written to is not taken where the other is there.
	f=$(jq -r '.chains[] | select(.chain[0].format == "vdi") | .chain[1].filename' "$work/found")
	cp "$f" "$d/copy"
	chpy uuid "$d/copy" modification 11111111-2222-4333-8444-555555555555
	vd chain -J --search "$d"
	same "chain: search: a copy that was written to" \
		"$(jq -r '.duplicates[0].files | length' "$work/out") $(jq -r '.chains[] | select(.chain[0].format == "vdi" and (.chain | length) == 3) | .chain[1].filename' "$work/out")" \
		"2 $f" "$err"
	rm "$f"
	vd chain -J --search "$d"
	same "chain: search: only the one that was written to" \
		"$(jq -r '.chains[] | select(.chain[0].format == "vdi") | [.chain[].state] | join(" ")' "$work/out")" \
		"ok changed ok" "$err"
	opens "chain: search: its command" \
		"$(jq -r '.chains[] | select(.chain[0].format == "vdi") | .command' "$work/out")" "$want_vdi"
}

# refused_after_answer NAME CODE WORD ARG...: prints what it found, then says what is wrong
refused_after_answer() {
	local name=$1 code=$2 word=$3
	shift 3
	vd chain "$@"
	same "$name" "$rc $(grep -c '^chain 1: incomplete' "$work/out") $(grep -ciE "^vdctl: .*$word" "$work/err")" \
		"$code 1 1" "$err"
}

# A parent that is found by UUID alone, and has a copy beside it: the command says which.
chain_twins() {
	local d=$ch/twins want
	three "$d" vdi
	want=$(sha "$d/raw")
	rm "$d/raw"
	vd chain -J --search "$d"
	same "chain: twins: without one nothing need be said" \
		"$(jq -r '.chains[0].command' "$work/out" | grep -c -e --parent)" 0
	cp "$d/mid.vdi" "$d/copy.vdi"
	vd chain -J --search "$d" "$d/top.vdi"
	opens "chain: twins: the command" "$(jq -r '.chains[0].command' "$work/out")" "$want"
	refused "chain: twins: control: it is needed" 5 "two images beside it" cat "$d/top.vdi"
}

chain_hostile() {
	local d=$ch/hostile a=aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa b=bbbbbbbb-bbbb-4bbb-8bbb-bbbbbbbbbbbb
	local control=$'c\e[31m\n\t\x9b' deep i
	mkdir "$d"
	chpy text "$d/a.vmdk" $a $b
	chpy text "$d/b.vmdk" $b $a
	chpy text "$d/into.vmdk" - $a
	vd chain -J --search "$d"
	same "chain: hostile: a loop, and what leads into it" \
		"$rc $(jq -c '[.chains[] | [.complete, .chain[-1].state]]' "$work/out")" \
		'0 [[false,"loop"]]' "$err"
	rm "$d/into.vmdk"
	vd chain -J --search "$d"
	same "chain: hostile: a loop alone" \
		"$rc $(jq -c '[.chains[] | [.complete, [.chain[].state]]]' "$work/out")" \
		'0 [[false,["ok","ok","loop"]]]' "$err"
	refused_after_answer "chain: hostile: a loop, asked for" 5 "loop" --search "$d" "$d/a.vmdk"
	rm "$d"/*
	chpy text "$d/self.vmdk" $a $a
	chpy text "$d/into.vmdk" - $a
	refused "chain: hostile: its own parent" 5 "is a loop" cat "$d/self.vmdk"
	refused_after_answer "chain: hostile: its own parent, asked for" 5 "loop" --search "$d" \
		"$d/self.vmdk"
	vd chain -J --search "$d"
	same "chain: hostile: its own parent, and what leads to it" \
		"$rc $(jq -c '[.chains[] | [.complete, [.chain[].state]]]' "$work/out")" \
		'0 [[false,["ok","ok","loop"]]]' "$err"
	rm "$d"/*

	chpy copies "$d" 3000
	vd chain --search "$d"
	# All are the child of the first one met, which is that of the second.
	same "chain: hostile: thousands that are each other's parents" \
		"$rc $(grep -c '^chain [0-9]*: incomplete' "$work/out")" "0 2998" "$err"
	rm "$d"/*

	chpy text "$d/$control.vmdk" $a - "# x"
	chpy text "$d/child" - $a
	vd chain --search "$d"
	same "chain: hostile: control characters in a name" \
		"$rc $(LC_ALL=C tr -d '\n\40-\176' <"$work/out" | wc -c) $(grep -c 'complete' "$work/out")" "0 0 2" "$err"
	opens "chain: hostile: control characters: the command" "$(sed -n 's/^to open it: //p' "$work/out")" \
		"$(head -c 65536 /dev/zero | sha256sum | cut -d ' ' -f 1)"
	rm "$d"/*

	mkfifo "$d/fifo.vmdk"
	ln -s . "$d/here"
	ln -s / "$d/root.vmdk"
	: >"$d/empty.vmdk"
	head -c 100 /dev/urandom >"$d/junk.vmdk"
	printf 'KDMV' >"$d/short"
	deep=$d
	for ((i = 0; i < 40; i++)); do
		deep+=/d
	done
	mkdir -p "$deep"
	chpy text "$deep/a.vmdk" $a $b
	vd chain -J --search "$d"
	same "chain: hostile: FIFO, links, junk, and a limit to the depth" \
		"$rc $(jq -c '[.images, .cut, (.chains | length)]' "$work/out")" "0 [0,true,0]" "$err"
	refused "chain: hostile: no directory" 3 "No such file" chain --search "$d/none"
	refused "chain: hostile: a file for a directory" 3 "Not a directory" chain --search "$d/junk.vmdk"
	refused "chain: --search with --parent" 2 "no --parent" chain --search "$d" --parent x
	refused "chain: no image" 2 "which image" chain
	refused "chain: an image that is none" 5 "" chain "$d/short"
	if ! have strace || ! strace -o /dev/null true 2>/dev/null; then
		skip "chain: interrupted" "strace does not work here"
		return
	fi
	strace -o /dev/null -e inject=getdents64:signal=INT:when=2 \
		"$VDCTL" chain --search "$d" >"$work/out" 2>"$work/err"
	same "chain: interrupted, it ends of that" "$? $(wc -c <"$work/out")" "130 0" "$(cat "$work/err")"
}

chain_of_vmdk
chain_of_vdi
chain_of_snapshots
chain_uuid_loop
chain_mixed
chain_corpus
chain_search
chain_twins
chain_hostile
rm -rf "$ch"

# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash disable=SC2154
# Every subformat that qemu-img writes, with random content and odd sizes; the
# oracle is the raw disk that they were made from. Sourced by run.

fmt=$(scratch interop-formats)

# The map covers the disk and tells no lies about zeros. Prints nothing if so.
map_is() {
	local name=$1 raw=$2 got
	shift 2
	got=$(disk map "$VDCTL" "${@: -1}" "$raw" "${@:1:$#-1}" 2>&1)
	[[ $got == "ok "* ]]
	check "$name" $? "$got"
}

# convert SUBFORMAT RAW IMAGE [OPTION...]
convert() {
	local options=subformat=$1
	[ $# -le 3 ] || options+=,$4
	qemu-img convert -q -f raw -O vmdk -o "$options" "$2" "$3" >/dev/null
}

fmt_every_subformat() {
	local subformat size seed=1 raw img
	local sizes=($((3 * 65536 - 512)) 512 $((40 * 1048576 + 7 * 512)))
	brief || sizes+=($((10 * 1048576 + 512)) $((65536 + 1536)))
	for size in "${sizes[@]}"; do
		raw=$fmt/src.raw
		disk make "$raw" "$size" "seed$seed"
		seed=$((seed + 1))
		for subformat in monolithicSparse monolithicFlat twoGbMaxExtentSparse \
			twoGbMaxExtentFlat streamOptimized; do
			img=$fmt/$subformat-$size.vmdk
			if ! convert "$subformat" "$raw" "$img"; then
				not_ok "formats: qemu-img writes $subformat, $size bytes"
				continue
			fi
			cat_is "formats: $subformat, $size bytes" "$(sha "$raw")" "$img"
			map_is "formats: $subformat, $size bytes: map" "$raw" "$img"
			rm -f "$fmt/$subformat-$size"*
		done
	done
}

# Reads that begin and end anywhere on the disk.
fmt_parts_of_a_disk() {
	local raw=$fmt/parts.raw img=$fmt/parts.vmdk stream=$fmt/parts-s.vmdk size=$((3 * 1048576 + 512))
	local offset length image bad=

	disk make "$raw" "$size" parts
	convert monolithicSparse "$raw" "$img"
	convert streamOptimized "$raw" "$stream"
	for image in "$img" "$stream"; do
		while read -r offset length; do
			[ "$("$VDCTL" cat --offset "$offset" --length "$length" "$image" | disk sha)" = \
				"$(tail -c "+$((offset + 1))" "$raw" | head -c "$length" | disk sha)" ] ||
				bad+=" $offset+$length"
		done <<-END
			0 512
			512 512
			65024 1024
			65536 65536
			0 3145728
			1048576 2097664
			3145728 512
			3145216 1024
		END
	done
	same "formats: parts of a disk" "$bad" ""
	cat_is "formats: a length past the end stops at the end" "$(sha "$raw")" --length 1G "$img"
	vd cat --offset "$((size + 512))" "$img"
	check "formats: an offset past the end gives no bytes" "$([ ! -s "$work/out" ]; echo $?)"
}

# Explicit zeros (grain entry 1) hide data of the parent.
fmt_zeroed_grains() {
	local raw=$fmt/zg.raw base=$fmt/zg-base.vmdk top=$fmt/zg-top.vmdk

	disk make "$raw" $((8 * 1048576)) zg
	convert monolithicSparse "$raw" "$base" zeroed_grain=on
	qemu-img create -q -f vmdk -o subformat=monolithicSparse,zeroed_grain=on -F vmdk \
		-b zg-base.vmdk "$top" >/dev/null
	same "formats: zeroed_grain=on sets its flag" "$(($(disk sparse-flags "$top") & 4))" 4
	qemu-io -f vmdk -c 'write -z 0 1M' -c 'write -z 3M 192k' -c 'write -P 0x5a 5M 64k' "$top" \
		>/dev/null
	qemu-io -f raw -c 'write -z 0 1M' -c 'write -z 3M 192k' -c 'write -P 0x5a 5M 64k' "$raw" \
		>/dev/null
	cat_is "formats: zeroed grains over a parent" "$(sha "$raw")" "$top"
	map_is "formats: zeroed grains over a parent: map" "$raw" "$top"
}

# Three deltas; QEMU copies grains right where there is one extent.
fmt_backing_chain() {
	local raw=$fmt/chain.raw level command

	disk make "$raw" $((12 * 1048576 + 512)) chain
	convert monolithicSparse "$raw" "$fmt/chain0.vmdk"
	for level in 1 2 3; do
		qemu-img create -q -f vmdk -F vmdk -b "chain$((level - 1)).vmdk" \
			"$fmt/chain$level.vmdk" >/dev/null
		for command in "write -P $level 100k 3k" "write -P $((level + 10)) ${level}M 200k" \
			"write -P $((level + 20)) $((4 * level))M 512" "write -z $((2 * level))M 64k"; do
			qemu-io -f vmdk -c "$command" "$fmt/chain$level.vmdk" >/dev/null
			qemu-io -f raw -c "$command" "$raw" >/dev/null
		done
	done
	cat_is "formats: chain of three deltas" "$(sha "$raw")" "$fmt/chain3.vmdk"
	map_is "formats: chain of three deltas: map" "$raw" "$fmt/chain3.vmdk"
	same "formats: chain depth in info" \
		"$("$VDCTL" info -J --chain "$fmt/chain3.vmdk" | jq -c '[.. | .filename? // empty |
			select(endswith(".vmdk")) | sub(".*/"; "")] | unique | length')" 4
	# The base was written to after its child was made.
	cp "$fmt/chain0.vmdk" "$fmt/chain0.keep"
	qemu-io -f vmdk -c 'write -P 9 0 512' "$fmt/chain0.vmdk" >/dev/null
	refused "formats: changed parent" 5 "cid|content id" cat "$fmt/chain3.vmdk"
	vd cat "$fmt/chain3.vmdk"
	check "formats: changed parent: the hint names --force-parent" \
		"$(grep -q 'hint:.*--force-parent' "$work/err"; echo $?)" "$err"
	vd cat --force-parent "$fmt/chain3.vmdk"
	same "formats: changed parent, --force-parent" "$rc" 0 "$err"
	mv "$fmt/chain0.keep" "$fmt/chain0.vmdk"
	# A parent that moved.
	mkdir -p "$fmt/moved"
	mv "$fmt/chain0.vmdk" "$fmt/moved/"
	refused "formats: missing parent" 3 "chain0.vmdk" cat "$fmt/chain3.vmdk"
	vd cat "$fmt/chain3.vmdk"
	check "formats: missing parent: says what was tried, and that --parent helps" \
		"$(grep -q "$fmt/chain0.vmdk" "$work/err" && grep -q 'hint:.*--parent' "$work/err"
			echo $?)" "$err"
	cat_is "formats: missing parent given by --parent" "$(sha "$raw")" \
		--parent "$fmt/moved/chain0.vmdk" "$fmt/chain3.vmdk"
}

# More than 2 GiB: extents of QEMU, data on both sides of each border.
fmt_large_split() {
	local raw=$fmt/big.raw size=$((5 * 1073741824 + 512)) subformat img
	local border=$((4194304 * 512))

	disk sparse "$raw" big "$size" 0 $((border - 65536)) "$border" $((border + 1048576)) \
		$((2 * border - 65536 - 512)) $((2 * border - 1024)) $((2 * border + 3 * 65536)) \
		$((size - 40960)) $((3 * 1073741824))
	for subformat in twoGbMaxExtentSparse twoGbMaxExtentFlat; do
		img=$fmt/big-$subformat.vmdk
		convert "$subformat" "$raw" "$img"
		same "formats: $subformat, 5 GiB" "$(disk compare "$VDCTL" "$img" "$raw")" ok
		[ "$subformat" = twoGbMaxExtentSparse ] || rm -f "$fmt/big-$subformat"*
	done
	fmt_large_split_delta "$raw" "$fmt/big-twoGbMaxExtentSparse.vmdk" "$size"
}

# A delta over it, cut at other places and with other grains, written here: what
# it lacks in its second extent must come from the same place of the disk.
fmt_large_split_delta() {
	local raw=$1 base=$2 size=$3 own=$fmt/own.raw want=$fmt/want.raw text=$fmt/delta.vmdk
	local start=0 sectors i=0 grains g cid len

	cp --sparse=always "$raw" "$own"
	disk sparse "$own" own "$size" 0 100000256 2200000000 2150000128 $((3 * 1073741824)) \
		$((3 * 1073741824 + 65536)) 4300000256 $((size - 65536))
	cp --sparse=always "$raw" "$want"
	cid=$("$VDCTL" info -J "$base" | jq -r .cid)
	{
		echo "# Disk DescriptorFile"
		echo "version=1"
		echo "CID=00c0ffee"
		echo "parentCID=$cid"
		echo "createType=\"twoGbMaxExtentSparse\""
		echo "parentFileNameHint=\"$(basename "$base")\""
	} >"$text"
	for sectors in 4192256 4192256 $((size / 512 - 2 * 4192256)); do
		i=$((i + 1))
		echo "RW $sectors SPARSE \"delta-s00$i.vmdk\"" >>"$text"
		grains=$(disk extent "$fmt/delta-s00$i.vmdk" "$sectors" 16 "$own" $((start * 512)) "d$i")
		for g in $grains; do
			len=$((sectors - g * 16 < 16 ? sectors - g * 16 : 16))
			dd if="$own" of="$want" bs=512 skip=$((start + g * 16)) \
				seek=$((start + g * 16)) count="$len" conv=notrunc status=none
		done
		start=$((start + sectors))
	done
	check "formats: the split delta holds data of its own" \
		"$(! cmp -s "$raw" "$want"; echo $?)"
	same "formats: split delta over a split base, other cuts" \
		"$(disk compare "$VDCTL" "$text" "$want")" ok
	rm -f "$fmt"/big* "$fmt"/delta* "$own" "$want"
}

# variant NAME RAW SED-SCRIPT: the descriptor changed by sed still means RAW
variant() {
	sed -E "$3" "$fmt/v.vmdk" >"$fmt/variant.vmdk"
	if cmp -s "$fmt/v.vmdk" "$fmt/variant.vmdk"; then
		not_ok "formats: descriptor: $1" "sed changed nothing"
		return
	fi
	cat_is "formats: descriptor: $1" "$(sha "$2")" "$fmt/variant.vmdk"
}

# bad_variant NAME CODE WORD SED-SCRIPT
bad_variant() {
	sed -E "$4" "$fmt/v.vmdk" >"$fmt/variant.vmdk"
	refused "formats: descriptor: $1" "$2" "$3" cat "$fmt/variant.vmdk"
}

fmt_descriptors() {
	local raw=$fmt/v.raw zeros=$fmt/v-zero.raw

	disk make "$raw" $((2 * 1048576)) v
	convert monolithicFlat "$raw" "$fmt/v.vmdk"
	cp "$fmt/v-flat.vmdk" "$fmt/w y.vmdk"
	variant "CR LF" "$raw" 's/$/\r/'
	variant "lower-case extent line" "$raw" 's/^RW ([0-9]+) FLAT/rw \1 flat/'
	variant "upper-case keys" "$raw" 's/^(version|CID|parentCID|createType)=/\U\1=/'
	variant "blanks around =" "$raw" 's/^([A-Za-z]+)=/\1 = /'
	variant "a blank behind =" "$raw" 's/^([A-Za-z]+)=/\1= /'
	variant "trailing blanks" "$raw" 's/$/ \t/'
	variant "RDONLY" "$raw" 's/^RW/RDONLY/'
	variant "no offset" "$raw" 's/^(RW .*") 0/\1/'
	variant "createType vmfs" "$raw" 's/monolithicFlat/vmfs/; s/FLAT (.*) 0/VMFS \1/'
	variant "createType 2GbMaxExtentFlat" "$raw" 's/monolithicFlat/2GbMaxExtentFlat/'
	variant "createType custom" "$raw" 's/monolithicFlat/custom/'
	variant "a name with a blank" "$raw" 's/v-flat/w y/'
	variant "unknown keys" "$raw" '/^version/a newKey="x"\nddb.new = "y"'
	variant "two pieces of one file" "$raw" \
		's/^RW .*/RW 1000 FLAT "v-flat.vmdk" 0\nRW 3096 FLAT "v-flat.vmdk" 1000/'
	{ head -c 1048576 /dev/zero; cat "$raw"; } >"$zeros"
	variant "ZERO extent in front (QEMU drops it)" "$zeros" 's/^RW/RW 2048 ZERO\nRW/'
	variant "zero extent in lower case" "$zeros" 's/^RW/rw 2048 zero\nRW/'
	{ cat "$raw"; head -c 512 /dev/zero; } >"$zeros"
	variant "ZERO extent behind" "$zeros" 's/^(RW .*)/\1\nRW 1 ZERO/'
	head -c 1048576 "$raw" >"$zeros"
	variant "fewer sectors than the file has" "$zeros" 's/^RW 4096/RW 2048/'
	tail -c +$((100 * 512 + 1)) "$raw" >"$zeros"
	variant "an offset" "$zeros" 's/^RW 4096 (.*) 0/RW 3996 \1 100/'

	bad_variant "unknown extent type" 5 "BOGUS" 's/^RW ([0-9]+) FLAT/RW \1 BOGUS/'
	bad_variant "unknown access" 5 "WO|access|extent" 's/^RW/WO/'
	bad_variant "a second, broken extent line" 5 "extent|line" 's/^(RW .*)/\1\nRW what/'
	bad_variant "no extents" 5 "extent" '/^RW/d'
	bad_variant "version 7" 5 "version" 's/^version=1/version=7/'
	bad_variant "encrypted" 5 "encrypt" 's/^version=1/&\nencryptionKeys="vmware:key\/list"/'
	bad_variant "encrypted by an I/O filter" 5 "encrypt" \
		's/^#DDB/&\nddb.iofilters = "vmwarevmcrypt"/'
	bad_variant "native snapshot" 5 "snapshot" 's/^version=1/&\nisNativeSnapshot="yes"/'
	bad_variant "raw device mapping" 5 "device|VMFSRDM" 's/^RW ([0-9]+) FLAT (.*) 0/RW \1 VMFSRDM \2/'
	bad_variant "a hint without parentCID" 5 "parent" 's/^version=1/&\nparentFileNameHint="v"/'
	bad_variant "a parent without a hint" 3 "parent" 's/^parentCID=.*/parentCID=12345678/'
	bad_variant "a Windows path" 5 "\\\\|Windows|path" 's/v-flat/C:\\\\vm\\\\v-flat/'
	bad_variant "a missing extent" 3 "gone.vmdk" 's/v-flat/gone/'
	bad_variant "lone CR line ends" 5 "line" ':a;N;$!ba;s/\n/\r/g'
	bad_variant "sectors overflow" 5 "extent|sector|size" 's/^RW 4096/RW 36028797018963969/'
	bad_variant "no sectors" 5 "extent|sector" 's/^RW 4096/RW 0/'
	head -c 2000000 /dev/zero | tr '\0' '#' >"$fmt/pad"
	cat "$fmt/v.vmdk" "$fmt/pad" >"$fmt/variant.vmdk"
	refused "formats: descriptor of 2 MB" 5 "large|big|long|MiB|bytes" cat "$fmt/variant.vmdk"
}

# A flat extent that ends early: no byte of it may be made up in silence.
fmt_short_flat() {
	local raw=$fmt/v.raw

	head -c 1048576 "$raw" >"$fmt/v-flat.vmdk"
	vd cat "$fmt/v.vmdk"
	if [ "$rc" -eq 0 ]; then
		cp "$fmt/v-flat.vmdk" "$fmt/short.raw"
		truncate -s 2097152 "$fmt/short.raw"
		same "formats: a flat file cut short reads zeros behind its end" \
			"$(sha "$work/out")" "$(sha "$fmt/short.raw")"
		check "formats: ... and vdctl warns" "$([ -n "$err" ]; echo $?)"
	else
		same "formats: a flat file cut short is refused as damaged" "$rc" 5 "$err"
	fi
}

# What did no harm, as another copy answered, is not what an error is blamed on.
fmt_blame() {
	local d=$fmt/blame

	mkdir "$d"
	truncate -s 2M "$d/hole"
	disk extent "$d/s1.vmdk" 4096 128 "$d/hole" 0 one >/dev/null
	disk extent "$d/s2.vmdk" 4096 128 "$d/hole" 0 two >/dev/null
	cat >"$d/s.vmdk" <<-'END'
		# Disk DescriptorFile
		version=1
		CID=1
		parentCID=ffffffff
		createType="twoGbMaxExtentSparse"
		RW 4096 SPARSE "s1.vmdk"
		RW 4096 SPARSE "s2.vmdk"
	END
	disk put "$d/s1.vmdk" $((6 * 512)) ffffff00
	disk entry "$d/s2.vmdk" both 5 0x7fffff00
	vd cat "$d/s.vmdk"
	same "formats: a bad grain behind a bad table: exit status" "$rc" 5 "$err"
	same "formats: ... everything before it came out" "$(stat -c %s "$work/out")" 2424832 "$err"
	check "formats: ... its place is named" \
		"$(grep -q 'at byte 2424832 of the disk: ' "$work/err"; echo $?)" "$err"
	check "formats: ... the grain is blamed" \
		"$(grep -q 'grain 5 is at sector 2147483392' "$work/err"; echo $?)" "$err"
	check "formats: ... and its file is named" \
		"$(grep -q '^hint: that extent is .*/s2.vmdk$' "$work/err"; echo $?)" "$err"
	rm -r "$d"
}

fmt_raw() {
	local raw=$fmt/r.raw

	disk make "$raw" $((3 * 1048576 + 512)) raw
	cat_is "formats: raw" "$(sha "$raw")" -f raw "$raw"
	cat_is "formats: raw, offset and limit" \
		"$(tail -c +1048577 "$raw" | head -c 1536 | disk sha)" \
		-f raw -o 1M --sizelimit 3s "$raw"
	split -b 700001 -d "$raw" "$fmt/odd." # odd parts cannot be told apart from padding
	vd cat -f raw "$fmt"/odd.*
	check "formats: split raw with parts that are no whole sectors" \
		"$([ "$rc" -ne 0 ] || [ "$(sha "$work/out")" = "$(sha "$raw")" ]; echo $?)" "$err"
	split -b 716800 -d "$raw" "$fmt/even."
	cat_is "formats: split raw" "$(sha "$raw")" -f raw "$fmt"/even.*
	map_is "formats: raw: map" "$raw" -f raw "$raw"
	# Sizes are whole sectors: what the file lacks of the last one reads as zeros.
	head -c 1000 "$raw" >"$fmt/short.raw"
	cat_is "formats: raw of 1000 bytes" \
		"$({ cat "$fmt/short.raw"; head -c 24 /dev/zero; } | disk sha)" -f raw "$fmt/short.raw"
	: >"$fmt/empty.raw"
	refused "formats: an empty file" 5 "empty|size" cat -f raw "$fmt/empty.raw"
	"$VDCTL" cat -f raw "$raw" >/dev/full 2>"$work/err"
	same "formats: a full disk under the output" "$?" 1 "$(cat "$work/err")"
	# A guest wrote a VMDK descriptor into its raw disk: said to be raw, it is raw.
	printf '# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\ncreateType="monolithicFlat"\nRW 8 FLAT "/etc/passwd" 0\n' |
		dd of="$raw" conv=notrunc status=none
	cat_is "formats: raw with a descriptor in sector 0" "$(sha "$raw")" -f raw "$raw"
}

fmt_every_subformat
fmt_parts_of_a_disk
fmt_zeroed_grains
fmt_backing_chain
fmt_large_split
fmt_descriptors
fmt_short_flat
fmt_blame
fmt_raw
rm -rf "$fmt"

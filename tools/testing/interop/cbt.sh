# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash disable=SC2154
# --drop-cbt: what becomes of descriptor, headers and log, and what is left when
# any of its system calls fails or the process dies there; and what an attach
# leaves that fails for another reason: nothing. The module's part is played by
# fake-module.c. Sourced by run.

cbt=$(scratch interop-cbt)
cbt_ids='CID=1010a8cd
parentCID=ffffffff'

# Each form is made once and copied then.
cbt_separate() {
	rm -rf "$cbt/img"
	cp -a "$cbt/separate" "$cbt/img"
}

cbt_embedded() {
	rm -rf "$cbt/img"
	cp -a "$cbt/embedded" "$cbt/img"
}

# A descriptor of its own, as ESX writes it, over one flat extent.
cbt_make_separate() {
	mkdir "$cbt/img"
	disk make "$cbt/img/disk-flat.vmdk" 1048576 cbt
	printf '\xa2\x72\x19\xf6\x01\0\0\0' >"$cbt/img/disk-ctk.vmdk"
	cat >"$cbt/img/disk.vmdk" <<-END
		# Disk DescriptorFile
		version=3
		encoding="UTF-8"
		$cbt_ids
		isNativeSnapshot="no"
		createType="vmfs"

		# Extent description
		RW 2048 VMFS "disk-flat.vmdk"

		# Change Tracking File
		changeTrackPath="disk-ctk.vmdk"

		# The Disk Data Base
		#DDB

		ddb.longContentID = "c30e9133f6a8e34df61188c51010a8cd"
	END
	chmod 640 "$cbt/img/disk.vmdk"
	mv "$cbt/img" "$cbt/separate"
}

# A descriptor inside a sparse extent whose header says 3 as well.
cbt_make_embedded() {
	mkdir "$cbt/img"
	disk make "$cbt/src.raw" 1048576 cbt
	qemu-img convert -q -f raw -O vmdk "$cbt/src.raw" "$cbt/img/disk.vmdk"
	printf '\xa2\x72\x19\xf6\x01\0\0\0' >"$cbt/img/disk-ctk.vmdk"
	printf '# Disk DescriptorFile\nversion=3\n%s\ncreateType="monolithicSparse"\nRW 2048 SPARSE "disk.vmdk"\n%s\n# Change Tracking File\nchangeTrackPath="disk-ctk.vmdk"\n%s\n' \
		"$cbt_ids" "$(printf '#%.0s' {1..330})" 'ddb.adapterType = "ide"' >"$cbt/text"
	truncate -s 10240 "$cbt/text"
	dd if="$cbt/text" of="$cbt/img/disk.vmdk" bs=512 seek=1 conv=notrunc status=none
	disk put "$cbt/img/disk.vmdk" 4 03
	mv "$cbt/img" "$cbt/embedded"
}

# drop CALL:FAULT ARG...: attach ARG..., which the module refuses, or does what $answer says
answer=no
drop() {
	local faults=(-e trace=none)

	[ -z "$1" ] || faults=(-e "trace=${1%%:*}" -e "inject=$1")
	shift
	# The shell has its word to say of who was killed; not here.
	(timeout -k 5 60 strace -f -o "$work/trace" -E LD_PRELOAD="$fake" -E FAKE_ANSWER=$answer \
		"${faults[@]}" "$VDCTL" attach "$@" >"$work/out" 2>"$work/err"; exit $?) 2>/dev/null
	rc=$?
	err=$(cat "$work/err")
}

# drop_for_good ARG...: the module says yes
drop_for_good() {
	answer=yes
	drop "" "$@"
	answer=no
}

# Did it get as far as the module, unharmed?
arrived() {
	[ "$rc" -eq 1 ] && grep -q 'not unique' "$work/err"
}

# state: "tracked" or "free" and the writable state of the image, by vdctl itself
state() {
	local tracked
	tracked=$("$VDCTL" info -J "$cbt/img/disk.vmdk" | jq -r '.["change-tracking"]')
	echo "$tracked $("$VDCTL" attach --dry-run -J "$cbt/img/disk.vmdk" 2>/dev/null |
		jq -r .writable)"
}

cbt_refused() {
	cbt_separate
	vd attach --dry-run "$cbt/img/disk.vmdk"
	check "cbt: read-only, with the command that helps" \
		"$([ "$rc" -eq 0 ] && grep -q 'attached read-only: change tracking' "$work/err" &&
			grep -q "^hint: .*vdctl attach --drop-cbt --dry-run $cbt/img/disk.vmdk" \
				"$work/err"; echo $?)" "$err"
	refused "cbt: --rw is refused" 5 "change tracking" attach --dry-run --rw "$cbt/img/disk.vmdk"
	refused "cbt: --drop-cbt and -r" 2 "drop-cbt" attach --dry-run -r --drop-cbt "$cbt/img/disk.vmdk"
	refused "cbt: --drop-cbt=other" 2 "drop-cbt" attach --dry-run --drop-cbt=x "$cbt/img/disk.vmdk"
	cp -a "$cbt/img" "$cbt/before"
	vd attach --dry-run -J --drop-cbt=delete "$cbt/img/disk.vmdk"
	same "cbt: a dry run tells" \
		"$rc $(jq -c '[.writable, .["drop-cbt"], .delete]' "$work/out")" \
		'0 [true,true,"disk-ctk.vmdk"]' "$err"
	check "cbt: a dry run changes nothing" "$(diff -r "$cbt/before" "$cbt/img"; echo $?)"
	rm -rf "$cbt/before"
}

cbt_drops_separate() {
	cbt_separate
	sed -e 's/^version=3/version=1/' -e '/^# Change Tracking/d' -e '/^changeTrackPath/d' \
		"$cbt/img/disk.vmdk" >"$cbt/want"
	drop "" --drop-cbt "$cbt/img/disk.vmdk"
	check "cbt: it is the module's turn" "$(arrived; echo $?)" "$err"
	check "cbt: descriptor without the lines" "$(cmp "$cbt/want" "$cbt/img/disk.vmdk"; echo $?)" \
		"$err"
	same "cbt: descriptor keeps its mode" "$(stat -c %a "$cbt/img/disk.vmdk")" 640
	check "cbt: says that a full backup is due" "$(grep -q 'full one' "$work/err"; echo $?)" "$err"
	same "cbt: the image is writable" "$(state)" "false true"
	check "cbt: the log stays" "$([ -f "$cbt/img/disk-ctk.vmdk" ]; echo $?)"
	same "cbt: nothing is left behind" "$(find "$cbt/img" -name '.*.vdctl*')" ""

	cbt_separate
	drop "" --drop-cbt=delete "$cbt/img/disk.vmdk"
	check "cbt: =delete leaves the log when the module says no" \
		"$([ -e "$cbt/img/disk-ctk.vmdk" ]; echo $?)" "$err"
	cbt_separate
	drop_for_good --drop-cbt=delete "$cbt/img/disk.vmdk"
	same "cbt: =delete: it is attached" "$rc $(cat "$work/out")" "0 /dev/vdisk0" "$err"
	check "cbt: =delete deletes the log" "$([ ! -e "$cbt/img/disk-ctk.vmdk" ]; echo $?)" "$err"

	# A name that stands in an image must not delete anything else.
	for victim in disk-flat.vmdk victim ../victim sub/log; do
		cbt_separate
		mkdir "$cbt/img/sub"
		cp "$cbt/img/disk-ctk.vmdk" "$cbt/img/sub/log"
		cp "$cbt/img/disk-ctk.vmdk" "$cbt/victim"
		echo precious >"$cbt/img/victim"
		sed -i "s|disk-ctk.vmdk|$victim|" "$cbt/img/disk.vmdk"
		drop_for_good --drop-cbt=delete "$cbt/img/disk.vmdk"
		check "cbt: =delete does not delete $victim" \
			"$([ -e "$cbt/img/$victim" ] && grep -q 'left alone' "$work/err"; echo $?)" "$err"
	done
	cbt_separate
	ln -sf disk-flat.vmdk "$cbt/img/disk-ctk.vmdk"
	drop_for_good --drop-cbt=delete "$cbt/img/disk.vmdk"
	check "cbt: =delete does not delete a symbolic link" \
		"$([ -L "$cbt/img/disk-ctk.vmdk" ]; echo $?)" "$err"
}

cbt_drops_embedded() {
	local before

	cbt_embedded
	same "cbt: embedded: tracked at first" "$(state)" "true false"
	before=$(stat -c '%i %s' "$cbt/img/disk.vmdk")
	drop "" --drop-cbt "$cbt/img/disk.vmdk"
	same "cbt: embedded: writable" "$(state)" "false true" "$err"
	same "cbt: embedded: the same file" "$(stat -c '%i %s' "$cbt/img/disk.vmdk")" "$before"
	check "cbt: embedded: no trace of the log in the descriptor" \
		"$(! grep -aq 'disk-ctk\|Change Tracking' "$cbt/img/disk.vmdk"; echo $?)"
	cat_is "cbt: embedded: content" "$(sha "$cbt/src.raw")" "$cbt/img/disk.vmdk"
	same "cbt: embedded: header says 1" "$(od -An -tu4 -j4 -N4 "$cbt/img/disk.vmdk" | tr -d ' ')" 1
	if qemu-img convert -q -f vmdk -O raw "$cbt/img/disk.vmdk" "$cbt/out.raw" &&
		qemu-io -f vmdk -c 'write 0 512' "$cbt/img/disk.vmdk" >/dev/null; then
		same "cbt: embedded: QEMU reads it" "$(sha "$cbt/out.raw")" "$(sha "$cbt/src.raw")"
	else
		not_ok "cbt: embedded: QEMU reads and writes it"
	fi
}

# The header of an extent beside the descriptor.
cbt_drops_split() {
	rm -rf "$cbt/img"
	mkdir "$cbt/img"
	disk make "$cbt/src.raw" 1048576 cbt
	qemu-img convert -q -f raw -O vmdk -o subformat=twoGbMaxExtentSparse "$cbt/src.raw" \
		"$cbt/img/disk.vmdk"
	disk put "$cbt/img/disk-s001.vmdk" 4 03
	cp "$cbt/img/disk.vmdk" "$cbt/want"
	same "cbt: version 3 in an extent alone" "$(state)" "false false"
	drop "" --drop-cbt "$cbt/img/disk.vmdk"
	same "cbt: version 3 in an extent alone: dropped" "$(state)" "false true" "$err"
	check "cbt: version 3 in an extent alone: descriptor as it was" \
		"$(cmp "$cbt/want" "$cbt/img/disk.vmdk"; echo $?)"
}

# cbt_crash FORM FAULT CALL...: the n-th CALL fails or is the last, for each n
cbt_crash() {
	local form=$1 fault=$2 call n bad='' want got hits=0
	shift 2

	"cbt_$form"
	want=$("$VDCTL" cat "$cbt/img/disk.vmdk" | sha256sum)
	for call; do
		for n in 1 2 3 4 5 6 7 8 9; do
			"cbt_$form"
			drop "$call:$fault:when=$n" --drop-cbt "$cbt/img/disk.vmdk"
			! arrived || break
			hits=$((hits + 1))
			# Old or new, and in both cases whole: same content, and after
			# one more try without a fault it is free.
			got=$("$VDCTL" cat "$cbt/img/disk.vmdk" 2>&1 | sha256sum)
			[ "$got" = "$want" ] || bad+=" $call:$n:content"
			case $(state) in
			"true false" | "false true" | "false false") ;;
			*) bad+=" $call:$n:state" ;;
			esac
			[ "$fault" = signal=KILL ] || [ "$call" = unlinkat ] ||
				[ -z "$(find "$cbt/img" -name '.*.vdctl*')" ] || bad+=" $call:$n:left"
			drop "" --drop-cbt "$cbt/img/disk.vmdk"
			[ "$(state)" = "false true" ] || bad+=" $call:$n:again"
		done
	done
	same "cbt: $form, $fault in each of: $*" "$bad" ""
	check "cbt: $form, $fault: each call was met" "$([ "$hits" -ge $# ]; echo $?)" "$hits"
}

# A torn write: any prefix of the last, long one.
cbt_torn() {
	local n bad='' from to

	cbt_embedded
	drop pwrite64:signal=KILL:when=4 --drop-cbt "$cbt/img/disk.vmdk"
	cp "$cbt/img/disk.vmdk" "$cbt/half"
	cbt_embedded
	drop "" --drop-cbt "$cbt/img/disk.vmdk"
	cp "$cbt/img/disk.vmdk" "$cbt/whole"
	from=$(cmp -l "$cbt/half" "$cbt/whole" | awk '$1 > 512 { print $1; exit }')
	to=$(cmp -l "$cbt/half" "$cbt/whole" | awk '{ last = $1 } END { print last }')
	check "cbt: there is something to tear" "$([ "$to" -gt "$from" ]; echo $?)" "$from $to"
	for ((n = from; n <= to; n++)); do
		{ head -c "$n" "$cbt/whole"; tail -c "+$((n + 1))" "$cbt/half"; } >"$cbt/img/disk.vmdk"
		"$VDCTL" info "$cbt/img/disk.vmdk" >/dev/null 2>&1 || bad+=" $n"
		{ head -c "$n" "$cbt/half"; tail -c "+$((n + 1))" "$cbt/whole"; } >"$cbt/img/disk.vmdk"
		"$VDCTL" info "$cbt/img/disk.vmdk" >/dev/null 2>&1 || bad+=" -$n"
	done
	same "cbt: a torn write leaves a valid text" "$bad" ""
}

# An attach that cannot be has not changed a byte: neither of a descriptor nor of tables.
cbt_nothing_changes() {
	local img=$cbt/img/disk.vmdk form

	for form in separate embedded; do
		"cbt_$form"
		cp -a "$cbt/img" "$cbt/before"
		cbt_same "$form, no socket" 1 "netlink socket" socket:error=EPERM --drop-cbt=delete "$img"
		cbt_same "$form, the number is taken" 4 "vdisk3 exists" "" --node=3 \
			--drop-cbt=delete "$img"
		rm -rf "$cbt/before"
	done
	cbt_separate
	sed -i 's/^RW 2048/RW 2047/' "$img"
	cp -a "$cbt/img" "$cbt/before"
	cbt_same "another sector size" 1 "no multiple" "" -b 4096 --drop-cbt=delete "$img"
	rm -rf "$cbt/before"
	cbt_unmarked
	disk put "$img" 72 01
	disk entry "$img" 1 3 0
	cp -a "$cbt/img" "$cbt/before"
	cbt_same "unclean, no socket" 1 "netlink socket" socket:error=EPERM "$img"
	cbt_same "unclean, the number is taken" 4 "vdisk3 exists" "" --node=3 "$img"
	rm -rf "$cbt/before"
	drop_for_good "$img"
	check "cbt: unclean: merged, and a warning says so" \
		"$([ "$rc" -eq 0 ] && grep -q 'merged 1 place of its tables' "$work/err"; echo $?)" "$err"
	same "cbt: unclean: no mark is left" "$(od -An -tu1 -j72 -N1 "$img" | tr -d ' ')" 0
	vd check "$img"
	same "cbt: unclean: clean now" "$rc" 0 "$err"
	[ -e /sys/module/vdisk ] && return
	disk put "$img" 72 01
	cp -a "$cbt/img" "$cbt/before"
	vd attach "$img"
	same "cbt: unclean, no module: exit status" "$rc" 7 "$err"
	check "cbt: unclean, no module: nothing has changed" \
		"$(diff -rq "$cbt/before" "$cbt/img" >&2; echo $?)"
	rm -rf "$cbt/before"
}

cbt_unmarked() {
	rm -rf "$cbt/img"
	mkdir "$cbt/img"
	disk make "$cbt/src.raw" 1048576 cbt
	qemu-img convert -q -f raw -O vmdk "$cbt/src.raw" "$cbt/img/disk.vmdk"
}

# cbt_same NAME CODE WORD FAULT ARG...: attach fails so, and $cbt/img is as $cbt/before
cbt_same() {
	local name=$1 code=$2 word=$3 fault=$4
	shift 4
	drop "$fault" "$@"
	check "cbt: $name: refused" "$([ "$rc" -eq "$code" ] && grep -q "$word" "$work/err"; echo $?)" \
		"$rc $err"
	check "cbt: $name: nothing has changed" \
		"$(diff -rq "$cbt/before" "$cbt/img" >&2; echo $?)" "$err"
}

# A signal in the middle of the replacement: it is finished, or has not been.
cbt_signals() {
	local name n bad=''

	for name in INT TERM QUIT USR1; do
		for n in fsync:1 renameat:1 fchmod:1 pwrite64:1; do
			cbt_separate
			answer=yes
			drop "${n%:*}:signal=$name:when=${n#*:}" --drop-cbt "$cbt/img/disk.vmdk"
			answer=no
			[ "$rc" -ge 128 ] || bad+=" $name:$n:$rc"
			[ -z "$(find "$cbt/img" -name '.*.vdctl*')" ] || bad+=" $name:$n:left"
			case $(state) in
			"true false" | "false true") ;;
			*) bad+=" $name:$n:$(state)" ;;
			esac
		done
	done
	same "cbt: a signal leaves no file behind" "$bad" ""
}

cbt_make_separate
cbt_make_embedded
cbt_refused
if may_pretend cbt; then
	cbt_nothing_changes
	cbt_signals
	cbt_drops_separate
	cbt_drops_embedded
	cbt_drops_split
	cbt_crash separate error=EIO pwrite64 fsync renameat fchown fchmod
	cbt_crash separate signal=KILL pwrite64 fsync renameat
	cbt_crash embedded error=EIO pwrite64 fsync
	cbt_crash embedded signal=KILL pwrite64 fsync
	cbt_torn
fi
rm -rf "$cbt"

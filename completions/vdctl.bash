# SPDX-License-Identifier: GPL-2.0-only
# bash completion for vdctl
#
# Verbs and options are asked from vdctl itself, so they cannot be outdated
# here; only the values of options with a fixed choice are listed.

_vdctl_devices()
{
	local sys

	for sys in /sys/block/vdisk*; do
		[[ -e $sys ]] && echo "/dev/${sys##*/}"
	done
}

_vdctl_verb()
{
	local i

	for ((i = 1; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		-*) ;;
		*)
			echo "${COMP_WORDS[i]}"
			return
			;;
		esac
	done
}

# Words for option $1 of verb $2, which an equals sign follows if $3 is "=";
# fails when the value is no fixed choice.
_vdctl_values()
{
	case $1 in
	-f | --format)
		[[ $2 == create ]] || echo auto
		echo raw vmdk
		;;
	-b)
		[[ $2 == attach ]] || return 1
		echo 512 4096
		;;
	--sector-size) echo 512 4096 ;;
	--type) echo sparse split flat splitflat esx esxsparse ;;
	--prealloc) echo off metadata falloc full ;;
	--adapter) echo ide lsilogic buslogic legacyESX ;;
	--discard) echo unmap ignore ;;
	--flush | --direct-io | --autoclear | --isolate) echo on off ;;
	--lock) echo yes no ;;
	--drop-cbt)
		# May do without a value, so only behind the sign.
		[[ $3 == "=" ]] || return 1
		echo delete
		;;
	--repair)
		[[ $3 == "=" ]] || return 1
		echo merge all
		;;
	--uuid | --modification-uuid)
		[[ $2 == set && $3 == "=" ]] || return 1
		echo new
		;;
	-o | --output)
		[[ $2 == list ]] || return 1
		echo NAME NODE BACKING FORMAT SIZE RO STATE OPENERS DIO ISOLATE DISCARD \
			FLUSH AUTOCLEAR DISKSEQ ERRORS PARENTS UUID
		;;
	*) return 1 ;;
	esac
}

_vdctl()
{
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}
	local vdctl=${COMP_WORDS[0]} verb option words sign=

	COMPREPLY=()
	verb=$(_vdctl_verb)

	# "--discard=un" arrives as the words "--discard", "=" and "un".
	if [[ $cur == "=" ]]; then
		option=$prev
		sign="="
		cur=
	elif [[ $prev == "=" ]]; then
		sign="="
		option=${COMP_WORDS[COMP_CWORD - 2]}
	else
		option=$prev
	fi

	if [[ -z $verb ]]; then
		if [[ $cur == -* ]]; then
			words="--help --version --quiet --verbose"
		else
			words=$("$vdctl" help --list-verbs 2>/dev/null)
		fi
		mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
		return
	fi

	if words=$(_vdctl_values "$option" "$verb" "$sign"); then
		mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
		return
	fi

	case $option in
	--allow-outside | --search)
		compopt -o filenames 2>/dev/null
		mapfile -t COMPREPLY < <(compgen -d -- "$cur")
		return
		;;
	--name | --node | --queues | --offset | --sizelimit | --start | --length | --grain | \
		--split-size | --hwversion | --comment | --parent-uuid | \
		--parent-modification-uuid | --geometry | --lchs)
		return
		;;
	--uuid | --modification-uuid)
		# set may do without a value, so only behind the sign.
		[[ $verb != set || $sign == "=" ]] && return
		;;
	esac

	if [[ $cur == -* ]]; then
		words=$("$vdctl" help --list-options "$verb" 2>/dev/null)
		mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
		[[ ${COMPREPLY[0]} == *= && ${#COMPREPLY[@]} -eq 1 ]] && compopt -o nospace 2>/dev/null
		return
	fi

	case $verb in
	help)
		words=$("$vdctl" help --list-verbs 2>/dev/null)
		mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
		;;
	status)
		mapfile -t COMPREPLY < <(compgen -W "$(_vdctl_devices)" -- "$cur")
		;;
	list | formats | monitor) ;;
	*)
		compopt -o filenames 2>/dev/null
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		if [[ $verb == detach || $verb == set ]]; then
			mapfile -t -O ${#COMPREPLY[@]} COMPREPLY \
				< <(compgen -W "$(_vdctl_devices)" -- "$cur")
		fi
		;;
	esac
}

complete -F _vdctl vdctl

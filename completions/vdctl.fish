# SPDX-License-Identifier: GPL-2.0-only
# fish completion for vdctl: verbs and options come from vdctl itself.

function __vdctl_verb
    for word in (commandline -opc)[2..-1]
        switch $word
            case '-*'
            case '*'
                echo $word
                return 0
        end
    end
    return 1
end

function __vdctl_verb_is
    contains -- (__vdctl_verb) $argv
end

function __vdctl_options
    vdctl help --list-options (__vdctl_verb) 2>/dev/null
end

function __vdctl_devices
    for sys in /sys/block/vdisk*
        echo /dev/(basename $sys)
    end
end

complete -c vdctl -n 'not __vdctl_verb' -f -a '(vdctl help --list-verbs 2>/dev/null)'
complete -c vdctl -n 'not __vdctl_verb' -s h -l help -d 'help'
complete -c vdctl -n 'not __vdctl_verb' -s V -l version -d 'version'
complete -c vdctl -n '__vdctl_verb' -n 'string match -q -- "-*" (commandline -ct)' \
    -f -a '(__vdctl_options)'
complete -c vdctl -n '__vdctl_verb_is detach status set' -a '(__vdctl_devices)'
complete -c vdctl -n '__vdctl_verb_is status list formats monitor' -f
complete -c vdctl -n '__vdctl_verb_is help' -f -a '(vdctl help --list-verbs 2>/dev/null)'
complete -c vdctl -n '__vdctl_verb_is attach info map cat probe rename' -s f -l format -x -a 'auto raw vmdk'
complete -c vdctl -n '__vdctl_verb_is attach' -s b -l sector-size -x -a '512 4096'
complete -c vdctl -n '__vdctl_verb_is attach set' -l discard -x -a 'unmap ignore'
complete -c vdctl -n '__vdctl_verb_is attach set' -l flush -x -a 'on off'
complete -c vdctl -n '__vdctl_verb_is attach' -l direct-io -x -a 'on off'
complete -c vdctl -n '__vdctl_verb_is attach' -l lock -x -a 'yes no'
complete -c vdctl -n '__vdctl_verb_is set' -l autoclear -x -a 'on off'
complete -c vdctl -n '__vdctl_verb_is set' -l isolate -x -a 'on off'
complete -c vdctl -n '__vdctl_verb_is set' -s f -l format -x -a 'auto raw vmdk'
complete -c vdctl -n '__vdctl_verb_is set' -l comment -x
complete -c vdctl -n '__vdctl_verb_is set' -l geometry -x
complete -c vdctl -n '__vdctl_verb_is set' -l lchs -x
complete -c vdctl -n '__vdctl_verb_is create' -s f -l format -x -a 'raw vmdk'
complete -c vdctl -n '__vdctl_verb_is create' -s b -l backing -r
complete -c vdctl -n '__vdctl_verb_is create' -s F -l backing-format -x -a 'auto raw vmdk vdi'
complete -c vdctl -n '__vdctl_verb_is chain' -l search -x -a '(__fish_complete_directories)'
complete -c vdctl -n '__vdctl_verb_is create' -l type -x -a 'sparse split flat splitflat esx esxsparse'
complete -c vdctl -n '__vdctl_verb_is create' -l prealloc -x -a 'off metadata falloc full'
complete -c vdctl -n '__vdctl_verb_is create' -l adapter -x -a 'ide lsilogic buslogic legacyESX'

# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_stockade_global_optspecs
    string join \n h/help V/version
end

function __fish_stockade_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_stockade_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_stockade_using_subcommand
    set -l cmd (__fish_stockade_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c stockade -n "__fish_stockade_needs_command" -s h -l help -d 'Print help'
complete -c stockade -n "__fish_stockade_needs_command" -s V -l version -d 'Print version'
complete -c stockade -n "__fish_stockade_needs_command" -f -a "run" -d 'Run one program under every layer, and report what the kernel showed'
complete -c stockade -n "__fish_stockade_needs_command" -f -a "doctor" -d 'Tells what this host can give a box, and what to do about the rest'
complete -c stockade -n "__fish_stockade_needs_command" -f -a "policy" -d 'Looks at policies: lists, shows, checks, explains and compares them'
complete -c stockade -n "__fish_stockade_needs_command" -f -a "escape-check" -d 'Attacks this host from inside boxes, and sees whether they hold'
complete -c stockade -n "__fish_stockade_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c stockade -n "__fish_stockade_using_subcommand run" -s p -l policy -d 'A built-in policy, or a file (an argument with \'/\' or ending in .json)' -r
complete -c stockade -n "__fish_stockade_using_subcommand run" -l ceiling -d 'The most that the policy, --ro, --rw, --env, --degrade and the limits may ask for' -r -F
complete -c stockade -n "__fish_stockade_using_subcommand run" -l report -d 'Where the JSON report goes: a file, replaced whole, or an open descriptor' -r
complete -c stockade -n "__fish_stockade_using_subcommand run" -l stdin -d 'Standard input of the program [default: the caller\'s]' -r -F
complete -c stockade -n "__fish_stockade_using_subcommand run" -l stdout -d 'Standard output of the program, truncated [default: the caller\'s]' -r -F
complete -c stockade -n "__fish_stockade_using_subcommand run" -l stderr -d 'Standard error of the program, truncated [default: the caller\'s]' -r -F
complete -c stockade -n "__fish_stockade_using_subcommand run" -l env -d 'Adds a variable to the environment, which is otherwise the policy\'s alone' -r
complete -c stockade -n "__fish_stockade_using_subcommand run" -l ro -d 'Shows a file or directory of the host, read-only [default BOX: the same path]' -r
complete -c stockade -n "__fish_stockade_using_subcommand run" -l rw -d 'Shows a directory or file of the host that may be written, without programs, devices or links' -r
complete -c stockade -n "__fish_stockade_using_subcommand run" -l degrade -d 'Runs although this host cannot give that layer in full; the report says so' -r
complete -c stockade -n "__fish_stockade_using_subcommand run" -l cgroup -d 'A delegated cgroup (v2) that contains the one stockade runs in' -r -F
complete -c stockade -n "__fish_stockade_using_subcommand run" -l store -d 'Where root file systems are kept [default: $STOCKADE_STORE, or stockade\'s place among the user\'s data]' -r -F
complete -c stockade -n "__fish_stockade_using_subcommand run" -l cpu-time -d 'CPU time of the whole box, for example 1s or 250ms' -r
complete -c stockade -n "__fish_stockade_using_subcommand run" -l wall-time -d 'Time from start to end' -r
complete -c stockade -n "__fish_stockade_using_subcommand run" -l memory -d 'Memory of the whole box, swap and files in memory included, for example 256MiB' -r
complete -c stockade -n "__fish_stockade_using_subcommand run" -l processes -d 'Processes and threads at one time' -r
complete -c stockade -n "__fish_stockade_using_subcommand run" -l open-files -d 'Open descriptors of one process' -r
complete -c stockade -n "__fish_stockade_using_subcommand run" -l file-size -d 'Size of one file' -r
complete -c stockade -n "__fish_stockade_using_subcommand run" -l output -d 'Bytes of each output stream' -r
complete -c stockade -n "__fish_stockade_using_subcommand run" -l stack -d 'Stack of the main thread' -r
complete -c stockade -n "__fish_stockade_using_subcommand run" -l tmp -d 'Size of /tmp' -r
complete -c stockade -n "__fish_stockade_using_subcommand run" -l explain -d 'Says what the policy stood in the way of, and what would allow it; the report has it, too'
complete -c stockade -n "__fish_stockade_using_subcommand run" -s q -l quiet -d 'No verdict line, not even on a terminal'
complete -c stockade -n "__fish_stockade_using_subcommand run" -s v -l verbose -d 'The verdict line, the notes and every layer, on standard error'
complete -c stockade -n "__fish_stockade_using_subcommand run" -s h -l help -d 'Print help'
complete -c stockade -n "__fish_stockade_using_subcommand doctor" -l json -d 'For programs'
complete -c stockade -n "__fish_stockade_using_subcommand doctor" -s h -l help -d 'Print help'
complete -c stockade -n "__fish_stockade_using_subcommand policy; and not __fish_seen_subcommand_from list show check lint explain diff schema help" -s h -l help -d 'Print help'
complete -c stockade -n "__fish_stockade_using_subcommand policy; and not __fish_seen_subcommand_from list show check lint explain diff schema help" -f -a "list" -d 'The policies that ship'
complete -c stockade -n "__fish_stockade_using_subcommand policy; and not __fish_seen_subcommand_from list show check lint explain diff schema help" -f -a "show" -d 'A policy as it is written'
complete -c stockade -n "__fish_stockade_using_subcommand policy; and not __fish_seen_subcommand_from list show check lint explain diff schema help" -f -a "check" -d 'Reads policies and ceilings, and tells everything that is wrong with them'
complete -c stockade -n "__fish_stockade_using_subcommand policy; and not __fish_seen_subcommand_from list show check lint explain diff schema help" -f -a "lint" -d 'Looks for what is dangerous, forgotten, redundant, unreachable or broader than it seems'
complete -c stockade -n "__fish_stockade_using_subcommand policy; and not __fish_seen_subcommand_from list show check lint explain diff schema help" -f -a "explain" -d 'What a policy lets a program see, write, call and use, and what stops the rest'
complete -c stockade -n "__fish_stockade_using_subcommand policy; and not __fish_seen_subcommand_from list show check lint explain diff schema help" -f -a "diff" -d 'What B allows that A does not, and the other way round'
complete -c stockade -n "__fish_stockade_using_subcommand policy; and not __fish_seen_subcommand_from list show check lint explain diff schema help" -f -a "schema" -d 'The JSON Schema (2020-12) of policies and ceilings'
complete -c stockade -n "__fish_stockade_using_subcommand policy; and not __fish_seen_subcommand_from list show check lint explain diff schema help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c stockade -n "__fish_stockade_using_subcommand policy; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help'
complete -c stockade -n "__fish_stockade_using_subcommand policy; and __fish_seen_subcommand_from show" -l resolved -d 'With what it extends put in: a policy that stands on its own and means the same'
complete -c stockade -n "__fish_stockade_using_subcommand policy; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help'
complete -c stockade -n "__fish_stockade_using_subcommand policy; and __fish_seen_subcommand_from check" -s h -l help -d 'Print help'
complete -c stockade -n "__fish_stockade_using_subcommand policy; and __fish_seen_subcommand_from lint" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c stockade -n "__fish_stockade_using_subcommand policy; and __fish_seen_subcommand_from explain" -l json -d 'For programs'
complete -c stockade -n "__fish_stockade_using_subcommand policy; and __fish_seen_subcommand_from explain" -s h -l help -d 'Print help'
complete -c stockade -n "__fish_stockade_using_subcommand policy; and __fish_seen_subcommand_from diff" -l json -d 'For programs'
complete -c stockade -n "__fish_stockade_using_subcommand policy; and __fish_seen_subcommand_from diff" -s h -l help -d 'Print help'
complete -c stockade -n "__fish_stockade_using_subcommand policy; and __fish_seen_subcommand_from schema" -s h -l help -d 'Print help'
complete -c stockade -n "__fish_stockade_using_subcommand policy; and __fish_seen_subcommand_from help" -f -a "list" -d 'The policies that ship'
complete -c stockade -n "__fish_stockade_using_subcommand policy; and __fish_seen_subcommand_from help" -f -a "show" -d 'A policy as it is written'
complete -c stockade -n "__fish_stockade_using_subcommand policy; and __fish_seen_subcommand_from help" -f -a "check" -d 'Reads policies and ceilings, and tells everything that is wrong with them'
complete -c stockade -n "__fish_stockade_using_subcommand policy; and __fish_seen_subcommand_from help" -f -a "lint" -d 'Looks for what is dangerous, forgotten, redundant, unreachable or broader than it seems'
complete -c stockade -n "__fish_stockade_using_subcommand policy; and __fish_seen_subcommand_from help" -f -a "explain" -d 'What a policy lets a program see, write, call and use, and what stops the rest'
complete -c stockade -n "__fish_stockade_using_subcommand policy; and __fish_seen_subcommand_from help" -f -a "diff" -d 'What B allows that A does not, and the other way round'
complete -c stockade -n "__fish_stockade_using_subcommand policy; and __fish_seen_subcommand_from help" -f -a "schema" -d 'The JSON Schema (2020-12) of policies and ceilings'
complete -c stockade -n "__fish_stockade_using_subcommand policy; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c stockade -n "__fish_stockade_using_subcommand escape-check" -s p -l policy -d 'A built-in policy, or a file (an argument with \'/\' or ending in .json)' -r
complete -c stockade -n "__fish_stockade_using_subcommand escape-check" -l only -d 'Only these attacks, or sections: --only KY-01 FS' -r
complete -c stockade -n "__fish_stockade_using_subcommand escape-check" -l format -d 'How the result is printed' -r -f -a "table\t'One line for each attack'
json\t'For programs'
junit\t'For CI'"
complete -c stockade -n "__fish_stockade_using_subcommand escape-check" -l degrade -d 'Runs the boxes although this host cannot give that layer in full' -r
complete -c stockade -n "__fish_stockade_using_subcommand escape-check" -l through -d 'Has another sandbox run the payload, for a comparison: a command before the payload\'s own' -r
complete -c stockade -n "__fish_stockade_using_subcommand escape-check" -l cgroup -d 'A delegated cgroup (v2) that contains the one stockade runs in' -r -F
complete -c stockade -n "__fish_stockade_using_subcommand escape-check" -l list -d 'Shows every attack, and tries none'
complete -c stockade -n "__fish_stockade_using_subcommand escape-check" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c stockade -n "__fish_stockade_using_subcommand help; and not __fish_seen_subcommand_from run doctor policy escape-check help" -f -a "run" -d 'Run one program under every layer, and report what the kernel showed'
complete -c stockade -n "__fish_stockade_using_subcommand help; and not __fish_seen_subcommand_from run doctor policy escape-check help" -f -a "doctor" -d 'Tells what this host can give a box, and what to do about the rest'
complete -c stockade -n "__fish_stockade_using_subcommand help; and not __fish_seen_subcommand_from run doctor policy escape-check help" -f -a "policy" -d 'Looks at policies: lists, shows, checks, explains and compares them'
complete -c stockade -n "__fish_stockade_using_subcommand help; and not __fish_seen_subcommand_from run doctor policy escape-check help" -f -a "escape-check" -d 'Attacks this host from inside boxes, and sees whether they hold'
complete -c stockade -n "__fish_stockade_using_subcommand help; and not __fish_seen_subcommand_from run doctor policy escape-check help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c stockade -n "__fish_stockade_using_subcommand help; and __fish_seen_subcommand_from policy" -f -a "list" -d 'The policies that ship'
complete -c stockade -n "__fish_stockade_using_subcommand help; and __fish_seen_subcommand_from policy" -f -a "show" -d 'A policy as it is written'
complete -c stockade -n "__fish_stockade_using_subcommand help; and __fish_seen_subcommand_from policy" -f -a "check" -d 'Reads policies and ceilings, and tells everything that is wrong with them'
complete -c stockade -n "__fish_stockade_using_subcommand help; and __fish_seen_subcommand_from policy" -f -a "lint" -d 'Looks for what is dangerous, forgotten, redundant, unreachable or broader than it seems'
complete -c stockade -n "__fish_stockade_using_subcommand help; and __fish_seen_subcommand_from policy" -f -a "explain" -d 'What a policy lets a program see, write, call and use, and what stops the rest'
complete -c stockade -n "__fish_stockade_using_subcommand help; and __fish_seen_subcommand_from policy" -f -a "diff" -d 'What B allows that A does not, and the other way round'
complete -c stockade -n "__fish_stockade_using_subcommand help; and __fish_seen_subcommand_from policy" -f -a "schema" -d 'The JSON Schema (2020-12) of policies and ceilings'

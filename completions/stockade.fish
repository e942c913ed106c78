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
complete -c stockade -n "__fish_stockade_needs_command" -f -a "batch" -d 'Runs many programs: jobs as JSON lines on standard input, reports on standard output'
complete -c stockade -n "__fish_stockade_needs_command" -f -a "image" -d 'Makes, moves, shows and keeps images'
complete -c stockade -n "__fish_stockade_needs_command" -f -a "doctor" -d 'Tells what this host can give a box, and what to do about the rest'
complete -c stockade -n "__fish_stockade_needs_command" -f -a "policy" -d 'Looks at policies: lists, shows, checks, explains and compares them'
complete -c stockade -n "__fish_stockade_needs_command" -f -a "escape-check" -d 'Attacks this host from inside boxes, and sees whether they hold'
complete -c stockade -n "__fish_stockade_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c stockade -n "__fish_stockade_using_subcommand run" -s p -l policy -d 'A built-in policy, or a file (an argument with \'/\' or ending in .json) [default: the image\'s own, else native]' -r
complete -c stockade -n "__fish_stockade_using_subcommand run" -s i -l image -d 'An image of the store in place of the policy\'s: NAME, NAME@sha256:ID or sha256:ID. It starts by itself where it has an entry point' -r
complete -c stockade -n "__fish_stockade_using_subcommand run" -l ceiling -d 'The most that the policy, --ro, --rw, --env, --degrade and the limits may ask for' -r -F
complete -c stockade -n "__fish_stockade_using_subcommand run" -l report -d 'Where the JSON report goes: a file, replaced whole, or an open descriptor' -r
complete -c stockade -n "__fish_stockade_using_subcommand run" -l stdin -d 'Standard input of the program [default: the caller\'s]' -r -F
complete -c stockade -n "__fish_stockade_using_subcommand run" -l stdout -d 'Standard output of the program, truncated [default: the caller\'s]' -r -F
complete -c stockade -n "__fish_stockade_using_subcommand run" -l stderr -d 'Standard error of the program, truncated [default: the caller\'s]' -r -F
complete -c stockade -n "__fish_stockade_using_subcommand run" -l env -d 'Adds a variable to the environment, which is otherwise the policy\'s alone' -r
complete -c stockade -n "__fish_stockade_using_subcommand run" -l ro -d 'Shows a file or directory of the host, read-only [default BOX: the same path]' -r
complete -c stockade -n "__fish_stockade_using_subcommand run" -l rw -d 'Shows a directory or file of the host that may be written, without programs, devices or links' -r
complete -c stockade -n "__fish_stockade_using_subcommand run" -l out -d 'Collects what the box has made below BOX, after its end: regular files only [default BOX: /out]' -r
complete -c stockade -n "__fish_stockade_using_subcommand run" -l work -d 'Copies a directory into the work tree of a policy that has one, like ci; the host\'s stays as it is' -r
complete -c stockade -n "__fish_stockade_using_subcommand run" -l degrade -d 'Runs although this host cannot give that layer in full; the report says so' -r
complete -c stockade -n "__fish_stockade_using_subcommand run" -l cgroup -d 'A delegated cgroup (v2) that contains the one stockade runs in' -r -F
complete -c stockade -n "__fish_stockade_using_subcommand run" -l store -d 'Where root file systems are kept [default: $STOCKADE_STORE, or stockade\'s place among the user\'s data]' -r -F
complete -c stockade -n "__fish_stockade_using_subcommand run" -l root -d 'How the root is made immutable [default: an overlay, else a bind]' -r
complete -c stockade -n "__fish_stockade_using_subcommand run" -l verify -d 'How closely the image is looked at before the run [default: the policy\'s, mostly stamp]' -r
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
complete -c stockade -n "__fish_stockade_using_subcommand batch" -l slots -d 'Jobs at one time [default: as many as there are CPUs]' -r
complete -c stockade -n "__fish_stockade_using_subcommand batch" -s p -l policy -d 'The policy of jobs that name none: a built-in one, or a file (with \'/\' or ending in .json) [default: the image\'s own, else native]' -r
complete -c stockade -n "__fish_stockade_using_subcommand batch" -l degrade -d 'Runs although this host cannot give that layer in full; the reports say so' -r
complete -c stockade -n "__fish_stockade_using_subcommand batch" -l cgroup -d 'A delegated cgroup (v2) that contains the one stockade runs in' -r -F
complete -c stockade -n "__fish_stockade_using_subcommand batch" -l store -d 'Where root file systems are kept [default: $STOCKADE_STORE, or stockade\'s place among the user\'s data]' -r -F
complete -c stockade -n "__fish_stockade_using_subcommand batch" -l in-order -d 'Reports come in the order of the jobs, not as they finish'
complete -c stockade -n "__fish_stockade_using_subcommand batch" -l pin -d 'Each slot\'s programs keep to a CPU of its own, on different cores as far as there are any'
complete -c stockade -n "__fish_stockade_using_subcommand batch" -s q -l quiet -d 'No line that tells how far things are, not even on a terminal'
complete -c stockade -n "__fish_stockade_using_subcommand batch" -s h -l help -d 'Print help'
complete -c stockade -n "__fish_stockade_using_subcommand image; and not __fish_seen_subcommand_from build import export list inspect files why diff verify sbom slim remove gc help" -l store -d 'Where images are kept [default: $STOCKADE_STORE, or stockade\'s place among the user\'s data]' -r -F
complete -c stockade -n "__fish_stockade_using_subcommand image; and not __fish_seen_subcommand_from build import export list inspect files why diff verify sbom slim remove gc help" -s h -l help -d 'Print help'
complete -c stockade -n "__fish_stockade_using_subcommand image; and not __fish_seen_subcommand_from build import export list inspect files why diff verify sbom slim remove gc help" -f -a "build" -d 'Makes an image out of files of this host'
complete -c stockade -n "__fish_stockade_using_subcommand image; and not __fish_seen_subcommand_from build import export list inspect files why diff verify sbom slim remove gc help" -f -a "import" -d 'Makes an image out of an OCI layout, a docker-archive, a root file system or a directory'
complete -c stockade -n "__fish_stockade_using_subcommand image; and not __fish_seen_subcommand_from build import export list inspect files why diff verify sbom slim remove gc help" -f -a "export" -d 'Writes an image where others can read it'
complete -c stockade -n "__fish_stockade_using_subcommand image; and not __fish_seen_subcommand_from build import export list inspect files why diff verify sbom slim remove gc help" -f -a "list" -d 'Lists the images that are here'
complete -c stockade -n "__fish_stockade_using_subcommand image; and not __fish_seen_subcommand_from build import export list inspect files why diff verify sbom slim remove gc help" -f -a "inspect" -d 'Tells what is in an image, and what was left out'
complete -c stockade -n "__fish_stockade_using_subcommand image; and not __fish_seen_subcommand_from build import export list inspect files why diff verify sbom slim remove gc help" -f -a "files" -d 'Lists everything in an image'
complete -c stockade -n "__fish_stockade_using_subcommand image; and not __fish_seen_subcommand_from build import export list inspect files why diff verify sbom slim remove gc help" -f -a "why" -d 'Tells why something is in an image'
complete -c stockade -n "__fish_stockade_using_subcommand image; and not __fish_seen_subcommand_from build import export list inspect files why diff verify sbom slim remove gc help" -f -a "diff" -d 'Compares two images'
complete -c stockade -n "__fish_stockade_using_subcommand image; and not __fish_seen_subcommand_from build import export list inspect files why diff verify sbom slim remove gc help" -f -a "verify" -d 'Compares an image with its manifest'
complete -c stockade -n "__fish_stockade_using_subcommand image; and not __fish_seen_subcommand_from build import export list inspect files why diff verify sbom slim remove gc help" -f -a "sbom" -d 'Lists the packages that an image has something of, for scanners'
complete -c stockade -n "__fish_stockade_using_subcommand image; and not __fish_seen_subcommand_from build import export list inspect files why diff verify sbom slim remove gc help" -f -a "slim" -d 'Makes a smaller image out of some programs of a larger one'
complete -c stockade -n "__fish_stockade_using_subcommand image; and not __fish_seen_subcommand_from build import export list inspect files why diff verify sbom slim remove gc help" -f -a "remove" -d 'Takes an image\'s name away, or the image where it has none'
complete -c stockade -n "__fish_stockade_using_subcommand image; and not __fish_seen_subcommand_from build import export list inspect files why diff verify sbom slim remove gc help" -f -a "gc" -d 'Removes what nobody needs'
complete -c stockade -n "__fish_stockade_using_subcommand image; and not __fish_seen_subcommand_from build import export list inspect files why diff verify sbom slim remove gc help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c stockade -n "__fish_stockade_using_subcommand image; and __fish_seen_subcommand_from build" -l program -d 'A program, with everything it needs to run; at another place in the image if one is given' -r
complete -c stockade -n "__fish_stockade_using_subcommand image; and __fish_seen_subcommand_from build" -l include -d 'A file or directory, or a pattern (\'*\', \'?\', \'[a-z]\', \'**\')' -r
complete -c stockade -n "__fish_stockade_using_subcommand image; and __fish_seen_subcommand_from build" -s p -l policy -d 'The policy under which the image starts by itself [default: that of its only program, if one ships]' -r
complete -c stockade -n "__fish_stockade_using_subcommand image; and __fish_seen_subcommand_from build" -l name -d 'What the image is called [default: the specification\'s name]' -r
complete -c stockade -n "__fish_stockade_using_subcommand image; and __fish_seen_subcommand_from build" -l store -d 'Where images are kept [default: $STOCKADE_STORE, or stockade\'s place among the user\'s data]' -r -F
complete -c stockade -n "__fish_stockade_using_subcommand image; and __fish_seen_subcommand_from build" -l json -d 'Tells about it as JSON'
complete -c stockade -n "__fish_stockade_using_subcommand image; and __fish_seen_subcommand_from build" -s h -l help -d 'Print help'
complete -c stockade -n "__fish_stockade_using_subcommand image; and __fish_seen_subcommand_from import" -l name -d 'What the image is called' -r
complete -c stockade -n "__fish_stockade_using_subcommand image; and __fish_seen_subcommand_from import" -l store -d 'Where images are kept [default: $STOCKADE_STORE, or stockade\'s place among the user\'s data]' -r -F
complete -c stockade -n "__fish_stockade_using_subcommand image; and __fish_seen_subcommand_from import" -l json -d 'Tells about it as JSON'
complete -c stockade -n "__fish_stockade_using_subcommand image; and __fish_seen_subcommand_from import" -s h -l help -d 'Print help'
complete -c stockade -n "__fish_stockade_using_subcommand image; and __fish_seen_subcommand_from export" -l format -d 'An OCI layout (its archive if DEST ends in .tar), or the root file system\'s tar' -r -f -a "oci\t''
tar\t''"
complete -c stockade -n "__fish_stockade_using_subcommand image; and __fish_seen_subcommand_from export" -l store -d 'Where images are kept [default: $STOCKADE_STORE, or stockade\'s place among the user\'s data]' -r -F
complete -c stockade -n "__fish_stockade_using_subcommand image; and __fish_seen_subcommand_from export" -l json -d 'Tells about it as JSON'
complete -c stockade -n "__fish_stockade_using_subcommand image; and __fish_seen_subcommand_from export" -s h -l help -d 'Print help'
complete -c stockade -n "__fish_stockade_using_subcommand image; and __fish_seen_subcommand_from list" -l store -d 'Where images are kept [default: $STOCKADE_STORE, or stockade\'s place among the user\'s data]' -r -F
complete -c stockade -n "__fish_stockade_using_subcommand image; and __fish_seen_subcommand_from list" -l json -d 'As JSON'
complete -c stockade -n "__fish_stockade_using_subcommand image; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help'
complete -c stockade -n "__fish_stockade_using_subcommand image; and __fish_seen_subcommand_from inspect" -l store -d 'Where images are kept [default: $STOCKADE_STORE, or stockade\'s place among the user\'s data]' -r -F
complete -c stockade -n "__fish_stockade_using_subcommand image; and __fish_seen_subcommand_from inspect" -l json -d 'As JSON'
complete -c stockade -n "__fish_stockade_using_subcommand image; and __fish_seen_subcommand_from inspect" -s h -l help -d 'Print help'
complete -c stockade -n "__fish_stockade_using_subcommand image; and __fish_seen_subcommand_from files" -l store -d 'Where images are kept [default: $STOCKADE_STORE, or stockade\'s place among the user\'s data]' -r -F
complete -c stockade -n "__fish_stockade_using_subcommand image; and __fish_seen_subcommand_from files" -l json -d 'As JSON'
complete -c stockade -n "__fish_stockade_using_subcommand image; and __fish_seen_subcommand_from files" -s h -l help -d 'Print help'
complete -c stockade -n "__fish_stockade_using_subcommand image; and __fish_seen_subcommand_from why" -l store -d 'Where images are kept [default: $STOCKADE_STORE, or stockade\'s place among the user\'s data]' -r -F
complete -c stockade -n "__fish_stockade_using_subcommand image; and __fish_seen_subcommand_from why" -l json -d 'As JSON'
complete -c stockade -n "__fish_stockade_using_subcommand image; and __fish_seen_subcommand_from why" -s h -l help -d 'Print help'
complete -c stockade -n "__fish_stockade_using_subcommand image; and __fish_seen_subcommand_from diff" -l store -d 'Where images are kept [default: $STOCKADE_STORE, or stockade\'s place among the user\'s data]' -r -F
complete -c stockade -n "__fish_stockade_using_subcommand image; and __fish_seen_subcommand_from diff" -l json -d 'As JSON'
complete -c stockade -n "__fish_stockade_using_subcommand image; and __fish_seen_subcommand_from diff" -s h -l help -d 'Print help'
complete -c stockade -n "__fish_stockade_using_subcommand image; and __fish_seen_subcommand_from verify" -l store -d 'Where images are kept [default: $STOCKADE_STORE, or stockade\'s place among the user\'s data]' -r -F
complete -c stockade -n "__fish_stockade_using_subcommand image; and __fish_seen_subcommand_from verify" -l full -d 'Reads every byte, and not only type, mode, size, time and target'
complete -c stockade -n "__fish_stockade_using_subcommand image; and __fish_seen_subcommand_from verify" -l json -d 'As JSON'
complete -c stockade -n "__fish_stockade_using_subcommand image; and __fish_seen_subcommand_from verify" -s h -l help -d 'Print help'
complete -c stockade -n "__fish_stockade_using_subcommand image; and __fish_seen_subcommand_from sbom" -l format -d 'The form' -r -f -a "spdx\t''
cyclonedx\t''"
complete -c stockade -n "__fish_stockade_using_subcommand image; and __fish_seen_subcommand_from sbom" -l store -d 'Where images are kept [default: $STOCKADE_STORE, or stockade\'s place among the user\'s data]' -r -F
complete -c stockade -n "__fish_stockade_using_subcommand image; and __fish_seen_subcommand_from sbom" -s h -l help -d 'Print help'
complete -c stockade -n "__fish_stockade_using_subcommand image; and __fish_seen_subcommand_from slim" -l entrypoint -d 'A program to keep, by its path in the image' -r -F
complete -c stockade -n "__fish_stockade_using_subcommand image; and __fish_seen_subcommand_from slim" -l include -d 'Something else of the image to keep: a path or a pattern' -r
complete -c stockade -n "__fish_stockade_using_subcommand image; and __fish_seen_subcommand_from slim" -l name -d 'What the smaller image is called' -r
complete -c stockade -n "__fish_stockade_using_subcommand image; and __fish_seen_subcommand_from slim" -l store -d 'Where images are kept [default: $STOCKADE_STORE, or stockade\'s place among the user\'s data]' -r -F
complete -c stockade -n "__fish_stockade_using_subcommand image; and __fish_seen_subcommand_from slim" -l json -d 'Tells about it as JSON'
complete -c stockade -n "__fish_stockade_using_subcommand image; and __fish_seen_subcommand_from slim" -s h -l help -d 'Print help'
complete -c stockade -n "__fish_stockade_using_subcommand image; and __fish_seen_subcommand_from remove" -l store -d 'Where images are kept [default: $STOCKADE_STORE, or stockade\'s place among the user\'s data]' -r -F
complete -c stockade -n "__fish_stockade_using_subcommand image; and __fish_seen_subcommand_from remove" -s h -l help -d 'Print help'
complete -c stockade -n "__fish_stockade_using_subcommand image; and __fish_seen_subcommand_from gc" -l max -d 'The most that may stay of what has no name, for example 2GiB; 0B for nothing [default: $STOCKADE_STORE_MAX, else 20GiB]' -r
complete -c stockade -n "__fish_stockade_using_subcommand image; and __fish_seen_subcommand_from gc" -l store -d 'Where images are kept [default: $STOCKADE_STORE, or stockade\'s place among the user\'s data]' -r -F
complete -c stockade -n "__fish_stockade_using_subcommand image; and __fish_seen_subcommand_from gc" -l json -d 'As JSON'
complete -c stockade -n "__fish_stockade_using_subcommand image; and __fish_seen_subcommand_from gc" -s h -l help -d 'Print help'
complete -c stockade -n "__fish_stockade_using_subcommand image; and __fish_seen_subcommand_from help" -f -a "build" -d 'Makes an image out of files of this host'
complete -c stockade -n "__fish_stockade_using_subcommand image; and __fish_seen_subcommand_from help" -f -a "import" -d 'Makes an image out of an OCI layout, a docker-archive, a root file system or a directory'
complete -c stockade -n "__fish_stockade_using_subcommand image; and __fish_seen_subcommand_from help" -f -a "export" -d 'Writes an image where others can read it'
complete -c stockade -n "__fish_stockade_using_subcommand image; and __fish_seen_subcommand_from help" -f -a "list" -d 'Lists the images that are here'
complete -c stockade -n "__fish_stockade_using_subcommand image; and __fish_seen_subcommand_from help" -f -a "inspect" -d 'Tells what is in an image, and what was left out'
complete -c stockade -n "__fish_stockade_using_subcommand image; and __fish_seen_subcommand_from help" -f -a "files" -d 'Lists everything in an image'
complete -c stockade -n "__fish_stockade_using_subcommand image; and __fish_seen_subcommand_from help" -f -a "why" -d 'Tells why something is in an image'
complete -c stockade -n "__fish_stockade_using_subcommand image; and __fish_seen_subcommand_from help" -f -a "diff" -d 'Compares two images'
complete -c stockade -n "__fish_stockade_using_subcommand image; and __fish_seen_subcommand_from help" -f -a "verify" -d 'Compares an image with its manifest'
complete -c stockade -n "__fish_stockade_using_subcommand image; and __fish_seen_subcommand_from help" -f -a "sbom" -d 'Lists the packages that an image has something of, for scanners'
complete -c stockade -n "__fish_stockade_using_subcommand image; and __fish_seen_subcommand_from help" -f -a "slim" -d 'Makes a smaller image out of some programs of a larger one'
complete -c stockade -n "__fish_stockade_using_subcommand image; and __fish_seen_subcommand_from help" -f -a "remove" -d 'Takes an image\'s name away, or the image where it has none'
complete -c stockade -n "__fish_stockade_using_subcommand image; and __fish_seen_subcommand_from help" -f -a "gc" -d 'Removes what nobody needs'
complete -c stockade -n "__fish_stockade_using_subcommand image; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
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
complete -c stockade -n "__fish_stockade_using_subcommand escape-check" -l attack-time -d 'Gives up an attack that takes longer, with its control: it is inconclusive. A multiple of two minutes stands for a host that is as many times slower, where the attacks wait as much longer' -r
complete -c stockade -n "__fish_stockade_using_subcommand escape-check" -l cgroup -d 'A delegated cgroup (v2) that contains the one stockade runs in' -r -F
complete -c stockade -n "__fish_stockade_using_subcommand escape-check" -l list -d 'Shows every attack, or those of --only, and tries none'
complete -c stockade -n "__fish_stockade_using_subcommand escape-check" -l warm -d 'Attacks from boxes that are made ahead, as those of stockade batch: others wait and work beside them'
complete -c stockade -n "__fish_stockade_using_subcommand escape-check" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c stockade -n "__fish_stockade_using_subcommand help; and not __fish_seen_subcommand_from run batch image doctor policy escape-check help" -f -a "run" -d 'Run one program under every layer, and report what the kernel showed'
complete -c stockade -n "__fish_stockade_using_subcommand help; and not __fish_seen_subcommand_from run batch image doctor policy escape-check help" -f -a "batch" -d 'Runs many programs: jobs as JSON lines on standard input, reports on standard output'
complete -c stockade -n "__fish_stockade_using_subcommand help; and not __fish_seen_subcommand_from run batch image doctor policy escape-check help" -f -a "image" -d 'Makes, moves, shows and keeps images'
complete -c stockade -n "__fish_stockade_using_subcommand help; and not __fish_seen_subcommand_from run batch image doctor policy escape-check help" -f -a "doctor" -d 'Tells what this host can give a box, and what to do about the rest'
complete -c stockade -n "__fish_stockade_using_subcommand help; and not __fish_seen_subcommand_from run batch image doctor policy escape-check help" -f -a "policy" -d 'Looks at policies: lists, shows, checks, explains and compares them'
complete -c stockade -n "__fish_stockade_using_subcommand help; and not __fish_seen_subcommand_from run batch image doctor policy escape-check help" -f -a "escape-check" -d 'Attacks this host from inside boxes, and sees whether they hold'
complete -c stockade -n "__fish_stockade_using_subcommand help; and not __fish_seen_subcommand_from run batch image doctor policy escape-check help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c stockade -n "__fish_stockade_using_subcommand help; and __fish_seen_subcommand_from image" -f -a "build" -d 'Makes an image out of files of this host'
complete -c stockade -n "__fish_stockade_using_subcommand help; and __fish_seen_subcommand_from image" -f -a "import" -d 'Makes an image out of an OCI layout, a docker-archive, a root file system or a directory'
complete -c stockade -n "__fish_stockade_using_subcommand help; and __fish_seen_subcommand_from image" -f -a "export" -d 'Writes an image where others can read it'
complete -c stockade -n "__fish_stockade_using_subcommand help; and __fish_seen_subcommand_from image" -f -a "list" -d 'Lists the images that are here'
complete -c stockade -n "__fish_stockade_using_subcommand help; and __fish_seen_subcommand_from image" -f -a "inspect" -d 'Tells what is in an image, and what was left out'
complete -c stockade -n "__fish_stockade_using_subcommand help; and __fish_seen_subcommand_from image" -f -a "files" -d 'Lists everything in an image'
complete -c stockade -n "__fish_stockade_using_subcommand help; and __fish_seen_subcommand_from image" -f -a "why" -d 'Tells why something is in an image'
complete -c stockade -n "__fish_stockade_using_subcommand help; and __fish_seen_subcommand_from image" -f -a "diff" -d 'Compares two images'
complete -c stockade -n "__fish_stockade_using_subcommand help; and __fish_seen_subcommand_from image" -f -a "verify" -d 'Compares an image with its manifest'
complete -c stockade -n "__fish_stockade_using_subcommand help; and __fish_seen_subcommand_from image" -f -a "sbom" -d 'Lists the packages that an image has something of, for scanners'
complete -c stockade -n "__fish_stockade_using_subcommand help; and __fish_seen_subcommand_from image" -f -a "slim" -d 'Makes a smaller image out of some programs of a larger one'
complete -c stockade -n "__fish_stockade_using_subcommand help; and __fish_seen_subcommand_from image" -f -a "remove" -d 'Takes an image\'s name away, or the image where it has none'
complete -c stockade -n "__fish_stockade_using_subcommand help; and __fish_seen_subcommand_from image" -f -a "gc" -d 'Removes what nobody needs'
complete -c stockade -n "__fish_stockade_using_subcommand help; and __fish_seen_subcommand_from policy" -f -a "list" -d 'The policies that ship'
complete -c stockade -n "__fish_stockade_using_subcommand help; and __fish_seen_subcommand_from policy" -f -a "show" -d 'A policy as it is written'
complete -c stockade -n "__fish_stockade_using_subcommand help; and __fish_seen_subcommand_from policy" -f -a "check" -d 'Reads policies and ceilings, and tells everything that is wrong with them'
complete -c stockade -n "__fish_stockade_using_subcommand help; and __fish_seen_subcommand_from policy" -f -a "lint" -d 'Looks for what is dangerous, forgotten, redundant, unreachable or broader than it seems'
complete -c stockade -n "__fish_stockade_using_subcommand help; and __fish_seen_subcommand_from policy" -f -a "explain" -d 'What a policy lets a program see, write, call and use, and what stops the rest'
complete -c stockade -n "__fish_stockade_using_subcommand help; and __fish_seen_subcommand_from policy" -f -a "diff" -d 'What B allows that A does not, and the other way round'
complete -c stockade -n "__fish_stockade_using_subcommand help; and __fish_seen_subcommand_from policy" -f -a "schema" -d 'The JSON Schema (2020-12) of policies and ceilings'

# shellcheck shell=bash
# What the scripts share. Sourced, never run; sets $root, the repository.
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"

say() { printf '\033[1m==\033[0m %s\n' "$*" >&2; }
die() {
    printf '%s: %s\n' "$(basename "$0")" "$*" >&2
    exit 1
}

# as_owner COMMAND...: runs it as the owner of the tree, so that what sudo built a user can build again.
as_owner() {
    local owner
    owner="$(stat -c %U "$root")"
    if [[ $EUID -ne 0 || $owner == root || $owner == UNKNOWN ]]; then
        "$@"
    else
        runuser -u "$owner" -- env HOME="$(getent passwd "$owner" | cut -d: -f6)" "$@"
    fi
}

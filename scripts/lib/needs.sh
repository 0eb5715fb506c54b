# shellcheck shell=bash
# Finds the tools a script needs, or installs them with apt where there is apt and the right to use it.
# Sourced, not run. It never changes anything but installed packages.

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }

die() {
    say "$@"
    exit 1
}

have() { command -v "$1" >/dev/null 2>&1; }

# Runs a command as root: as it is for root, through sudo where that asks no password. Fails where neither can be.
as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif have sudo && sudo --non-interactive true 2>/dev/null; then
        sudo --non-interactive "$@"
    else
        return 1
    fi
}

# apt_install WHAT PACKAGE...: installs packages, or ends the script with one sentence that says what is missing.
apt_install() {
    local what=$1
    shift
    if ! have apt-get; then
        die "$what is missing, and this machine has no apt: install it with your package manager, then run this again."
    fi
    if ! as_root true; then
        die "$what is missing: run 'sudo apt-get install $*', then run this again."
    fi
    say "$what is missing: installing $*"
    as_root apt-get update --quiet --quiet >&2 ||
        say "the package lists could not be refreshed; trying the ones that are here"
    as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install --yes --quiet --quiet --no-install-recommends "$@" </dev/null >&2 ||
        die "apt-get could not install $*: see its message above."
}

# Rust is not installed for you: which toolchain a machine has is its owner's choice.
need_cargo() {
    have cargo || PATH="$PATH:${CARGO_HOME:-$HOME/.cargo}/bin"
    have cargo || die "cargo is missing: install Rust from https://rustup.rs, then run this again."
}

# Two dependencies build C (aws-lc-sys for TLS, libsqlite3-sys for the embedded database). A compiler without the
# headers and start files of a libc is as good as none, so it is tried and not only looked for.
need_c_compiler() {
    c_compiler_works || apt_install "a C compiler" gcc libc6-dev
    c_compiler_works || die "the C compiler '${CC:-cc}' cannot build a program: repair it, then run this again."
}

c_compiler_works() {
    printf '#include <stdlib.h>\nint main(void) { return 0; }\n' |
        "${CC:-cc}" -x c - -o /dev/null 2>/dev/null
}

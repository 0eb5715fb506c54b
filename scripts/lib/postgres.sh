# shellcheck shell=bash
# A private PostgreSQL for the tests: finds or installs the server programs, starts and stops one server.
# Sourced after needs.sh. It never touches a server that was there before, nor leaves anything behind but packages.

# Sets `pg_bin` to the folder with initdb, pg_ctl and postgres. A command in PATH may be a link or a wrapper;
# initdb looks for its neighbours beside itself, so the link is followed to the folder it comes from.
need_postgres() {
    find_postgres && return
    install_postgres
    find_postgres || die "PostgreSQL was installed, but initdb, pg_ctl and postgres are in no known place."
}

find_postgres() {
    local folder in_path
    in_path=$(command -v initdb || true)
    # Debian keeps one folder per major version: the newest comes first.
    for folder in ${in_path:+"$(dirname "$(readlink -f "$in_path")")"} \
        $(printf '%s\n' /usr/lib/postgresql/*/bin | sort --version-sort --reverse); do
        if [ -x "$folder/initdb" ] && [ -x "$folder/pg_ctl" ] && [ -x "$folder/postgres" ]; then
            pg_bin=$folder
            return
        fi
    done
    return 1
}

# Debian's package creates and starts a server on port 5432. We want its programs only, and say so for as long as
# the installation runs.
install_postgres() {
    local drop_in=/etc/postgresql-common/createcluster.d/only-programs.conf
    if as_root true; then
        as_root mkdir -p "${drop_in%/*}"
        echo 'create_main_cluster = false' | as_root tee "$drop_in" >/dev/null
    fi
    apt_install "PostgreSQL's server" postgresql
    as_root rm -f "$drop_in"
}

# PostgreSQL refuses to run as root. `nobody` is on every machine and, unlike `postgres`, owns no real database.
as_postgres() {
    if [ "$(id -u)" -eq 0 ]; then
        setpriv --reuid=nobody --regid="$(id -g nobody)" --clear-groups -- env HOME="$pg_home" "$@"
    else
        "$@"
    fi
}

# start_postgres FOLDER: a new server below FOLDER, and its address in `pg_url`. The user may create databases.
# shellcheck disable=SC2034  # pg_url is what the caller reads
start_postgres() {
    pg_home=$1/postgres
    pg_url=
    local password port
    password=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
    mkdir "$pg_home"
    printf '%s\n' "$password" >"$pg_home/password"
    chmod -R go= "$pg_home"
    [ "$(id -u)" -ne 0 ] || chown -R nobody: "$pg_home"

    # Other users of this machine must not become the owner of this server, so there is a password. It goes over
    # loopback as it is: the slow hash of SCRAM would be paid at each of the tests' thousands of connections.
    # --no-sync is about initdb only: the server itself syncs as in production.
    (cd "$pg_home" && as_postgres "$pg_bin/initdb" --pgdata=data --username=mcp --pwfile=password --no-sync \
        --auth=password --encoding=UTF8 --no-locale >initdb.log 2>&1) ||
        die "initdb failed: $(tail -n 20 "$pg_home/initdb.log")"
    printf "max_connections = 400\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = '%s'\n" "$pg_home" |
        as_postgres tee -a "$pg_home/data/postgresql.conf" >/dev/null

    # A port that was seen free may be taken a moment later: the server itself tries, below the range that the
    # kernel hands out, and a taken port means the next one.
    for _ in $(seq 20); do
        port=$((20000 + RANDOM % 12000))
        if (cd "$pg_home" && as_postgres "$pg_bin/pg_ctl" start --pgdata=data --wait --silent \
            --log=server.log --options="-p $port" >/dev/null 2>&1); then
            pg_url="postgres://mcp:$password@127.0.0.1:$port/postgres"
            return
        fi
        grep -q 'could not bind' "$pg_home/server.log" || break
        : >"$pg_home/server.log"
    done
    die "PostgreSQL did not start: $(tail -n 20 "$pg_home/server.log")"
}

# Nothing of this server is kept, so it need not write anything on its way out.
stop_postgres() {
    if [ -e "${pg_home:-}/data/postmaster.pid" ]; then
        (cd "$pg_home" && as_postgres "$pg_bin/pg_ctl" stop --pgdata=data --mode=immediate --silent) || true
    fi
}

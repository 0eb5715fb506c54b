# shellcheck shell=bash
# A private Redis for the tests: finds or installs the server program, starts and stops one server.
# Sourced after needs.sh. It never touches a server that was there before, nor leaves anything behind but packages.

# Sharded pub/sub, which the feed is built on, came with this version. Valkey began above it.
redis_least=7

# Sets `redis_bin` to the server program: Redis, or Valkey, which speaks the same.
need_redis() {
    find_redis || install_redis
    find_redis || die "Redis was installed, but redis-server is in no known place."
    local version
    version=$("$redis_bin" --version | sed -n 's/.* v=\([0-9]*\).*/\1/p')
    [ "${version:-0}" -ge "$redis_least" ] ||
        die "$redis_bin is of version ${version:-unknown}: install Redis $redis_least or later, or Valkey, then run this again."
}

find_redis() {
    local program
    for program in redis-server valkey-server; do
        redis_bin=$(PATH="$PATH:/usr/local/bin:/usr/bin" command -v "$program" || true)
        [ -z "$redis_bin" ] || return 0
    done
    return 1
}

# Debian's package starts a server on port 6379. We want its program only, and say so, in the way that packages ask,
# for as long as the installation runs. Where the machine has a policy of its own, that one decides.
install_redis() {
    local policy=/usr/sbin/policy-rc.d ours=
    if [ ! -e "$policy" ] && as_root true; then
        printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
        as_root chmod 755 "$policy"
        ours=1
    fi
    # In a subshell, so that the policy goes also where the installation ends the script.
    local installed=0
    (apt_install "Redis" redis-server) || installed=$?
    [ -z "$ours" ] || as_root rm -f "$policy"
    [ "$installed" -eq 0 ] || exit "$installed"
}

# start_redis FOLDER: a new server below FOLDER that keeps nothing on disk, and its address in `redis_url`. It is the one node
# of a cluster: there a command or script that touches two slots is refused, and a message stays within its slot.
# shellcheck disable=SC2034  # redis_url is what the caller reads
start_redis() {
    local home=$1/redis password port
    redis_url=
    mkdir "$home"
    chmod go= "$home"
    # Other users of this machine must not read or flush it, so there is a password; in a file, because everybody can
    # read a command line.
    password=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')

    # A port that was seen free may be taken a moment later: the server itself tries, below the range that the
    # kernel hands out, and a taken port means the next one.
    for _ in $(seq 20); do
        port=$((20000 + RANDOM % 12000))
        printf '%s\n' "bind 127.0.0.1" "port $port" "requirepass $password" 'save ""' "appendonly no" \
            "maxmemory-policy noeviction" "dir $home" "cluster-enabled yes" "cluster-port $((port + 12000))" \
            >"$home/redis.conf"
        "$redis_bin" "$home/redis.conf" </dev/null >"$home/server.log" 2>&1 &
        redis_process=$!
        while kill -0 "$redis_process" 2>/dev/null; do
            if grep -q 'Ready to accept connections' "$home/server.log"; then
                own_all_slots "$port" "$password"
                redis_url="redis://default:$password@127.0.0.1:$port"
                return
            fi
            sleep 0.05
        done
        wait "$redis_process" || true
        redis_process=
        grep -q 'Could not create server TCP listening socket\|Failed listening on' "$home/server.log" || break
    done
    die "Redis did not start: $(tail -n 20 "$home/server.log")"
}

# own_all_slots PORT PASSWORD: makes the server the owner of every slot, and waits until it answers as such.
own_all_slots() {
    local cli=${redis_bin%-server}-cli state=
    REDISCLI_AUTH=$2 "$cli" -p "$1" cluster addslotsrange 0 16383 >/dev/null ||
        die "the cluster of one Redis could not be made: see $cli's message above."
    for _ in $(seq 100); do
        state=$(REDISCLI_AUTH=$2 "$cli" -p "$1" cluster info)
        [[ $state != *cluster_state:ok* ]] || return 0
        sleep 0.05
    done
    die "the cluster of one Redis does not come up: $state"
}

# Nothing of this server is kept, so it need not write anything on its way out.
stop_redis() {
    [ -z "${redis_process:-}" ] || { kill -KILL "$redis_process"; wait "$redis_process"; } 2>/dev/null || true
    redis_process=
}

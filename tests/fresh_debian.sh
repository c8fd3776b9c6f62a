#!/usr/bin/env bash
# The README's two commands on a fresh Debian 12, as a plain user, from a clean clone of HEAD:
#
#   tests/fresh_debian.sh [ROOT [run] [test]]
#
# ROOT is a folder for the bare system, made by debootstrap with nothing but python3-venv, make and
# git, and never changed: what happens in it goes to a layer that is thrown away. Where it is there
# already it is used again; without it one is made and removed. Needs root, debootstrap, unshare and
# overlayfs. Packages come from where this system takes them: its mirror, pip's and npm's settings.
#
# All runs in namespaces of its own, so that at the end, however it comes, no mount and no process is
# left.
set -euo pipefail

RUN_LIMIT_S=1800
TEST_LIMIT_S=7200
CLONE="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
PORT="${RT_PORT:-18600}"
# Of the first start: the demo's own word on its stand-in for a language model.
EXPECTED=demo_llm_started

say() { printf '\n== %s\n' "$*"; }
fail() { printf '\nFAILED: %s\n' "$*" >&2; exit 1; }

make_root() {
  local mirror=""
  if command -v apt-get >/dev/null; then
    mirror="$(apt-get indextargets --format '$(REPO_URI) $(CODENAME) $(COMPONENT)' 'Created-By: Packages' \
      | awk '$2 == "bookworm" && $3 == "main" { print $1; exit }')"
  fi
  say "Making a bare Debian 12 in $1"
  debootstrap --variant=minbase --include=python3-venv,make,git bookworm "$1" ${mirror:+"$mirror"} >"$1.log" \
    || { tail -20 "$1.log"; fail "debootstrap"; }
  rm "$1.log"
}

if [[ "${1:-}" != --inside ]]; then
  [[ "$(id -u)" == 0 ]] || fail "mounts and chroot take root"
  work="$(mktemp -d "${TMPDIR:-/var/tmp}/fresh-debian.XXXXXX")"
  trap 'rm -rf --one-file-system "$work"' EXIT
  root="${1:-$work/bare}"
  [[ -x "$root/usr/bin/git" ]] || make_root "$root"
  unshare --mount --pid --mount-proc --fork --kill-child "${BASH_SOURCE[0]}" --inside "$work" "$root" "${@:2}"
  exit
fi

work="$2" lower="$(realpath "$3")"
shift 3
mkdir "$work"/{upper,overlay,root}
root="$work/root"
mount -t overlay overlay -o "lowerdir=$lower,upperdir=$work/upper,workdir=$work/overlay" "$root"
mount -t proc proc "$root/proc"
mount --rbind /sys "$root/sys"
mount --rbind /dev "$root/dev"
mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"

# How packages are reached from here.
for path in /etc/resolv.conf /etc/hosts /etc/ssl/certs/ca-certificates.crt /etc/pip.conf /etc/xdg/pip /etc/npmrc; do
  if [[ -e "$path" ]]; then
    mkdir -p "$root$(dirname "$path")"
    cp -rL "$path" "$root$(dirname "$path")/"
  fi
done
chroot "$root" useradd --create-home --shell /bin/bash ada
home="$root/home/ada"
for path in .npmrc .pip .config/pip; do
  if [[ -e "$HOME/$path" ]]; then
    mkdir -p "$home/$(dirname "$path")"
    cp -rL "$HOME/$path" "$home/$path"
  fi
done
given=()
shopt -s nocasematch
while IFS= read -r -d '' variable; do
  case "${variable%%=*}" in
    PIP_*|npm_config_*|http_proxy|https_proxy|no_proxy|SSL_CERT_FILE|NODE_EXTRA_CA_CERTS|REQUESTS_CA_BUNDLE)
      given+=("$variable") ;;
  esac
done < <(env -0)
shopt -u nocasematch

git clone --quiet --no-hardlinks "file://$CLONE" "$home/rtserver"
chroot "$root" chown -R ada:ada /home/ada

as_user=(
  chroot "$root" setpriv --reuid ada --regid ada --init-groups
  env -i "${given[@]}" HOME=/home/ada USER=ada LANG=C.UTF-8 RT_PORT="$PORT"
  PATH=/usr/local/bin:/usr/bin:/bin:/usr/local/games:/usr/games
  bash -c 'cd ~/rtserver && exec "$@"' bash
)

try_run() {
  local log="$work/run.log" server
  say "make run"
  "${as_user[@]}" timeout "$RUN_LIMIT_S" make run >"$log" 2>&1 &
  server=$!
  until grep -q "Stop it with Ctrl-C" "$log"; do
    kill -0 "$server" 2>/dev/null || { cat "$log"; fail "make run ended"; }
    sleep 1
  done
  sed -E 's/(token=)[^ ]*/\1.../' "$log"
  "${as_user[@]}" python3 -c "
import urllib.request
print(urllib.request.urlopen('http://127.0.0.1:$PORT/readyz', timeout=10).read().decode())" \
    || fail "the server is not ready"
  # It starts the validator too.
  "${as_user[@]}" .venv/bin/python -m rtserver check || fail "the check found a problem"
  # As Ctrl-C does: timeout passes it on to make and the server, and may end before them. Of TERM
  # the server would get two, since make passes that on as well.
  kill -INT "$server"
  wait "$server" || true
  for _ in {1..30}; do
    if grep -q ' stopping ' "$log"; then break; fi
    sleep 1
  done
  grep -q ' stopping ' "$log" || { tail -20 "$log"; fail "the server did not stop in an orderly way"; }
  if grep -E '\[(warning|error|critical) *\]' "$log" | grep -v "$EXPECTED"; then
    fail "the first start warned"
  fi
}

try_test() {
  local log="$work/test.log"
  say "make test"
  "${as_user[@]}" timeout "$TEST_LIMIT_S" make test 2>&1 | tee "$log"
  if grep -E 'SKIPPED.*(Node|openspec|npm)' "$log"; then fail "tests were skipped for want of Node.js"; fi
}

(($#)) || set -- run test
for what in "$@"; do "try_$what"; done
say "All of it worked"

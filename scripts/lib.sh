# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# Shared by scripts/setup, scripts/run, scripts/test and dev; read with `.` from the repository root.

if [ -t 1 ]; then bold=$(printf '\033[1m') plain=$(printf '\033[0m'); else bold='' plain=''; fi
step() { printf '%s==>%s %s\n' "$bold" "$plain" "$*"; }
fail() {
  printf '%s: %s\n' "${0##*/}" "$*" >&2
  exit 1
}

as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    fail "needs root (or sudo) for: $*"
  fi
}

# On a terminal: the last line of a long output, always on the same line. Elsewhere: nothing.
last_line() {
  if [ -t 2 ]; then
    awk '{ printf "\r\033[K    %.90s", $0; fflush() } END { printf "\r\033[K" }' >&2
  else
    cat >/dev/null
  fi
}

missing_packages() {
  local p
  for p in "$@"; do
    case "$(dpkg-query -W -f='${Status}' "$p" 2>/dev/null)" in
      *'ok installed') ;;
      *) echo "$p" ;;
    esac
  done
}

apt_log=$PWD/.deps-apt.log
offline_hint='If this machine is offline, docs/operations.md#offline says what to bring.'

# fail_apt WHAT: apt's own last words, then ours.
fail_apt() {
  grep -E '^(E|W|Err)' "$apt_log" | tail -n 4 >&2
  fail "$*. $offline_hint"
}

apt_updated=
# install_packages WHAT PACKAGE...: installs those that are missing; asks apt for nothing otherwise.
install_packages() {
  local what=$1 missing
  shift
  missing=$(missing_packages "$@" | xargs)
  if [ -z "$missing" ]; then
    step "$what: all $# packages present"
    return
  fi
  command -v apt-get >/dev/null || fail "no apt-get here; install by hand: $missing"
  step "$what: installing $missing (may take minutes)"
  if [ -z "$apt_updated" ]; then
    as_root apt-get update 2>&1 | tee "$apt_log" | last_line ||
      fail_apt "no package index; missing: $missing"
    apt_updated=1
  fi
  # shellcheck disable=SC2086 # one word per package
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $missing \
    2>&1 </dev/null | tee "$apt_log" | last_line || fail_apt "could not install $missing"
  rm -f "$apt_log"
}

# private_apt_dirs WORK, then private_apt WORK ARGUMENT OF apt-get...: with sources (WORK/parts), index
# and cache of its own, so that nothing on the machine changes.
private_apt_dirs() { mkdir -p "$1"/{lists/partial,cache/archives/partial,parts}; }
private_apt() {
  local work=$1
  shift
  apt-get -o Dir::Etc::sourcelist=/dev/null -o "Dir::Etc::sourceparts=$work/parts" \
    -o "Dir::State::Lists=$work/lists" -o "Dir::Cache=$work/cache" -o APT::Sandbox::User=root "$@"
}

# next_release_sources DIR: the machine's own package sources, for the suite that follows Debian 12.
next_release_sources() {
  local dir=$1 source=/etc/apt/sources.list.d/debian.sources
  if [ -f "$source" ]; then
    awk 'BEGIN{RS="";ORS="\n\n"} !/security/' "$source" |
      sed -E 's/^Suites:.*/Suites: trixie/' > "$dir/next.sources"
  else
    grep -hE '^deb .* bookworm ' /etc/apt/sources.list 2>/dev/null |
      sed 's/ bookworm / trixie /' > "$dir/next.list"
  fi
}

# unpack_libraries WORK ROOT: what lies in WORK, which goes; with .pc files that move with the tree.
unpack_libraries() {
  local work=$1 root=$2 f
  for f in "$work"/*.deb; do dpkg -x "$f" "$root"; done
  rm -rf "$work"
  # shellcheck disable=SC2016 # pkg-config expands it
  sed -i -E 's|=/usr|=${pcfiledir}/../../..|' "$root"/usr/lib/*/pkgconfig/*.pc
  rm -f "$root"/usr/lib/*/libllhttp.so*
}

use_private_libraries() {
  local dir
  for dir in "$PWD"/.deps/usr/lib/*/pkgconfig; do
    [ -d "$dir" ] && export PKG_CONFIG_PATH="$dir${PKG_CONFIG_PATH:+:$PKG_CONFIG_PATH}"
  done
  return 0
}

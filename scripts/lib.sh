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

use_private_libraries() {
  local dir
  for dir in "$PWD"/.deps/usr/lib/*/pkgconfig; do
    [ -d "$dir" ] && export PKG_CONFIG_PATH="$dir${PKG_CONFIG_PATH:+:$PKG_CONFIG_PATH}"
  done
  return 0
}

#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Every public header must compile alone, as C11 and as C++17, without warnings.
# usage: headers.sh INCLUDE_DIR
set -eu
include=$1
status=0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for header in "$include"/weir/*.h; do
    name=weir/$(basename "$header")
    # WEIR_HAS is a macro: only a use shows that it compiles.
    use='struct probe { uint32_t struct_size; int field; };
int probe_has(const struct probe *p);
int probe_has(const struct probe *p) { return WEIR_HAS(p, field); }'
    printf '#include "%s"\n%s\n' "$name" "$use" >"$work/one.c"
    cp "$work/one.c" "$work/one.cpp"
    for cc in cc clang; do
        command -v $cc >/dev/null || continue
        $cc -std=c11 -Wall -Wextra -Werror -I"$include" -fsyntax-only "$work/one.c" || status=1
    done
    for cxx in c++ clang++; do
        command -v $cxx >/dev/null || continue
        echo 'int main() { return 0; }' >"$work/probe.cpp"
        $cxx -std=c++17 -fsyntax-only "$work/probe.cpp" 2>/dev/null || continue
        $cxx -std=c++17 -Wall -Wextra -Werror -I"$include" -fsyntax-only "$work/one.cpp" || status=1
    done
    echo "checked $name"
done
exit $status

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the plugin templates as a C table, so that `weir plugin new` needs no data files.

usage: embed.py OUTPUT FILE...   (FILE: .../KIND/NAME)
"""
import os
import sys


def main():
    output, files = sys.argv[1], sys.argv[2:]
    with open(output, "w", encoding="utf-8") as out:
        out.write('#include "cli/plugin_template.h"\n\n')
        out.write("const struct weir_plugin_template weir_plugin_templates[] = {\n")
        for path in files:
            kind = os.path.basename(os.path.dirname(path))
            name = os.path.basename(path)
            with open(path, encoding="utf-8") as source:
                lines = source.read().splitlines()
            mode = "true" if name.startswith("test_") else "false"
            out.write(f'    {{"{kind}", "{name}", {mode},\n')
            for line in lines:
                text = line.replace("\\", "\\\\").replace('"', '\\"').replace("\t", "\\t")
                text = text.replace("??", "?\" \"?")
                out.write(f'     "{text}\\n"\n')
            out.write("    },\n")
        out.write("    {0},\n};\n")


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: Apache-2.0
"""llama.cpp's source, from the source package of llama-cpp-python, outside the repository."""

import pathlib
import subprocess
import sys
import tempfile


def fetch_source(home: pathlib.Path) -> pathlib.Path:
    """The folder of llama.cpp below home, downloaded when it is not there."""
    home.mkdir(parents=True, exist_ok=True)
    found = [p for p in home.glob("llama_cpp_python-*") if p.is_dir()]
    if not found:
        subprocess.run([sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary",
                        "llama-cpp-python", "llama-cpp-python", "-d", home], check=True)
        archive = next(home.glob("llama_cpp_python-*.tar.gz"))
        # Whole or not at all: what is there is not unpacked again.
        with tempfile.TemporaryDirectory(dir=home) as unpacked:
            subprocess.run(["tar", "xf", archive, "-C", unpacked], check=True)
            folder = next(pathlib.Path(unpacked).iterdir())
            found = [folder.rename(home / folder.name)]
    return found[0] / "vendor" / "llama.cpp"

# SPDX-License-Identifier: Apache-2.0
"""Certificates for tests, made by the openssl command."""

import subprocess


def _openssl(*arguments, **options):
    return subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True, text=True, **options)


class Authority:
    def __init__(self, directory):
        self.directory = directory
        self.key, self.cert = directory / "ca.key", directory / "ca.crt"
        _openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", 30,
                 "-subj", "/CN=weir test", "-keyout", self.key, "-out", self.cert)

    def issue(self, name, days=30, common_name="localhost"):
        """(certificate, key): files NAME.crt and NAME.key, for localhost and 127.0.0.1."""
        d = self.directory
        key, cert, request, ext = d / f"{name}.key", d / f"{name}.crt", d / f"{name}.csr", d / f"{name}.ext"
        ext.write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
        _openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                 "-subj", f"/CN={common_name}", "-keyout", key, "-out", request)
        _openssl("x509", "-req", "-in", request, "-CA", self.cert, "-CAkey", self.key, "-CAcreateserial",
                 "-days", days, "-extfile", ext, "-out", cert)
        return cert, key

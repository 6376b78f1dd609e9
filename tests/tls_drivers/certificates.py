"""An authority, and certificates of hosts and people, made by openssl."""

from __future__ import annotations

from pathlib import Path

from lab.children import Lab, fail


class Certificates:
    def __init__(self, lab: Lab):
        self.lab = lab
        self.ca, self.ca_key = lab.dir / "ca.crt", lab.dir / "ca.key"
        self.openssl("req", "-x509", *self.new_key(self.ca_key), "-out", self.ca, "-days", 2, "-subj", "/CN=pgweave tests",
                     "-addext", "basicConstraints=critical,CA:TRUE")

    def new_key(self, key: Path) -> list:
        return ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key]

    def issue(self, name: str, host: bool = False) -> tuple:
        """The files of a certificate with this common name and of its key, which both are its owner's alone."""
        cert, key, request = (self.lab.dir / f"{name}{suffix}" for suffix in (".crt", ".key", ".csr"))
        self.openssl("req", *self.new_key(key), "-out", request, "-subj", f"/CN={name}")
        extensions = self.lab.dir / f"{name}.ext"
        extensions.write_text(f"subjectAltName=DNS:{name}\n" if host else "extendedKeyUsage=clientAuth\n")
        self.openssl("x509", "-req", "-in", request, "-CA", self.ca, "-CAkey", self.ca_key, "-CAcreateserial",
                     "-days", 2, "-out", cert, "-extfile", extensions)
        key.chmod(0o600)
        return cert, key

    def openssl(self, *arguments) -> None:
        done = self.lab.run(["openssl", *arguments], 30)
        if done.returncode:
            fail(f"openssl: {done.stderr.strip()}")

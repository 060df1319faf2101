"""Write the texts that perplexity is measured on. Nothing of them may be committed.

usage: texts.py R_CRAN_JANEAUSTENR.deb DEBIAN_REFERENCE_EN.deb OUT_DIR
writes emma.txt, debian_reference.txt and argparse.txt (this Python's own argparse.py)
"""
import argparse
import gzip
import shutil
import struct
import subprocess
import sys
import tempfile
import zlib
from pathlib import Path

STRSXP = 16  # R Internals, "Serialization Formats"


def novel(record: bytes) -> str:
    """The lines of an R character vector, serialised as big-endian XDR, version 3."""
    encoding = struct.unpack_from(">i", record, 14)[0]
    at = 18 + encoding
    kind, count = struct.unpack_from(">ii", record, at)
    if record[:2] != b"X\n" or kind & 0xFF != STRSXP:
        raise SystemExit("the first object of Rdata.rdb is not a character vector")
    at, lines = at + 8, []
    for _ in range(count):
        size = max(struct.unpack_from(">i", record, at + 4)[0], 0)
        lines.append(record[at + 8 : at + 8 + size].decode())
        at += 8 + size
    return "\n".join(lines) + "\n"


def main(austen: Path, reference: Path, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        for package in (austen, reference):
            subprocess.run(["dpkg-deb", "-x", package, folder], check=True)
        root = Path(folder, "usr")
        database = root / "lib/R/site-library/janeaustenr/data/Rdata.rdb"  # objects by name: Emma is the first
        emma = novel(zlib.decompressobj().decompress(database.read_bytes()[4:]))
        manual = root / "share/debian-reference/debian-reference.en.txt.gz"
        (out / "emma.txt").write_text(emma, encoding="utf-8")
        (out / "debian_reference.txt").write_bytes(gzip.decompress(manual.read_bytes()))
    shutil.copyfile(argparse.__file__, out / "argparse.txt")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]))

"""Whether a file is a whole checkpoint, seen from its bytes before anything in it is interpreted.

torch does not compare the checksums that its files hold, and takes a weight with a flipped bit.
"""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

from hat.errors import InputError

ZIP, PICKLE = b"PK\x03\x04", b"\x80"  # what torch.save writes; the second one before version 1.6
SHOWN = 8  # bytes that a message shows


def check_file(path: Path) -> None:
    """See that ``path`` may be given to ``torch.load``.

    Raises:
        InputError: it cannot be read, is of another kind, or differs from its checksums.
    """
    try:
        with open(path, "rb") as file:
            start = file.read(SHOWN)
        if start.startswith(ZIP):
            _check_zip(path)
        elif not start.startswith(PICKLE):
            found = f"begins with {start!r}" if start else "is empty"
            raise InputError(
                f"{path}: not a readable checkpoint: it {found}; expected a file that 'hat train' "
                "or torch.save has written"
            )
    except OSError as error:
        raise InputError(
            f"{path}: cannot read this checkpoint: {error.strerror or error}"
        ) from error


def _check_zip(path: Path) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            if not any(entry.filename.endswith("data.pkl") for entry in entries):
                names = ", ".join(entry.filename for entry in entries[:3])
                raise InputError(
                    f"{path}: not a readable checkpoint: an archive of {names or 'nothing'}; "
                    "expected a file that 'hat train' or torch.save has written"
                )
            # torch can be told to compute no checksums: then all are 0.
            bad = archive.testzip() if any(entry.CRC for entry in entries) else None
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise InputError(
            f"{path}: not a readable checkpoint: it is damaged or incomplete ({error}); copy it "
            "again, or make it again"
        ) from error
    if bad is not None:
        raise InputError(
            f"{path}: not a readable checkpoint: it is damaged, {bad} in it differs from its "
            "checksum; copy it again, or make it again"
        )

"""The bytes of an import, in rows of a bounded size: written once, read as one file."""

import hashlib
import io
from collections.abc import Iterator
from typing import BinaryIO, cast

from ..enums import ImportPart
from ..models import Import, ImportChunk
from ..native import unkept
from ..tabular import Unreadable
from . import database

CHUNK_BYTES = 1024 * 1024


def store(upload: Import, file: BinaryIO) -> None:
    """Write down what is in `file`, and its size and digest; in a transaction."""
    found, size = hashlib.sha256(), 0
    while data := file.read(CHUNK_BYTES):
        found.update(data)
        add(upload, ImportPart.FILE, size, data)
        size += len(data)
    upload.size, upload.digest = size, found.hexdigest()


def add(upload: Import, part: ImportPart, position: int, data: bytes) -> None:
    with unkept(database.connection()):
        ImportChunk.objects.create(upload=upload, part=part, position=position, data=data)


def opened(upload: Import) -> BinaryIO:
    """The file that was uploaded; no more than a chunk of it is held."""
    return cast(BinaryIO, io.BufferedReader(_StoredFile(upload)))


def read(upload: Import, part: ImportPart) -> Iterator[bytes]:
    """One chunk after the other, each by a statement of its own."""
    rows, last = ImportChunk.objects.filter(upload=upload, part=part), -1
    while found := rows.filter(position__gt=last).values_list("position", "data").first():
        last = found[0]
        yield bytes(found[1])


def have(upload: Import, part: ImportPart) -> bool:
    return ImportChunk.objects.filter(upload=upload, part=part).exists()


def drop(upload: Import, part: ImportPart) -> None:
    ImportChunk.objects.filter(upload=upload, part=part).delete()


class _StoredFile(io.RawIOBase):
    """Knows the last chunk that was asked for."""

    def __init__(self, upload: Import) -> None:
        self._chunks = ImportChunk.objects.filter(upload=upload, part=ImportPart.FILE)
        self._size = upload.size
        self._at = 0
        self._begins, self._data = 0, b""

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        begin = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(0, begin + offset)
        return self._at

    def readinto(self, buffer: "memoryview") -> int:  # type: ignore[override]  # as it is called
        if self._at >= self._size:
            return 0
        if not self._begins <= self._at < self._begins + len(self._data):
            self._fetch()
        start = self._at - self._begins
        part = self._data[start : start + len(buffer)]
        buffer[: len(part)] = part
        self._at += len(part)
        return len(part)

    def _fetch(self) -> None:
        """The chunk with the byte that is next."""
        here = self._chunks.filter(position__lte=self._at).order_by("-position")
        found = here.values_list("position", "data").first()
        if found is None or found[0] + len(found[1]) <= self._at:
            raise Unreadable("its bytes are not there any more")
        self._begins, self._data = found[0], bytes(found[1])

"""A PDF's objects written as a file: each packed once, the small ones together.

pydyf's own way of writing packs the stream of small objects at deflate's highest level, and makes
it twice, as its bytes go into the file's identifier, too. A long table has a small object for each
of its cells (PDF/UA): packing was a tenth of what laying it out cost.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from typing import Any

import pydyf

_DEFLATE_LEVEL = 6  # 9 takes four times as long for one byte in twenty
_HEADER = b"%PDF-1.7\n%\xf0\x9f\x96\xa4\n"
_ENTRY = struct.Struct(">BII")  # of a cross-reference stream (ISO 32000-1, 7.5.8)
_FREE, _AT, _WITHIN = 0, 1, 2


def packed(pdf: Any, identifier: bytes) -> bytes:
    """Write a document down; the same objects give the same bytes.

    :param pdf: whole, as `pydyf.PDF`; not to be used any more.
    :param identifier: of the document, 16 bytes; that of this file's content is made here.
    """
    pdf.add_object(pdf.info)
    objects = pdf.objects[1:]  # the first is none, but where free numbers begin
    apart = [one for one in objects if not one.compressible]
    together = [one for one in objects if one.compressible]
    file = bytearray(_HEADER)
    entries = {0: (_FREE, 0, 65_535)}
    for one in apart:
        entries[one.number] = (_AT, len(file), one.generation)
        file += _indirect(one)
    stream = _object_stream(together)
    pdf.add_object(stream)
    for place, one in enumerate(together):
        entries[one.number] = (_WITHIN, stream.number, place)
    entries[stream.number] = (_AT, len(file), 0)
    file += _indirect(stream)
    start = len(file)
    content = hashlib.md5(file, usedforsecurity=False).digest()
    table = _cross_references(pdf, entries, start, (identifier, content))
    return bytes(file + _indirect(table) + b"startxref\n%d\n%%%%EOF\n" % start)


def _object_stream(objects: list[Any]) -> Any:
    """Put objects in one stream, after a list of their numbers and places (7.5.7)."""
    bodies, places, position = [], [], 0
    for one in objects:
        body = _written(one)
        bodies.append(body)
        places.append(b"%d %d" % (one.number, position))
        position += len(body) + 1
    head = b" ".join(places)
    extra = {"Type": "/ObjStm", "N": len(objects), "First": len(head) + 1}
    return pydyf.Stream([head, *bodies], extra, compress=True)


def _cross_references(
    pdf: Any, entries: dict[int, tuple[int, int, int]], start: int, identifiers: tuple[bytes, bytes]
) -> Any:
    """Say where each object is, this one included, and which is the first to read."""
    number = len(pdf.objects)
    entries[number] = (_AT, start, 0)
    extra = {
        "Type": "/XRef",
        "W": pydyf.Array((1, 4, 4)),
        "Size": number + 1,
        "Root": pdf.catalog.reference,
        "Info": pdf.info.reference,
        "ID": pydyf.Array(b"<%b>" % one.hex().encode() for one in identifiers),
    }
    rows = b"".join(_ENTRY.pack(*entries[one]) for one in range(number + 1))
    table = pydyf.Stream([rows], extra, compress=True)
    pdf.add_object(table)
    return table


def _indirect(one: Any) -> bytes:
    """Return an object under its number, with its stream packed if it has one to pack."""
    if isinstance(one, pydyf.Stream) and one.compress:
        stream = zlib.compress(b"\n".join(map(_written, one.stream)), _DEFLATE_LEVEL)
        extra = {**one.extra, "Filter": "/FlateDecode", "Length": len(stream)}
        data = b"%b\nstream\n%b\nendstream" % (_written(pydyf.Dictionary(extra)), stream)
    else:
        data = one.data
    return b"%d %d obj\n%b\nendobj\n" % (one.number, one.generation, data)


def _written(value: Any) -> bytes:
    """Return what pydyf would write, with the commonest kinds told apart first."""
    kind = type(value)
    if kind is bytes:
        return value  # type: ignore[no-any-return] # bytes it is
    if kind is str:
        return value.encode("ascii")  # type: ignore[no-any-return] # bytes it is
    if kind is pydyf.Dictionary:
        inside = [b"/%b %b" % (_written(key), _written(one)) for key, one in value.items()]
        return b"<<%b>>" % b"".join(inside)
    if kind is pydyf.Array:
        return b"[%b]" % b" ".join(map(_written, value))
    data: bytes = pydyf._to_bytes(value)
    return data

"""What a caller packed with gzip, unpacked piece by piece, and never to more than the bound."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator

from rateguard.engine.errors import InvalidRequest

PIECE = 256 * 1024
MOST_RATIO = 500
"""Lines that are nearly alike pack to a hundredth; what packs to so little is made to fill a memory."""
FREE_BYTES = 4 * 1024 * 1024
"""So much may come out of anything."""
_GZIP = zlib.MAX_WBITS | 16


def bounded(pieces: Iterable[bytes], most: int) -> Iterator[bytes]:
    """The same pieces. Raises InvalidRequest as soon as there are more bytes: `body_too_large`."""
    count = 0
    for piece in pieces:
        count += len(piece)
        if count > most:
            raise InvalidRequest(f"a batch has at most {most} bytes: send it in several", code="body_too_large")
        yield piece


def unpacked(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """What gzip packed, in pieces of at most PIECE. Raises InvalidRequest: `invalid_gzip`, `body_too_large`."""
    unpacker = zlib.decompressobj(_GZIP)
    came = went = 0
    is_begun = False
    for piece in pieces:
        came += len(piece)
        rest = piece
        while rest:
            if unpacker.eof:
                unpacker = zlib.decompressobj(_GZIP)  # one packed file may follow another
            is_begun = True
            out = _step(unpacker, rest)
            rest = unpacker.unused_data if unpacker.eof else unpacker.unconsumed_tail
            went += len(out)
            if went > FREE_BYTES and went > MOST_RATIO * (came - len(rest)):
                raise InvalidRequest(f"the body unpacks to more than {MOST_RATIO} times its size", code="body_too_large")
            if out:
                yield out
    while is_begun and not unpacker.eof and (out := _step(unpacker, b"")):
        yield out
    if is_begun and not unpacker.eof:
        raise InvalidRequest("the body ends in the middle of what gzip packed", code="invalid_gzip")


def _step(unpacker: zlib._Decompress, data: bytes) -> bytes:
    try:
        return unpacker.decompress(data, PIECE)
    except zlib.error as error:
        raise InvalidRequest(f"the body is not what gzip packs: {error}", code="invalid_gzip") from None

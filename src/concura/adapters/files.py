"""`.sealed` files: an object or folder into one, and one into an object or folder.

The record ahead of the stream names the stream's digest and is written last, into a place kept free
for it: a package is written by position. For a pipe the caller writes it, sealed, to an unnamed
temporary file first. Plaintext is never written anywhere but into the target.

This module does NOT know options or words of the command line, and decides nobody's trust: it
returns who signed, and the caller says whether that will do. Formats: docs/spec/stream.md.
"""

import hmac
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from concura.adapters.archives import Chunks, Unpacker, tar_chunks
from concura.adapters.segments import (
    Advance,
    FileSink,
    FileSource,
    InTurn,
    PipeSource,
    Sink,
    Source,
    open_segments,
    read_at,
    read_range,
    seal_segments,
    write_at,
)
from concura.adapters.targets import Input, write_out
from concura.errors import FileUnusable, StreamRefused
from concura.ports import KeyStore, Randomness
from concura.sealing import (
    IV_BYTES,
    SALT_BYTES,
    Sealed,
    check_context,
    check_recipient,
    check_rsa_public,
    fingerprint,
    parse,
    seal,
    signing_input,
    unseal,
    verify,
)
from concura.sealing.keys import CONTENT_KEY_BYTES
from concura.sealing.package import (
    MANIFEST_TYPE,
    PRELUDE_BYTES,
    PURPOSE,
    Manifest,
    associated_data,
    make_prelude,
    package_context,
    read_manifest,
    read_prelude,
)
from concura.sealing.stream import (
    HEADER_BYTES,
    LARGE,
    PREFIX_BYTES,
    STREAM_SALT_BYTES,
    Layout,
    SegmentCipher,
    make_header,
)
from concura.types import Digest, Fingerprint

__all__ = [
    "Package",
    "Unlocked",
    "open_package",
    "read_package",
    "read_part",
    "seal_package",
    "unlock",
]


def seal_package(  # noqa: PLR0913 - each is a decision of the caller's
    source: Input | Path,
    handle: int,
    *,
    name: str,
    keys: KeyStore,
    recipients: Sequence[bytes],
    randomness: Randomness,
    time_ms: int,
    advance: Advance,
    layout: Layout = LARGE,
    workers: int = 0,
) -> Sealed:
    """Seal a file, a pipe or a folder into a `.sealed` file.

    Content key, salt, nonce and record are drawn for this call and die with it: a second attempt
    shares nothing with the first.

    Args:
        source: what to seal; a path is that of a folder.
        handle: an empty file, written by position.
        name: what it is called inside; empty for none.
        keys: of the sender.
        recipients: DER public wrap keys of the readers, 1 to 64.
        randomness: where keys come from.
        time_ms: the sender's clock.
        advance: told in this thread how many bytes were done.
        layout: 1 MiB segments; 4 KiB for tests.
        workers: threads; 0 lets the machine decide.

    Returns:
        The record ahead of the stream.

    Raises:
        FileUnusable: the source is missing, changed meanwhile, or holds what is not sealed.
        EnvelopeRefused: a recipient's key is refused, or stands twice.
        OSError: the target cannot be written; the block around it says so.

    Example:
        >>> with open_input(path) as source, new_file(target, force=False, mode=0o644) as handle:
        ...     seal_package(source, handle, name=path.name, keys=keys, ...)  # doctest: +SKIP
    """
    sender, key = keys.public("sign"), randomness.draw(CONTENT_KEY_BYTES)
    transfer = randomness.draw(16).hex()
    manifest = Manifest(
        content="file" if isinstance(source, Input) else "folder",
        key=key,
        name=name,
        root=Digest("0" * 64),
        layout=layout,
        sender=sender,
        size_bytes=0,
        time_ms=time_ms,
    )
    # The record's length is known before its content is. This trial is never written anywhere, and
    # its key and nonce are not the record's: two records under one of them would undo GCM.
    trial = _record(
        manifest,
        transfer,
        recipients,
        signature=bytes(check_rsa_public(sender).key_size // 8),
        drawn=(bytes(SALT_BYTES), bytes(CONTENT_KEY_BYTES), bytes(IV_BYTES)),
    )
    base = PRELUDE_BYTES + len(trial)
    header = make_header(randomness.draw(STREAM_SALT_BYTES), randomness.draw(PREFIX_BYTES))
    cipher = SegmentCipher(key, header, associated=associated_data(transfer), layout=layout)
    write_at(handle, header, base)
    with _object(source, layout) as pieces:
        root, size = seal_segments(
            pieces, FileSink(handle, base), cipher, advance=advance, workers=workers
        )
    manifest = replace(manifest, root=root, size_bytes=size)
    salt = randomness.draw(SALT_BYTES)
    record = _record(
        manifest,
        transfer,
        recipients,
        signature=keys.sign(_message(manifest, transfer, recipients, salt)),
        drawn=(salt, randomness.draw(CONTENT_KEY_BYTES), randomness.draw(IV_BYTES)),
    )
    assert len(record) == len(trial), "a record's length depends on values that are not fixed"
    write_at(handle, make_prelude(len(record)) + record, 0)
    return parse(record)


@dataclass(frozen=True, slots=True)
class Package:
    """A `.sealed` file whose record was read, and nothing of it verified.

    Args:
        source: where it comes from; a pipe stands at the stream's first byte.
        record: the record ahead of the stream.
        base: where in the file the stream begins.
    """

    source: Input
    record: Sealed
    base: int

    @property
    def stream_bytes(self) -> int | None:
        """Length of the stream; None where it comes from a pipe."""
        size = self.source.size_bytes
        return None if size is None else size - self.base


@dataclass(frozen=True, slots=True)
class Unlocked:
    """A package whose record was opened and whose signature verifies under the key it names.

    Args:
        package: what was unlocked.
        manifest: of the stream.
        sender: fingerprint of the signing key. Whose key that is, somebody else must vouch for.
    """

    package: Package
    manifest: Manifest
    sender: Fingerprint


def read_package(source: Input) -> Package:
    """Read the record ahead of a stream.

    Raises:
        StreamRefused: `empty`, `magic`, `record` or `short`: this is no such file, or it was cut.
        EnvelopeRefused: the record has not its form.
        FileUnusable: it cannot be read.
    """
    length = read_prelude(_take(source, PRELUDE_BYTES, 0))
    data = _take(source, length, PRELUDE_BYTES)
    if len(data) < length:
        raise StreamRefused("short")
    return Package(source, parse(data), PRELUDE_BYTES + length)


def unlock(package: Package, keys: KeyStore) -> Unlocked:
    """Open a package's record with the reader's key and verify what its sender signed.

    Args:
        package: from `read_package`.
        keys: of the reader.

    Raises:
        EnvelopeRefused: not sealed to this reader, changed, or the signature does not verify.
        StreamRefused: `manifest`: what was signed is no manifest; `short` or `long`: the file has
            not the length that was signed.
    """
    me, record = fingerprint(keys.public("wrap")), package.record
    opened = unseal(record, keys.unwrap(record.encrypted_key(me)))
    manifest = read_manifest(opened.statement.claimed.body)
    verified = verify(opened, sender_public=manifest.sender)
    sender = fingerprint(manifest.sender)
    check_context(
        verified, chain="", transfer=record.transfer, consent="", purpose=PURPOSE, sender=sender
    )
    check_recipient(verified, me)
    if verified.media_type != MANIFEST_TYPE:
        raise StreamRefused("manifest")
    expected, found = manifest.layout.sealed_bytes(manifest.size_bytes), package.stream_bytes
    if found is not None and found != expected:
        raise StreamRefused("short" if found < expected else "long")
    return Unlocked(package, manifest, sender)


def open_package(
    unlocked: Unlocked, target: int | Path, *, advance: Advance, by_position: bool, workers: int = 0
) -> None:
    """Open the stream of a package.

    A segment is written only after its own check. That the stream is the one that its sender
    signed is known at the end: until then a target must not be used, except by a pipe's reader, who
    learns it from the exit code.

    Args:
        unlocked: from `unlock`, its sender trusted.
        target: where to write; a path is that of an empty folder, for a folder's package.
        advance: told in this thread how many bytes were done.
        by_position: the target is a file, not a pipe.
        workers: threads; 0 lets the machine decide.

    Raises:
        StreamRefused: `segment`, `short`, `long`, `header`, `root` or `archive`.
        FileUnusable: the source cannot be read to its end.
        BrokenPipeError: the reader of a pipe went away.
    """
    manifest = unlocked.manifest
    cipher = _cipher(unlocked)
    pieces = _stream(unlocked)
    unpacker = Unpacker(target) if isinstance(target, Path) else None
    try:
        sink = _sink(target, unpacker, by_position=by_position)
        found = open_segments(pieces, sink, cipher, advance=advance, workers=workers)
        _check_root(found, manifest)
        if unpacker is not None:
            unpacker.close()
    except BaseException:
        if unpacker is not None:
            unpacker.abandon()
        raise


def read_part(unlocked: Unlocked, start: int, length: int) -> bytes:
    """Open only the segments that hold a part of the object.

    Args:
        unlocked: from `unlock`, of a file, its sender trusted.
        start: first byte, from 0.
        length: number of bytes; what lies beyond the end is left out.

    Raises:
        StreamRefused: `segment`: one of these segments was changed. Others are not looked at, and
            the root is not checked: another reader of the file could have written the part.
        FileUnusable: it comes from a pipe, or became shorter.
    """
    source, manifest = unlocked.package.source, unlocked.manifest
    if source.size_bytes is None:
        raise FileUnusable("pipe", file=source.name)
    return read_range(
        source.handle,
        source.name,
        _cipher(unlocked),
        base=unlocked.package.base,
        plain_bytes=manifest.size_bytes,
        start=start,
        length=length,
    )


# Sealing --------------------------------------------------------------------------------------


def _message(manifest: Manifest, transfer: str, recipients: Sequence[bytes], salt: bytes) -> bytes:
    context = package_context(transfer, manifest.sender, tuple(map(fingerprint, recipients)))
    return signing_input(context, manifest.encoded(), media_type=MANIFEST_TYPE, salt=salt)


def _record(
    manifest: Manifest,
    transfer: str,
    recipients: Sequence[bytes],
    *,
    signature: bytes,
    drawn: tuple[bytes, bytes, bytes],
) -> bytes:
    salt, content_key, iv = drawn
    return seal(
        _message(manifest, transfer, recipients, salt),
        signature,
        context=package_context(transfer, manifest.sender, tuple(map(fingerprint, recipients))),
        salt=salt,
        recipients=recipients,
        content_key=content_key,
        iv=iv,
    )


@contextmanager
def _object(source: Input | Path, layout: Layout) -> Iterator[Source]:
    if isinstance(source, Path):
        yield PipeSource(Chunks(tar_chunks(source)).read, layout=layout, sealed=False)
    elif source.size_bytes is None:
        yield PipeSource(source.read, layout=layout, sealed=False)
    else:
        before = os.fstat(source.handle)
        yield FileSource(
            source.handle, source.name, layout=layout, sealed=False, base=0, end=source.size_bytes
        )
        after = os.fstat(source.handle)
        # Half of the old and half of the new is nobody's file.
        if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
            raise FileUnusable("changed", file=source.name)


# Opening --------------------------------------------------------------------------------------


def _check_root(found: tuple[Digest, int], manifest: Manifest) -> None:
    if found[1] != manifest.size_bytes or not hmac.compare_digest(found[0], manifest.root):
        raise StreamRefused("root")


def _take(source: Input, count: int, place: int) -> bytes:
    room = memoryview(bytearray(count))
    if source.size_bytes is not None:
        return bytes(room[: read_at(source.handle, room, place, source.name)])
    done, stop = 0, threading.Event()
    while done < count and (more := source.read(room[done:], stop)):
        done += more
    return bytes(room[:done])


def _cipher(unlocked: Unlocked) -> SegmentCipher:
    package, manifest = unlocked.package, unlocked.manifest
    header = _take(package.source, HEADER_BYTES, package.base)
    if len(header) < HEADER_BYTES:
        raise StreamRefused("short")
    bound = associated_data(package.record.transfer)
    return SegmentCipher(manifest.key, header, associated=bound, layout=manifest.layout)


def _stream(unlocked: Unlocked) -> Source:
    package, layout = unlocked.package, unlocked.manifest.layout
    source = package.source
    if source.size_bytes is None:
        most = layout.sealed_bytes(unlocked.manifest.size_bytes) - HEADER_BYTES
        return PipeSource(source.read, layout=layout, sealed=True, most=most)
    return FileSource(
        source.handle,
        source.name,
        layout=layout,
        sealed=True,
        base=package.base,
        end=source.size_bytes,
    )


def _sink(target: int | Path, unpacker: Unpacker | None, *, by_position: bool) -> Sink:
    if unpacker is not None:
        return InTurn(unpacker.write)
    assert isinstance(target, int)
    if by_position:
        return FileSink(target)
    return InTurn(lambda data, stop: write_out(target, data, stop))

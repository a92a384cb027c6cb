"""Taking public data files from the internet, each with its pinned digest.

A file is written only when its SHA-256 is the pinned one, and then at once and whole: a broken
connection or a changed file leaves nothing behind.

This module does NOT decide where files belong and does NOT follow a redirect to another scheme.
"""

import hashlib
import http.client
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from email.message import Message
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from concura.adapters.folders import atomic_write, disk
from concura.errors import DownloadInvalid

__all__ = ["HEART_DISEASE_FILES", "HEART_DISEASE_URL", "get_heart_disease"]

HEART_DISEASE_URL = "https://archive.ics.uci.edu/ml/machine-learning-databases/heart-disease/"
# name -> (SHA-256, size in bytes) of UCI's files (doi 10.24432/C52P4X, CC BY 4.0).
HEART_DISEASE_FILES: Mapping[str, tuple[str, int]] = {
    "processed.cleveland.data": (
        "a74b7efa387bc9d108d7d0115d831fe9b414b29ae7124f331b622b4efa0427c8",
        18_461,
    ),
    "processed.hungarian.data": (
        "d1ad108f785768cd3d7e82dc522e6f5a61eea93cccfb3a46ee8076f73fc3d796",
        10_263,
    ),
    "processed.switzerland.data": (
        "834a405ccf5b66ab4056bb77794adc8df0b7125186454c0a1d002d33c6c3b314",
        4_109,
    ),
    "processed.va.data": (
        "e7c93d8d0d2acdadfa4c5e8de768e2191e7f618b952e29623f1f0d5949ff6b8f",
        6_737,
    ),
}
_TIMEOUT_S = 20.0  # of each step: to connect, and then of each read
_REDIRECTS_MAX = 3
_CHUNK_BYTES = 64 * 1024

Progress = Callable[[str, int, int], None]


def get_heart_disease(
    target: Path, *, base_url: str = HEART_DISEASE_URL, progress: Progress | None = None
) -> list[Path]:
    """Take UCI's four processed heart disease files.

    Args:
        target: folder for them; made when missing. Files that are there and right are kept.
        base_url: where the files lie, http or https.
        progress: called with (file name, files done, files in all) before each file.

    Returns:
        The paths of the four files.

    Raises:
        DownloadInvalid: no answer, another answer than 200, or another digest.
        FolderUnusable: the folder cannot be written.
        StoreFull: the disk is full.

    Example:
        >>> get_heart_disease(Path("heart"))[0].name  # doctest: +SKIP
        'processed.cleveland.data'
    """
    with disk(target):
        target.mkdir(parents=True, exist_ok=True)
    paths: list[Path] = []
    opener = urllib.request.build_opener(_Redirects)
    for done, (name, (digest, size)) in enumerate(HEART_DISEASE_FILES.items()):
        if progress is not None:
            progress(name, done, len(HEART_DISEASE_FILES))
        path = target / name
        if not _is_there(path, digest, size):
            data = _take(opener, base_url.rstrip("/") + "/" + name, name, size)
            if hashlib.sha256(data).hexdigest() != digest:
                raise DownloadInvalid("digest", file=name)
            atomic_write(path, data, mode=0o644)
        paths.append(path)
    return paths


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows few redirects, and none that changes the scheme: https must not become http."""

    max_repeats = max_redirections = _REDIRECTS_MAX

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: Message,
        newurl: str,
    ) -> urllib.request.Request | None:
        """Return the next request.

        Raises:
            URLError: another scheme.
        """
        if urlsplit(newurl).scheme != urlsplit(req.full_url).scheme:
            raise urllib.error.URLError("scheme")
        return super().redirect_request(req, fp, code, msg, headers, newurl)  # type: ignore[arg-type]  # as above


def _is_there(path: Path, digest: str, size: int) -> bool:
    with disk(path.parent):
        if not path.is_file() or path.stat().st_size != size:
            return False
        return hashlib.sha256(path.read_bytes()).hexdigest() == digest


def _take(opener: urllib.request.OpenerDirector, url: str, name: str, size: int) -> bytes:
    try:
        scheme, host = urlsplit(url).scheme, urlsplit(url).hostname
        known = scheme in {"http", "https"} and host and urlsplit(url).port != 0
    except ValueError:  # a port that is no number, brackets that do not match
        known, host = False, None
    if not known:
        raise DownloadInvalid("url", file=name)
    try:
        # A byte more than pinned is enough to know that it is another file.
        with opener.open(url, timeout=_TIMEOUT_S) as reply:
            status, data = reply.status, _read(reply, size + 1)
            is_cut = len(data) <= size and reply.length not in {None, 0}
    except urllib.error.HTTPError as error:
        error.close()
        if error.code < http.client.BAD_REQUEST:  # a redirect that was not followed
            raise DownloadInvalid("network", file=name, host=host) from error
        raise DownloadInvalid("status", file=name, host=host, status=error.code) from error
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise DownloadInvalid("network", file=name, host=host) from error
    if status != http.client.OK:
        raise DownloadInvalid("status", file=name, host=host, status=status)
    if len(data) > size:
        raise DownloadInvalid("size", file=name)
    if is_cut:
        raise DownloadInvalid("network", file=name, host=host)
    return data


def _read(reply: http.client.HTTPResponse, limit: int) -> bytes:
    data = bytearray()
    while len(data) < limit and (part := reply.read(min(_CHUNK_BYTES, limit - len(data)))):
        data += part
    return bytes(data)

"""The hub as a node sees it, over HTTPS: the one outward connection (port `Hub`).

It turns every failure into an error of ours and believes nothing that it is told; checking what
comes back is the use cases' work.
"""

import json
import ssl
from collections.abc import Sequence
from typing import Any

import httpcore

from concura import errors
from concura.canonical import b64decode, b64encode
from concura.errors import ConcuraError, HubUnreachable, ReplyInvalid
from concura.ports import MailItem
from concura.types import Height, MemberId, StudyId

__all__ = ["HttpHub", "error_of"]

# Seconds beyond the wait that was asked for, before an answer counts as lost.
_PATIENCE_S = 20.0

# Seconds that an idle connection is kept; the hub keeps it longer.
_IDLE_S = 30.0

_FAILURES = (
    httpcore.NetworkError,
    httpcore.TimeoutException,
    httpcore.ProtocolError,
    httpcore.UnsupportedProtocol,
)

_BY_SLUG = {
    kind.slug: kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, ConcuraError)
}


def error_of(body: bytes, who: str) -> ConcuraError:
    """Read a problem (RFC 9457) back into the error that it was written from."""
    try:
        found = json.loads(body)
        slug = str(found["type"]).removeprefix("urn:concura:error:")
        values = {str(name): value for name, value in found["values"].items()}
        error = _BY_SLUG[slug](str(found["why"]), **values)
        # A sentence that lacks its values would fail later, in the open.
        if not values and "{" in error.message() + error.hint():
            raise KeyError("values")  # noqa: TRY301 - one place turns all of them into our error
        error.message(), error.hint()
    except (ValueError, KeyError, TypeError, AttributeError):
        return ReplyInvalid(who=who, detail="an error in an unknown shape")
    return error


class HttpHub:
    """Implements the port `Hub`.

    Args:
        url: the hub's address, `https://host:port`.
        context: TLS context that trusts the hub's own authority alone and shows our certificate.
    """

    def __init__(self, url: str, context: ssl.SSLContext) -> None:
        self._url = url
        # The pool itself, without a client around it: no proxies, cookies or redirects to refuse,
        # and half the start-up time. Connections are dropped before the hub would drop them.
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=context,
            max_connections=32,
            max_keepalive_connections=16,
            keepalive_expiry=_IDLE_S,
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._pool.aclose()

    async def genesis(self) -> bytes:
        """See the port."""
        return await self._ask("GET", "/genesis")

    async def found(self, member: MemberId, signature: bytes) -> None:
        """See the port."""
        await self._ask("POST", f"/genesis/signatures/{member}", content=signature)

    async def submit(self, entries: Sequence[bytes]) -> list[bytes]:
        """See the port."""
        answer = await self._ask_json(
            "POST", "/entries", {"entries": [b64encode(e) for e in entries]}
        )
        receipts = self._bytes_list(answer, "receipts")
        if len(receipts) != len(entries):
            raise self._bad("a receipt is missing")
        return receipts

    async def blocks(self, start: Height, *, wait_s: float) -> list[bytes]:
        """See the port."""
        answer = await self._ask_json("GET", f"/blocks?start={start}&wait={wait_s}", wait_s=wait_s)
        return self._bytes_list(answer, "blocks")

    async def checkpoint(self) -> bytes:
        """See the port."""
        return await self._ask("GET", "/checkpoint")

    async def cosign(self, size: int, line: bytes) -> None:
        """See the port."""
        await self._ask("POST", f"/checkpoint/{size}/cosignatures", content=line)

    async def card(self, member: MemberId) -> bytes:
        """See the port."""
        return await self._ask("GET", f"/directory/{member}")

    async def send(self, recipient: MemberId, kind: str, transfer: str, data: bytes) -> None:
        """See the port."""
        await self._ask("PUT", f"/mail/{recipient}/{kind}/{transfer}", content=data)

    async def mail(self, after: int, *, wait_s: float) -> list[MailItem]:
        """See the port."""
        answer = await self._ask_json("GET", f"/mail?after={after}&wait={wait_s}", wait_s=wait_s)
        try:
            return [
                MailItem(
                    number=int(item["number"]),
                    recipient=MemberId(str(item["recipient"])),
                    sender=MemberId(str(item["sender"])),
                    kind=str(item["kind"]),
                    transfer=str(item["transfer"]),
                    data=b64decode(item["data"]),
                )
                for item in answer["items"]
            ]
        except (KeyError, TypeError, ValueError) as error:
            raise self._bad("mail") from error

    async def delete_mail(self, number: int) -> None:
        """See the port."""
        await self._ask("DELETE", f"/mail/{number}")

    async def contribute(self, study: StudyId, step: str, data: bytes) -> None:
        """See the port."""
        await self._ask("PUT", f"/studies/{study}/{step}", content=data)

    async def put_task(self, study: StudyId, data: bytes) -> None:
        """See the port."""
        await self._ask("PUT", f"/studies/{study}/task", content=data)

    async def task(self, study: StudyId, *, wait_s: float) -> bytes:
        """See the port."""
        return await self._ask("GET", f"/studies/{study}/task?wait={wait_s}", wait_s=wait_s)

    async def mask_keys(self, study: StudyId, *, wait_s: float) -> dict[MemberId, bytes]:
        """See the port."""
        answer = await self._ask_json("GET", f"/studies/{study}/keys?wait={wait_s}", wait_s=wait_s)
        try:
            return {MemberId(str(m)): b64decode(key) for m, key in answer["keys"].items()}
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise self._bad("mask keys") from error

    async def total(self, study: StudyId, step: str, *, wait_s: float) -> bytes:
        """See the port."""
        return await self._ask("GET", f"/studies/{study}/{step}/total?wait={wait_s}", wait_s=wait_s)

    async def _ask(
        self, method: str, path: str, *, content: bytes | None = None, wait_s: float = 0.0
    ) -> bytes:
        limits = dict.fromkeys(("connect", "read", "write", "pool"), wait_s + _PATIENCE_S)
        try:
            answer = await self._pool.request(
                method,
                self._url + path,
                headers=[("host", self._url.partition("://")[2])],
                content=content or b"",
                extensions={"timeout": limits},
            )
        except (*_FAILURES, ssl.SSLError, OSError) as error:
            raise HubUnreachable(url=self._url, detail=_cause(error)) from error
        if answer.status < 400:
            return answer.content
        raise error_of(answer.content, self._url)

    async def _ask_json(
        self, method: str, path: str, body: dict[str, Any] | None = None, *, wait_s: float = 0.0
    ) -> dict[str, Any]:
        content = None if body is None else json.dumps(body).encode()
        data = await self._ask(method, path, content=content, wait_s=wait_s)
        try:
            value = json.loads(data)
        except ValueError as error:
            raise self._bad("not JSON") from error
        if not isinstance(value, dict):
            raise self._bad("not an object")
        return value

    def _bytes_list(self, answer: dict[str, Any], name: str) -> list[bytes]:
        try:
            return [b64decode(item) for item in answer[name]]
        except (KeyError, TypeError, ValueError) as error:
            raise self._bad(name) from error

    def _bad(self, detail: str) -> ReplyInvalid:
        return ReplyInvalid(who=self._url, detail=detail)


def _cause(error: BaseException) -> str:
    """Say what the network said, without the library's names."""
    text = str(error) or type(error).__name__
    return text.splitlines()[0][:200]

"""The one shape of every error that a server answers with: RFC 9457 problem details.

    {"type": "urn:concura:error:SLUG", "title": …, "status": …, "hint": …, "why": …, "values": …}

`type` and `why` are stable; the sentences are in the caller's language. It does NOT show
tracebacks: a fault of our own is logged and answered as `internal`.
"""

import logging

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from concura.errors import ConcuraError, InternalFault, NotFound, UsageInvalid
from concura.limits import REQUEST_MAX_BYTES

__all__ = ["EXCEPTION_HANDLERS", "language", "problem", "read_body"]

_log = logging.getLogger(__name__)


def language(request: Request) -> str:
    """Choose English or Chinese by the Accept-Language header; English by default."""
    wanted = request.headers.get("accept-language", "")
    return "zh" if wanted.strip().lower().startswith("zh") else "en"


def problem(error: ConcuraError, lang: str, *, status: int | None = None) -> JSONResponse:
    """Write an error as a response; `status` where HTTP has a closer one than the error."""
    code = error.http_status if status is None else status
    body = {
        "type": f"urn:concura:error:{error.slug}",
        "title": error.message(lang),
        "status": code,
        "hint": error.hint(lang),
        "why": error.why,
        "values": {name: _plain(value) for name, value in error.values.items()},
    }
    return JSONResponse(body, code, media_type="application/problem+json")


async def read_body(request: Request, limit: int = REQUEST_MAX_BYTES) -> bytes:
    """Read a request's body, never more than `limit` bytes of it.

    Raises:
        UsageInvalid: the body is longer.
    """
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > limit:
            raise UsageInvalid(detail=f"body of more than {limit} bytes")
        parts.append(part)
    return b"".join(parts)


def _plain(value: object) -> object:
    return value if isinstance(value, int | float | str | bool) else str(value)


async def _concura_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ConcuraError)
    if error.http_status >= 500:
        _log.warning(
            "request failed path=%s error=%s why=%s", request.url.path, error.slug, error.why
        )
    return problem(error, language(request))


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        return problem(NotFound(what=request.url.path), language(request))
    found = UsageInvalid(detail=error.detail)
    return problem(found, language(request), status=error.status_code)


async def _fault(request: Request, error: Exception) -> Response:
    _log.error("fault path=%s kind=%s", request.url.path, type(error).__name__, exc_info=error)
    return problem(InternalFault(detail=type(error).__name__), language(request))


EXCEPTION_HANDLERS = {ConcuraError: _concura_error, HTTPException: _http_error, Exception: _fault}

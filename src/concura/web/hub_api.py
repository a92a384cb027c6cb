"""The hub's API for nodes: HTTPS, one port, the caller known by its TLS key.

Every route asks `Platform.caller` who the key belongs to on the ledger, request by request; a
header never decides. It does NOT decide what a caller may do: the use cases in `hub/` do.
"""

import json
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from concura.canonical import b64decode, b64encode
from concura.errors import UsageInvalid
from concura.hub import Platform, Session
from concura.ports import MailItem
from concura.types import Fingerprint, Height, MemberId, StudyId
from concura.web.problems import EXCEPTION_HANDLERS, read_body

__all__ = ["hub_app"]

# A node asks again by then; proxies that cut idle requests off do so later.
WAIT_MAX_S = 60.0
# Blocks in one answer: a thousand small ones fit in a few megabytes.
BLOCKS_PER_ANSWER = 200
_TASK_MAX_BYTES = 4 * 1024 * 1024
_CONTRIBUTION_MAX_BYTES = 33 * 1024 * 1024


def hub_app(platform: Platform) -> Starlette:
    """Build the app around a platform."""
    app = Starlette(routes=_routes(), exception_handlers=EXCEPTION_HANDLERS)
    app.state.platform = platform
    return app


def _routes() -> list[Route]:
    return [
        Route("/healthz", _health),
        Route("/metrics", _metrics),
        Route("/genesis", _genesis),
        Route("/genesis/signatures/{member}", _found, methods=["POST"]),
        Route("/entries", _submit, methods=["POST"]),
        Route("/blocks", _blocks),
        Route("/checkpoint", _checkpoint),
        Route("/checkpoint/{size:int}/cosignatures", _cosign, methods=["POST"]),
        Route("/directory/{member}", _card),
        Route("/mail", _mail),
        Route("/mail/{number:int}", _delete_mail, methods=["DELETE"]),
        Route("/mail/{recipient}/{kind}/{transfer}", _send, methods=["PUT"]),
        Route("/studies/{study}/task", _task, methods=["GET"]),
        Route("/studies/{study}/task", _put_task, methods=["PUT"]),
        Route("/studies/{study}/keys", _mask_keys, methods=["GET"]),
        Route("/studies/{study}/{step}", _contribute, methods=["PUT"]),
        Route("/studies/{study}/{step}/total", _total),
    ]


def _platform(request: Request) -> Platform:
    platform: Platform = request.app.state.platform
    return platform


def _session(request: Request) -> Session:
    peer = request.scope.get("peer")
    return _platform(request).session(Fingerprint(peer) if peer else None)


def _wait(request: Request) -> float:
    return _number(request, "wait", 0.0, WAIT_MAX_S)


def _number(request: Request, name: str, least: float, most: float) -> float:
    text = request.query_params.get(name, "0")
    try:
        value = float(text)
    except ValueError as error:
        raise UsageInvalid(detail=f"{name} is no number") from error
    if not least <= value <= most:
        raise UsageInvalid(detail=f"{name} lies outside {least:g} to {most:g}")
    return value


async def _health(request: Request) -> Response:
    return JSONResponse(_platform(request).status())


async def _metrics(request: Request) -> Response:
    status = _platform(request).status()
    lines = [
        f"concura_hub_{name} {value}"
        for name, value in status.items()
        if isinstance(value, int) and not isinstance(value, bool)
    ]
    return PlainTextResponse("\n".join(lines) + "\n")


async def _genesis(request: Request) -> Response:
    return Response(await _session(request).genesis(), media_type="application/json")


async def _found(request: Request) -> Response:
    signature = await read_body(request, 4096)
    await _session(request).found(MemberId(request.path_params["member"]), signature)
    return Response(status_code=204)


async def _submit(request: Request) -> Response:
    try:
        entries = [b64decode(text) for text in json.loads(await read_body(request))["entries"]]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UsageInvalid(detail="entries are base64url texts in a JSON list") from error
    receipts = await _session(request).submit(entries)
    return JSONResponse({"receipts": [b64encode(receipt) for receipt in receipts]})


async def _blocks(request: Request) -> Response:
    start = Height(int(_number(request, "start", 0, 2**53)))
    blocks = await _session(request).blocks(start, wait_s=_wait(request))
    return JSONResponse({"blocks": [b64encode(block) for block in blocks]})


async def _checkpoint(request: Request) -> Response:
    return Response(await _session(request).checkpoint(), media_type="text/plain; charset=utf-8")


async def _cosign(request: Request) -> Response:
    line = await read_body(request, 4096)
    await _session(request).cosign(request.path_params["size"], line)
    return Response(status_code=204)


async def _card(request: Request) -> Response:
    card = await _session(request).card(MemberId(request.path_params["member"]))
    return Response(card, media_type="application/json")


async def _send(request: Request) -> Response:
    where = request.path_params
    data = await read_body(request)
    await _session(request).send(
        MemberId(where["recipient"]), where["kind"], where["transfer"], data
    )
    return Response(status_code=204)


async def _mail(request: Request) -> Response:
    after = int(_number(request, "after", 0, 2**53))
    items = await _session(request).mail(after, wait_s=_wait(request))
    return JSONResponse({"items": [_item(item) for item in items]})


def _item(item: MailItem) -> dict[str, Any]:
    return {
        "number": item.number,
        "recipient": item.recipient,
        "sender": item.sender,
        "kind": item.kind,
        "transfer": item.transfer,
        "data": b64encode(item.data),
    }


async def _delete_mail(request: Request) -> Response:
    await _session(request).delete_mail(request.path_params["number"])
    return Response(status_code=204)


async def _contribute(request: Request) -> Response:
    where = request.path_params
    data = await read_body(request, _CONTRIBUTION_MAX_BYTES)
    await _session(request).contribute(StudyId(where["study"]), where["step"], data)
    return Response(status_code=204)


async def _put_task(request: Request) -> Response:
    data = await read_body(request, _TASK_MAX_BYTES)
    await _session(request).put_task(StudyId(request.path_params["study"]), data)
    return Response(status_code=204)


async def _task(request: Request) -> Response:
    study = StudyId(request.path_params["study"])
    task = await _session(request).task(study, wait_s=_wait(request))
    return Response(task, media_type="application/json")


async def _mask_keys(request: Request) -> Response:
    study = StudyId(request.path_params["study"])
    keys = await _session(request).mask_keys(study, wait_s=_wait(request))
    return JSONResponse({"keys": {member: b64encode(key) for member, key in keys.items()}})


async def _total(request: Request) -> Response:
    where = request.path_params
    total = await _session(request).total(
        StudyId(where["study"]), where["step"], wait_s=_wait(request)
    )
    return Response(total, media_type="application/octet-stream")

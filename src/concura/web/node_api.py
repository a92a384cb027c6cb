"""A node's API for its own hospital: loopback only, behind a token that its owner's tools read.

It speaks to the operator's command line and to the demonstration; health systems will speak FHIR.
It does NOT decide: the use cases in `hospital/` do.
"""

import hmac
import json
import math
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from concura.adapters.table_files import TableFolder, load_mapping, read_folder, shipped_folder
from concura.canonical import b64encode
from concura.decisions import Wording, card, explain
from concura.errors import NotFound, NotMember, UsageInvalid
from concura.hospital import Decided, Node
from concura.ledger import applicants
from concura.records import record_system
from concura.sharing import RecordRequest
from concura.types import ConsentId, EntryId, MemberId, ModelId, StudyId, TransferId
from concura.web.problems import EXCEPTION_HANDLERS, language, read_body

__all__ = ["node_app"]

_BODY_MAX_BYTES = 16 * 1024 * 1024
_WAIT_MAX_S = 60.0
_TEXT_MAX_CHARS = 4_096
_WHO_MAX_CHARS = 48  # a record of the access log is short
_YEAR_MS = 365 * 24 * 3600 * 1000

Handler = Callable[[Request], Awaitable[Response]]


def node_app(node: Node, token: str) -> Starlette:
    """Build the app around a node.

    Args:
        node: the node.
        token: what callers show as `Authorization: Bearer TOKEN`.
    """
    app = Starlette(
        routes=[Route("/healthz", _health), Route("/metrics", _metrics), *_routes()],
        exception_handlers=EXCEPTION_HANDLERS,
    )
    app.state.node, app.state.token = node, token
    return app


def _routes() -> list[Route]:
    table: list[tuple[str, str, Handler]] = [
        ("GET", "/status", _status),
        ("POST", "/collect", _collect),
        ("POST", "/consents/research", _grant_research),
        ("POST", "/consents", _grant),
        ("POST", "/consents/revoke", _revoke),
        ("POST", "/transfers", _request),
        ("GET", "/transfers/{transfer}", _transfer),
        ("GET", "/directory/{member}", _card),
        ("POST", "/members/{member}", _admit),
        ("POST", "/studies", _open_study),
        ("GET", "/studies/{study}/events", _events),
        ("GET", "/models", _models),
        ("GET", "/models/{model}", _model),
        ("GET", "/models/{model}/highest", _highest),
        ("POST", "/models/{model}/decisions", _decide),
        ("GET", "/proofs/{entry}", _proof),
        ("GET", "/checkpoint", _checkpoint),
        ("POST", "/final", _final),
    ]
    return [Route(path, _guarded(handler), methods=[method]) for method, path, handler in table]


def _guarded(handler: Handler) -> Handler:
    async def guard(request: Request) -> Response:
        shown = request.headers.get("authorization", "").removeprefix("Bearer ")
        if not hmac.compare_digest(shown.encode(), request.app.state.token.encode()):
            raise NotMember("token", who="caller", detail="the token is missing or wrong")
        return await handler(request)

    return guard


def _node(request: Request) -> Node:
    node: Node = request.app.state.node
    return node


async def _body(request: Request) -> dict[str, Any]:
    data = await read_body(request, _BODY_MAX_BYTES)
    try:
        body = json.loads(data or b"{}", parse_constant=_no_constant)
        # Half a surrogate pair is valid JSON and no text: it could be stored nowhere.
        json.dumps(body, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError) as error:
        raise UsageInvalid(detail="the body is not JSON") from error
    if not isinstance(body, dict):
        raise UsageInvalid(detail="the body is not a JSON object")
    return body


def _no_constant(name: str) -> Any:
    raise ValueError(name)


def _text(body: dict[str, Any], name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str) or not value:
        raise UsageInvalid(detail=f"{name} is missing")
    if len(value) > _TEXT_MAX_CHARS or "\0" in value:
        raise UsageInvalid(detail=f"{name} is no usable text")
    return value


def _wait(request: Request) -> float:
    try:
        value = float(request.query_params.get("wait", "0"))
    except ValueError as error:
        raise UsageInvalid(detail="wait is no number") from error
    if math.isnan(value):
        raise UsageInvalid(detail="wait is no number")
    return min(max(value, 0.0), _WAIT_MAX_S)


async def _health(request: Request) -> Response:
    return JSONResponse({"ready": True, "height": _node(request).watch.chain.height})


async def _metrics(request: Request) -> Response:
    status = _node(request).status()
    lines = [
        f"concura_node_{name} {int(value)}"
        for name, value in status.items()
        if isinstance(value, int)
    ]
    return PlainTextResponse("\n".join(lines) + "\n")


async def _status(request: Request) -> Response:
    return JSONResponse(_node(request).status())


async def _collect(request: Request) -> Response:
    """Take in this hospital's table: {"hospital", "folder"?, "mapping"?}."""
    body = await _body(request)
    folder = _folder(body)
    hospital = MemberId(_text(body, "hospital"))
    if hospital not in folder.rows:
        raise NotFound(what=hospital)
    patients, resources = await _node(request).collect.take(folder.resources(hospital))
    return JSONResponse({"patients": patients, "resources": resources})


def _folder(body: dict[str, Any]) -> TableFolder:
    if body.get("folder") is None:
        return shipped_folder()
    mapping = None
    if body.get("mapping") is not None:
        mapping = load_mapping(Path(_text(body, "mapping")))
    return read_folder(Path(_text(body, "folder")), mapping)


async def _grant_research(request: Request) -> Response:
    """Enter the consents of all patients of this hospital for research."""
    node = _node(request)
    not_after = node.ports.clock.now_ms() + _YEAR_MS
    count = await node.cohorts.grant(node.own_patients(), not_after_ms=not_after)
    return JSONResponse({"consents": count})


async def _grant(request: Request) -> Response:
    body = await _body(request)
    node = _node(request)
    number = _text(body, "number")
    patient = node.ports.records.by_identifier(record_system(node.me), number)
    if patient is None:
        raise NotFound(what=f"record number {number}")
    consent = await node.consents.grant(
        patient,
        reader=MemberId(_text(body, "reader")),
        purpose=_text(body, "purpose"),
        not_after_ms=node.ports.clock.now_ms() + _YEAR_MS,
    )
    return JSONResponse({"consent": consent})


async def _revoke(request: Request) -> Response:
    body = await _body(request)
    await _node(request).consents.revoke([ConsentId(_text(body, "consent"))])
    return Response(status_code=204)


async def _request(request: Request) -> Response:
    body = await _body(request)
    wish = RecordRequest(_text(body, "system"), _text(body, "value"))
    transfer = await _node(request).share.request(
        MemberId(_text(body, "holder")), wish, purpose=_text(body, "purpose")
    )
    return JSONResponse({"transfer": transfer})


async def _transfer(request: Request) -> Response:
    transfer = TransferId(request.path_params["transfer"])
    return JSONResponse(await _node(request).share.until_settled(transfer, _wait(request)))


async def _card(request: Request) -> Response:
    card_ = await _node(request).share.card(MemberId(request.path_params["member"]))
    return JSONResponse(card_.to_json())


async def _admit(request: Request) -> Response:
    """Vote for an applicant; its card's digest was compared by telephone."""
    node = _node(request)
    member = request.path_params["member"]
    for applicant in applicants(node.watch.chain.state):
        if applicant.member == member:
            body = {"member": member, "card_digest": applicant.digest}
            await node.enter.enter("member.admit", body)
            return JSONResponse(body)
    raise NotFound(what=member)


async def _open_study(request: Request) -> Response:
    body = await _body(request)
    settings, features = body.get("settings"), body.get("features")
    if not isinstance(settings, dict) or not isinstance(features, dict):
        raise UsageInvalid(detail="settings and features are JSON objects")
    participants = body.get("participants")
    if not isinstance(participants, list):
        raise UsageInvalid(detail="participants is a list of members")
    members = [MemberId(str(member)) for member in participants]
    study = await _node(request).train.open(settings, features, members)
    return JSONResponse({"study": study})


async def _events(request: Request) -> Response:
    study = StudyId(request.path_params["study"])
    try:
        after = int(request.query_params.get("after", "0"))
    except ValueError as error:
        raise UsageInvalid(detail="after is no number") from error
    events = await _node(request).train.events(study, max(after, 0), _wait(request))
    return JSONResponse({"events": events})


async def _models(request: Request) -> Response:
    return JSONResponse({"models": _node(request).decide.models()})


async def _model(request: Request) -> Response:
    node, model = _node(request), ModelId(request.path_params["model"])
    found, _ = node.decide.load(model)
    return JSONResponse({"model": b64encode(found.encode()), "origin": node.decide.origin(model)})


async def _highest(request: Request) -> Response:
    found = await _node(request).decide.highest(ModelId(request.path_params["model"]))
    return JSONResponse({} if found is None else {"number": found[0], "risk": found[1]})


async def _decide(request: Request) -> Response:
    body = await _body(request)
    node = _node(request)
    decided = await node.decide.decide(
        ModelId(request.path_params["model"]),
        _text(body, "number"),
        who=_who(body),
    )
    lang = str(body.get("lang") or language(request))
    return JSONResponse(_decision(decided, lang))


def _who(body: dict[str, Any]) -> str:
    if body.get("who") is None:
        return "local"
    who = _text(body, "who")
    if len(who) > _WHO_MAX_CHARS or not (who.isascii() and who.isprintable()):
        raise UsageInvalid(detail="who is a short name of a user")
    return who


def _decision(decided: Decided, lang: str) -> dict[str, Any]:
    wording = _wording(decided, lang)
    explanation = explain(decided.decision, wording=wording)
    decision = decided.decision
    return {
        "verdict": decision.verdict.value,
        "probability": decision.probability,
        "threshold": decision.threshold,
        "reasons": [
            {
                "feature": reason.feature,
                "value": reason.value,
                "direction": reason.direction,
                "contribution": reason.contribution,
            }
            for reason in decision.reasons
        ],
        "imputed": list(decision.imputed),
        "out_of_range": list(decision.out_of_range),
        "model": decision.model,
        "number": decided.number,
        "card": card(decision, explanation),
        "words": {
            "line": explanation.line,
            "risk": explanation.risk,
            "reasons": list(explanation.reasons),
            "doubts": list(explanation.doubts),
            "action": explanation.action,
            "step": explanation.step,
            "version": explanation.version,
            "notice": explanation.notice,
        },
    }


def _wording(decided: Decided, lang: str) -> Wording:
    features = decided.features
    return Wording(
        labels=features.labels(lang),
        units=features.units(lang),
        binary=features.binary(),
        meaning=features.outcome.meaning["zh" if lang.startswith("zh") else "en"],
        lang=lang,
    )


async def _proof(request: Request) -> Response:
    bundle = _node(request).decide.proof(EntryId(request.path_params["entry"]))
    return Response(bundle, media_type="application/json")


async def _checkpoint(request: Request) -> Response:
    return JSONResponse({"note": _node(request).watch.newest_checkpoint().decode()})


async def _final(request: Request) -> Response:
    """Wait until everything that this node has seen accepted is under a final head."""
    body = await _body(request)
    node = _node(request)
    entry = body.get("entry")
    if isinstance(entry, str):
        await node.watch.until_sealed(EntryId(entry), _wait(request))
    height = body.get("height", node.watch.chain.height)
    if type(height) is not int:
        raise UsageInvalid(detail="height is no number")
    is_final = await node.watch.until_final(height, _wait(request))
    return JSONResponse({"final": node.watch.final_height, "is_final": is_final})

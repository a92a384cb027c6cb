"""The node's API for its own hospital: a token on every route, and never a traceback."""

import asyncio
import json

import pytest

from concura.testing.clock import simulated
from concura.testing.town import Town, patients_of
from concura.web.node_api import node_app

A, B = "hospital-a", "hospital-b"
TOKEN = "token-of-the-town"
OPEN = {"/healthz", "/metrics"}


async def ask(app, method, path, body=b"", *, token=TOKEN, query=b"", lang=b"en"):
    """Speak ASGI to an app, without a socket."""
    sent = []
    parts = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive():
        return parts.pop(0) if parts else await asyncio.Future()

    async def send(event):
        sent.append(event)

    headers = [(b"accept-language", lang)]
    if token is not None:
        headers.append((b"authorization", b"Bearer " + token.encode()))
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "scheme": "http",
        "query_string": query,
        "headers": headers,
        "server": ("127.0.0.1", 1),
    }
    await app(scope, receive, send)
    data = b"".join(one.get("body", b"") for one in sent[1:])
    return sent[0]["status"], dict(sent[0]["headers"]), data


def routes(app):
    return [
        (method, route.path)
        for route in app.routes
        for method in sorted(route.methods - {"HEAD"})
        if route.path not in OPEN
    ]


def filled(path):
    """A path with something in the place of each parameter."""
    return "/".join("0" * 32 if part.startswith("{") else part for part in path.split("/"))


@pytest.mark.parametrize("token", [None, "", "wrong", TOKEN + "x", TOKEN[:-1], "ä"])
def test_no_route_answers_without_the_token(token):
    @simulated
    async def scene():
        async with Town.found(1) as town:
            app = node_app(town.node(A), TOKEN)
            assert len(routes(app)) >= 18
            for method, path in routes(app):
                status, headers, data = await ask(app, method, filled(path), token=token)
                assert (status, path) == (403, path)
                assert headers[b"content-type"] == b"application/problem+json"
                assert json.loads(data)["type"] == "urn:concura:error:member"

    scene()


def problem(status, headers, data):
    assert 400 <= status < 500, data
    assert headers[b"content-type"] == b"application/problem+json"
    found = json.loads(data)
    assert {"type", "title", "status", "hint", "why", "values"} == found.keys()
    assert found["status"] == status
    assert "Traceback" not in data.decode()
    return found


BAD = [
    b"{",
    b"[]",
    b"7",
    b"\xff\xfe",
    b"[" * 100_000,
    b'{"a":NaN}',
    b'{"settings":{"l2":1e999},"features":{},"participants":[]}',
    b'{"number":"\\ud800","reader":"b","purpose":"treatment"}',
    b'{"hospital":7}',
    b'{"hospital":"nowhere"}',
    b'{"hospital":"hospital-a","folder":"a\\u0000b"}',
    b'{"hospital":"hospital-a","folder":7}',
    b'{"hospital":"hospital-a","folder":"/nowhere/at/all"}',
    b'{"hospital":"hospital-a","folder":"/nowhere","mapping":7}',
    b'{"number":"","who":"x"}',
    b'{"number":"A-1","who":"' + b"x" * 500 + b'"}',
    b'{"number":7,"reader":"b","purpose":"x"}',
    b'{"number":"A-0001","reader":"nobody","purpose":"x"}',
    b'{"consent":"x"}',
    b'{"consent":["x"]}',
    b'{"holder":"nobody","system":"s","value":"v","purpose":"treatment"}',
    b'{"holder":"hospital-a","system":"s","value":"v","purpose":"treatment"}',
    b'{"settings":{},"features":{},"participants":["a"]}',
    b'{"settings":[],"features":{},"participants":[]}',
    b'{"settings":{},"features":[],"participants":"abc"}',
    b'{"height":"x"}',
    b'{"height":1.5}',
    b'{"height":null}',
]


@pytest.mark.parametrize("body", BAD, ids=range(len(BAD)))
def test_a_bad_body_is_answered_by_a_problem(body):
    @simulated
    async def scene():
        async with Town.found(1) as town:
            app = node_app(town.node(A), TOKEN)
            for path in ("/collect", "/consents", "/consents/revoke", "/transfers", "/studies"):
                if path == "/collect" and b'"hospital"' not in body and body[:1] == b"{":
                    continue  # what it does not ask for is left alone
                problem(*await ask(app, "POST", path, body))
            found = await ask(app, "POST", "/models/" + "0" * 64 + "/decisions", body)
            problem(*found)
            if b"height" in body:
                problem(*await ask(app, "POST", "/final", body))

    scene()


@pytest.mark.parametrize(
    "query", [b"wait=x", b"wait=nan", b"wait=", b"after=x", b"after=" + b"9" * 5_000]
)
def test_a_bad_query_is_answered_by_a_problem(query):
    @simulated
    async def scene():
        async with Town.found(1) as town:
            app = node_app(town.node(A), TOKEN)
            problem(*await ask(app, "GET", "/studies/x/events", query=query))

    scene()


@simulated
async def test_unknown_things_are_not_found_and_the_answer_is_in_the_callers_language():
    async with Town.found(1) as town:
        app = node_app(town.node(A), TOKEN)
        for path in ("/nowhere", "/proofs/x", "/members/x"):
            method = "POST" if path == "/members/x" else "GET"
            found = problem(*await ask(app, method, path))
            assert found["status"] == 404
        chinese = problem(*await ask(app, "GET", "/proofs/x", lang=b"zh-CN,zh;q=0.9"))
        assert any("\u4e00" <= letter <= "\u9fff" for letter in chinese["title"])
        assert problem(*await ask(app, "DELETE", "/status"))["status"] == 405
        assert problem(*await ask(app, "GET", "/models/x"))["type"].endswith("model")
        problem(*await ask(app, "GET", "/models/x/highest"))
        problem(*await ask(app, "GET", "/directory/x"))


@simulated
async def test_a_consent_a_transfer_and_a_revocation_go_through_the_api():
    async with Town.found(3) as town:
        await town.collect(A, 1)
        app_a, app_b = node_app(town.node(A), TOKEN), node_app(town.node(B), TOKEN)
        identifier = patients_of(A, 1)[0][0]["identifier"][0]

        async def done(app, method, path, body=None, query=b""):
            data = b"" if body is None else json.dumps(body).encode()
            status, _, answer = await ask(app, method, path, data, query=query)
            assert status in {200, 204}, answer
            return json.loads(answer or b"{}")

        wish = {
            "holder": A,
            "system": identifier["system"],
            "value": identifier["value"],
            "purpose": "treatment",
        }
        grant = {"number": identifier["value"], "reader": B, "purpose": "treatment"}
        consent = (await done(app_a, "POST", "/consents", grant))["consent"]
        await town.agree()
        transfer = (await done(app_b, "POST", "/transfers", wish))["transfer"]
        found = await done(app_b, "GET", f"/transfers/{transfer}", query=b"wait=30")
        assert found["status"] == "acknowledged"
        await done(app_a, "POST", "/consents/revoke", {"consent": consent})
        final = await done(app_a, "POST", "/final", {"entry": "0" * 64}, query=b"wait=5")
        assert final["is_final"] is True
        assert (await done(app_a, "GET", "/checkpoint"))["note"].startswith("concura/")
        assert (await done(app_a, "GET", "/models")) == {"models": []}
        assert (await done(app_a, "POST", "/consents/research"))["consents"] == 1
        assert (await done(app_b, "GET", "/status"))["patients"] == 1
        assert (await done(app_a, "GET", f"/directory/{B}"))["member"] == B
        status, _, data = await ask(app_a, "GET", "/metrics", token=None)
        assert (status, b"concura_node_height" in data) == (200, True)
        status, _, data = await ask(app_a, "GET", "/healthz", token=None)
        assert json.loads(data)["ready"] is True

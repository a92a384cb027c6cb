"""The hub's API and the node's side of it over real TLS on loopback, with real certificates."""

import asyncio
import contextlib
import ssl
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from concura.adapters import certificates as tls
from concura.adapters.http_hub import HttpHub, error_of
from concura.adapters.system import SystemClock
from concura.canonical import decode, encode
from concura.errors import (
    AccessRefused,
    ChainInvalid,
    ConcuraError,
    EntryRefused,
    EnvelopeRefused,
    HubUnreachable,
    NotFound,
    NotMember,
    ReplyInvalid,
    StudyRefused,
    UsageInvalid,
)
from concura.hospital import apply
from concura.hub import Platform
from concura.ledger import (
    Entry,
    Genesis,
    decode_block,
    decode_receipt,
    founding_message,
    message,
    parse_note,
    sign_entry,
)
from concura.sealing import fingerprint
from concura.testing.ledgers import party
from concura.testing.stores import InlineMiner, MemoryHubStore
from concura.testing.town import HUB_KEY, Counted, key_store
from concura.web.hub_api import hub_app
from concura.web.serving import bind, serve

A, B, C, E = "hospital-a", "hospital-b", "hospital-c", "hospital-e"


def der(pem):
    return ssl.PEM_cert_to_DER_cert(pem.decode())


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """Folders with a certificate authority and a certificate of each party."""
    now = datetime.fromtimestamp(SystemClock().now_ms() / 1000, UTC)
    found = {}
    for name in ("hub", A, B, C, E, "stranger"):
        found[name] = tmp_path_factory.mktemp(name)
        tls.create_authority(found[name], name, now=now)
        tls.issue(found[name], names=["127.0.0.1", "localhost"], now=now)
    return found


def card(places, member):
    folder = places[member]
    return replace(
        party(member).card,
        tls=tls.tls_fingerprint(tls.certificate(folder)),
        authority=der(tls.authority(folder)),
    )


class Served:
    """A hub that serves on a port of its own, and its callers."""

    def __init__(self, places):
        self.places = places
        now = SystemClock().now_ms() - 5_000
        self.genesis = Genesis(
            name="Over TLS",
            created_ms=now,
            difficulty_bits=2,
            quorum=3,
            hub_name="hub",
            hub_witness=HUB_KEY.public_key().public_bytes_raw(),
            hub_authority=der(tls.authority(places["hub"])),
            founders=tuple(card(places, m) for m in (A, B, C)),
        )
        self.context = tls.server_context(places["hub"])
        for one in self.genesis.founders:
            self.let_in(one.authority)
        self.platform = Platform(
            self.genesis,
            store=MemoryHubStore(),
            clock=SystemClock(),
            miner=InlineMiner(),
            signer=HUB_KEY.sign,
            interval_ms=20,
            on_authority=self.let_in,
        )

    def let_in(self, authority):
        tls.add_authority(self.context, ssl.DER_cert_to_PEM_cert(authority).encode())

    def hub(self, name, *, presents=True):
        authority = tls.authority(self.places["hub"])
        context = tls.client_context(self.places[name], authority, presents=presents)
        found = HttpHub(self.url, context)
        self.open.append(found)
        return found

    async def __aenter__(self):
        self.open, self.stop = [], asyncio.Event()
        listener = bind("127.0.0.1", 0)
        self.url = f"https://127.0.0.1:{listener.getsockname()[1]}"
        app = hub_app(self.platform)
        self.tasks = [
            asyncio.ensure_future(self.platform.run()),
            asyncio.ensure_future(
                serve(
                    app,
                    listener,
                    context=self.context,
                    stopping=self.platform.close,
                    stop=self.stop,
                )
            ),
        ]
        hub = self.hub("stranger", presents=False)
        for member in (A, B, C):
            signature = key_store(member).sign(founding_message(self.genesis.chain))
            await hub.found(member, signature)
        while not self.platform.status()["ready"]:
            await self.platform.founded.wait(0.05)
        return self

    async def __aexit__(self, *_):
        for one in self.open:
            await one.close()
        self.stop.set()
        await self.tasks[1]
        self.tasks[0].cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.tasks[0]


def over_tls(scene):
    def over_the_wire(places):
        async def run():
            async with Served(places) as served:
                await asyncio.wait_for(scene(served), 20.0)

        asyncio.run(run())

    over_the_wire.__name__ = scene.__name__
    return over_the_wire


def entry(served, author, kind="access.anchor", body=None):
    one = Entry(
        chain=served.genesis.chain,
        type=kind,
        author=author,
        time_ms=SystemClock().now_ms(),
        nonce="0" * 32,
        body=body or {"root": "0" * 64, "size": 1},
    )
    keys = key_store(author)
    return sign_entry(one, fingerprint(keys.public("sign")), keys.sign(message(one)))


@over_tls
async def test_every_call_of_the_port_crosses_the_wire(served):
    hub = served.hub(A)
    assert decode(await hub.genesis())["signatures"].keys() == {A, B, C}
    data = entry(served, A)
    (receipt,) = await hub.submit([data])
    assert decode_receipt(receipt).position == 0
    blocks = await hub.blocks(0, wait_s=0.0)
    while len(blocks) < 2:
        blocks += await hub.blocks(len(blocks), wait_s=5.0)
    assert decode_block(blocks[1]).entries == (data,)
    assert parse_note(await hub.checkpoint()).lines[0].name == "hub"
    assert decode(await hub.card(B)) == card(served.places, B).to_json()
    assert await hub.mail(0, wait_s=0.0) == []
    await hub.cosign(77, b"of another head")


@over_tls
async def test_every_refusal_comes_back_as_the_error_that_it_was(served):
    hub = served.hub(A)
    study, transfer = "0" * 32, "0" * 32
    for call, error in [
        (hub.submit([entry(served, B)]), NotMember),
        (hub.submit([b"{}"]), EntryRefused),
        (hub.submit([entry(served, A, body={"root": "x", "size": 1})]), EntryRefused),
        (hub.card("hospital-z"), NotFound),
        (hub.delete_mail(7), NotFound),
        (hub.send(B, "letter", transfer, b""), UsageInvalid),
        (hub.send(B, "request", transfer, b"x"), EnvelopeRefused),
        (hub.contribute(study, "keys", b""), StudyRefused),
        (hub.task(study, wait_s=0.0), StudyRefused),
        (hub.put_task(study, b""), StudyRefused),
        (hub.mask_keys(study, wait_s=0.0), StudyRefused),
        (hub.total(study, "counts", wait_s=0.0), StudyRefused),
        (hub.found(A, b"wrong"), NotMember),
        (hub.blocks(0, wait_s=61.0), UsageInvalid),
        (hub.blocks(-1, wait_s=0.0), UsageInvalid),
        (hub.mail("x", wait_s=0.0), UsageInvalid),
        (hub.cosign(1, b"\xff"), ChainInvalid),
        (hub._ask("GET", "/nowhere"), NotFound),
        (hub._ask("DELETE", "/genesis"), UsageInvalid),
        (hub._ask("POST", "/entries", content=b"[]"), UsageInvalid),
        (hub._ask("POST", "/entries", content=b'{"entries":[7]}'), UsageInvalid),
        (hub._ask("POST", "/entries", content=b"[" * 100_000), UsageInvalid),
    ]:
        with pytest.raises(ConcuraError) as caught:
            await call
        assert type(caught.value) is error
        assert caught.value.message("zh")
        assert caught.value.hint()


@over_tls
async def test_callers_without_a_members_key_are_nobody(served):
    assert AccessRefused is not NotMember
    hub = served.hub("stranger", presents=False)
    assert await hub.genesis()
    for call in (hub.checkpoint, lambda: hub.mail(0, wait_s=0.0)):
        with pytest.raises(NotMember):
            await call()
    # An authority that no member has: refused before a word is spoken.
    with pytest.raises(HubUnreachable):
        await served.hub("stranger").genesis()


@over_tls
async def test_an_applicants_authority_is_let_in_and_its_key_counts_after_admission(served):
    late = card(served.places, E)
    with pytest.raises(HubUnreachable):
        await served.hub(E).checkpoint()
    unknown = served.hub(E, presents=False)
    await apply(
        late,
        served.genesis,
        hub=unknown,
        keys=key_store(E),
        clock=SystemClock(),
        randomness=Counted(E),
    )
    hub = served.hub(E)
    assert await hub.checkpoint()
    with pytest.raises(NotMember):
        await hub.mail(0, wait_s=0.0)
    vote = {"member": E, "card_digest": late.digest}
    for member in (A, B, C):
        await served.hub(member).submit([entry(served, member, "member.admit", vote)])
    assert await hub.mail(0, wait_s=0.0) == []
    assert decode(await hub.card(E)) == late.to_json()


@over_tls
async def test_a_body_that_is_too_large_is_refused_and_the_next_request_served(served):
    hub = served.hub(A)
    with pytest.raises((UsageInvalid, HubUnreachable)):
        await hub.cosign(1, bytes(2_000_000))
    with pytest.raises(UsageInvalid):
        await hub.cosign(1, bytes(4_097))
    assert await hub.checkpoint()


@over_tls
async def test_a_slow_caller_holds_nobody_up(served):
    host, port = served.url.removeprefix("https://").split(":")
    authority = tls.authority(served.places["hub"])
    context = tls.client_context(served.places[A], authority)
    _, writer = await asyncio.open_connection(host, int(port), ssl=context)
    writer.write(b"POST /entries HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{")
    await writer.drain()
    assert await served.hub(B).checkpoint()
    writer.close()
    with contextlib.suppress(ConnectionError, ssl.SSLError):
        await writer.wait_closed()


@over_tls
async def test_a_hub_that_ends_is_unreachable_and_a_long_poll_ends_with_it(served):
    hub = served.hub(A)
    waiting = asyncio.ensure_future(hub.mail(0, wait_s=30.0))
    await hub.checkpoint()
    served.stop.set()
    await served.tasks[1]
    with contextlib.suppress(HubUnreachable):
        assert await waiting == []
    with pytest.raises(HubUnreachable):
        await hub.checkpoint()


@over_tls
async def test_a_hub_of_another_authority_is_not_spoken_to(served):
    context = tls.client_context(served.places[A], tls.authority(served.places[B]))
    hub = HttpHub(served.url, context)
    with pytest.raises(HubUnreachable):
        await hub.genesis()
    await hub.close()


@over_tls
async def test_health_and_metrics_say_counts_only(served):
    hub = served.hub(A)
    health = await hub._ask_json("GET", "/healthz")
    assert health["ready"] is True
    assert health["chain"] == served.genesis.chain
    metrics = (await hub._ask("GET", "/metrics")).decode()
    assert "concura_hub_height 0" in metrics


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b"{}",
        b'{"type":"urn:concura:error:nothing","why":"","values":{}}',
        b'{"type":"urn:concura:error:member","why":"","values":[]}',
        b'{"type":"urn:concura:error:member","why":"","values":{}}',
        b'{"type":"urn:concura:error:member","why":"","values":{"why":1}}',
    ],
)
def test_an_answer_that_is_no_problem_of_ours_is_an_invalid_reply(body):
    assert isinstance(error_of(body, "hub"), ReplyInvalid)


def test_a_problem_is_read_back_with_its_values():
    values = {"rule": "consent.expired", "detail": "transfer.offer"}
    body = encode({"type": "urn:concura:error:entry", "why": "consent.expired", "values": values})
    found = error_of(body, "hub")
    assert type(found) is EntryRefused
    assert (found.why, found.values) == ("consent.expired", values)

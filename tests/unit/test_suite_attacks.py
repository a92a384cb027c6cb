"""Attacks on sealed records, one test each: what the attacker holds, what is tried, what stops it.

Marlin (m) is a member with keys of its own and reads along; alice (a) sends, bob (b) receives.
"""

import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from concura import sealing
from concura.adapters.keys_file import FileKeyStore
from concura.adapters.keys_pq import PqKeyFile
from concura.adapters.keys_sm import SmKeyStore
from concura.canonical import b64decode, b64encode, encode
from concura.errors import EnvelopeRefused
from concura.sealing import AES, SM, suite_named
from concura.sealing.envelope import commitment
from concura.sealing.form import Sealed, Wrap, header_of
from concura.sealing.refusal import STEPS

KEYS = Path(__file__).parents[1] / "vectors" / "envelope"
IV, SALT = bytes(12), bytes(range(32))
BODY = b'{"resourceType":"Patient"}'
TRANSFER, CONSENT = "0f" * 16, "cd" * 16
LEDGER = {
    "chain": "ab" * 32,
    "transfer": TRANSFER,
    "consent": CONSENT,
    "purpose": "TREAT",
    "sender": "alice",
}
BOTH = pytest.mark.parametrize("suite", [AES, SM], ids=["aes", "sm"])


@cache
def rsa(name):
    return load_pem_private_key((KEYS / f"{name}.pem").read_bytes(), None)


@cache
def _store(name, is_sm):
    if is_sm:
        first = {"a": 11, "b": 22, "m": 33}[name]
        numbers = tuple(number.to_bytes(32, "big") for number in (first, first + 1))
        return SmKeyStore(numbers, _store(name, False))
    keys = {"a": ("sender", "stranger"), "b": ("reader", "reader"), "m": ("stranger", "stranger")}
    sign, wrap = (rsa(one) for one in keys[name])
    return FileKeyStore(sign=sign, wrap=wrap, witness=Ed25519PrivateKey.generate(), root=bytes(32))


def store(name, suite):
    """The keys of alice, bob or marlin; three RSA keys serve them all in the AES suite."""
    return _store(name, suite.name == "sm")


def wrap_key(name, suite):
    return store(name, suite).public("wrap")


def content_key(suite):
    return bytes(range(suite.key_bytes))


def context_for(publics, **changes):
    prints = tuple(sealing.fingerprint(public) for public in publics)
    return sealing.Context(**(LEDGER | {"recipients": prints, "checkpoint": ""} | changes))


def make(suite, *publics, **changes):
    """Alice seals a record; to bob, unless to other keys."""
    publics = publics or (wrap_key("b", suite),)
    context = context_for(publics, **changes)
    message = sealing.signing_input(context, BODY, media_type="a/b", salt=SALT, suite=suite)
    return sealing.seal(
        message,
        store("a", suite).sign(message),
        context=context,
        salt=SALT,
        recipients=publics,
        content_key=content_key(suite),
        iv=IV,
        suite=suite,
    )


def forge(suite, compact, *publics, aad, protected=None):
    """Write an envelope by hand, past every check of `seal`, as any program could."""
    key = content_key(suite)
    commit = b64encode(commitment(key, suite=suite))
    front = protected or encode({**header_of(suite), "commit": commit})
    associated = f"{b64encode(front)}.{b64encode(aad)}".encode()
    both = suite.aead(key).encrypt(IV, compact, associated)
    sealed = Sealed(front, aad, IV, both[:-16], both[-16:], (), suite)
    wraps = [
        Wrap(
            sealing.fingerprint(public),
            sealing.wrap_content_key(public, key, suite=suite),
            suite.wrappings[0].name,
        )
        for public in publics
    ]
    return replace(sealed, wraps=tuple(wraps)).encoded()


def inside(data, suite):
    """What a reader holds after opening: the outside, the statement, its compact bytes."""
    sealed = sealing.parse(data, suite=suite)
    statement = sealing.unseal(sealed, content_key(suite)).statement
    compact = statement.signing_input + b"." + b64encode(statement.signature).encode()
    return sealed, statement, compact


def open_as(name, data, suite, *, digest=None, **ledger):
    """Bob's whole way, with what the ledger says as arguments."""
    sealed = sealing.parse(data, suite=suite)
    sealing.check_digest(sealed, digest or sealed.digest)
    me = sealing.fingerprint(wrap_key(name, suite))
    opened = sealing.unseal(sealed, store(name, suite).unwrap(sealed.encrypted_key(me)))
    record = sealing.verify(opened, sender_public=store("a", suite).public("sign"))
    sealing.check_context(record, **(LEDGER | ledger))
    sealing.check_recipient(record, me)
    return record.body


def refused(call, *args, **kwargs):
    with pytest.raises(EnvelopeRefused) as caught:
        call(*args, **kwargs)
    assert caught.value.values["step"] == STEPS[caught.value.why]
    return caught.value.why


# Another algorithm --------------------------------------------------------------------------------


@BOTH
def test_a_record_cannot_be_talked_down_to_another_algorithm(suite):
    """The hub rewrites names of algorithms: outside, in the wraps, and with the other suite's."""
    data = make(suite)
    value = json.loads(data)
    head = json.loads(b64decode(value["protected"]))
    other = SM if suite is AES else AES

    for name in (other.cipher, "A128GCM", "A256CBC-HS512", "none", "", None, 1):
        bent = value | {"protected": b64encode(encode(head | {"enc": name}))}
        assert refused(open_as, "b", encode(bent), suite) == "header"
    for name in (other.wrappings[0].name, "RSA-OAEP", "RSA1_5", "dir", "A256KW", "", None, []):
        wrap = {"encrypted_key": value["recipients"][0]["encrypted_key"]}
        wrap["header"] = value["recipients"][0]["header"] | {"alg": name}
        assert refused(open_as, "b", encode(value | {"recipients": [wrap]}), suite) == "header"
    assert refused(sealing.parse, data, suite=other) == "header"


@BOTH
def test_a_member_cannot_sign_in_another_way_than_the_suite_says(suite):
    """Alice herself seals a statement whose header names another algorithm."""
    other = SM if suite is AES else AES
    sealed, _, _ = inside(make(suite), suite)
    context = context_for([wrap_key("b", suite)])
    message = sealing.signing_input(context, BODY, media_type="a/b", salt=SALT, suite=other)

    for signs in (suite, other):
        signature = b64encode(store("a", signs).sign(message)).encode()
        data = forge(suite, message + b"." + signature, wrap_key("b", suite), aad=sealed.aad)
        assert refused(open_as, "b", data, suite) == "content"


def test_where_post_quantum_readers_are_required_no_rsa_wrap_can_be_put_beside_them():
    """Somebody who has the content key passes the record on to an RSA key."""
    required = suite_named("aes", pq="required")
    data = make(required, PqKeyFile(bytes(32)).public_pq())
    sealed = sealing.parse(data, suite=required)
    bob = wrap_key("b", AES)

    lax = sealing.add_recipient(sealing.parse(data), content_key(AES), bob)

    assert refused(sealing.add_recipient, sealed, content_key(AES), bob) == "policy"
    assert refused(sealing.parse, lax, suite=required) == "policy"
    assert refused(make, required, bob) == "policy"


# Two plaintexts under one digest ------------------------------------------------------------------


def times(x, y):
    """Multiply in the field of GCM (NIST SP 800-38D §6.3)."""
    product = 0
    for bit in range(127, -1, -1):
        if y >> bit & 1:
            product ^= x
        x = x >> 1 ^ (0xE1 << 120 if x & 1 else 0)
    return product


def power(x, exponent):
    result = 1 << 127
    while exponent:
        if exponent & 1:
            result = times(result, x)
        x, exponent = times(x, x), exponent >> 1
    return result


def padded(data):
    return data + bytes(-len(data) % 16)


def ghash(h, blocks):
    value = 0
    for start in range(0, len(blocks), 16):
        value = times(value ^ int.from_bytes(blocks[start : start + 16], "big"), h)
    return value


def salamander(keys, iv, associated, ciphertext):
    """Bend the last block of a ciphertext so that one tag verifies under two keys.

    After Dodis, Grubbs, Ristenpart, Woodage: Fast Message Franking (2018), section 4.
    """
    blocks = [Cipher(algorithms.AES(key), modes.ECB()).encryptor() for key in keys]
    h1, h2 = (int.from_bytes(block.update(bytes(16)), "big") for block in blocks)
    e1, e2 = (int.from_bytes(block.update(iv + b"\0\0\0\x01"), "big") for block in blocks)
    lengths = (len(associated) * 8).to_bytes(8, "big") + (len(ciphertext) * 8).to_bytes(8, "big")
    rest = padded(associated) + ciphertext[:-16] + bytes(16) + lengths
    # The last block stands two multiplications before the end.
    gap = ghash(h1, rest) ^ ghash(h2, rest) ^ e1 ^ e2
    block = times(gap, power(times(h1, h1) ^ times(h2, h2), 2**128 - 2))
    bent = ciphertext[:-16] + block.to_bytes(16, "big")
    tag = ghash(h1, padded(associated) + bent + lengths) ^ e1
    return bent, tag.to_bytes(16, "big")


def test_two_plaintexts_under_one_digest_are_stopped_by_the_commitment():
    """Alice makes one ciphertext that opens for bob and for marlin, to two plaintexts."""
    sealed = sealing.parse(make(AES))
    keys = (content_key(AES), bytes(32))
    associated = f"{b64encode(sealed.protected)}.{b64encode(sealed.aad)}".encode()
    text = sealed.ciphertext[: len(sealed.ciphertext) // 16 * 16]
    bent, tag = salamander(keys, IV, associated, text)
    both = replace(sealed, ciphertext=bent, tag=tag)

    # GCM alone is content with either key, and the digest on the ledger is one.
    first, second = (AESGCM(key).decrypt(IV, bent + tag, associated) for key in keys)

    assert first != second
    assert refused(sealing.unseal, both, keys[1]) == "commitment"
    assert refused(sealing.unseal, both, keys[0]) == "content"


@BOTH
def test_who_opens_other_bytes_than_those_on_the_ledger_is_told(suite):
    data = make(suite)
    other = make(suite, checkpoint="later")
    digest = sealing.parse(data, suite=suite).digest

    assert open_as("b", data, suite, digest=digest) == BODY
    assert refused(open_as, "b", other, suite, digest=digest) == "digest"


# Another reader, another transfer -----------------------------------------------------------------


@BOTH
def test_a_statement_that_is_forwarded_in_a_new_envelope_is_refused(suite):
    """Surreptitious forwarding: bob puts alice's statement into an envelope to marlin."""
    sealed, _, compact = inside(make(suite), suite)
    bob, marlin = wrap_key("b", suite), wrap_key("m", suite)

    alone = forge(suite, compact, marlin, aad=sealed.aad)
    beside = forge(suite, compact, bob, marlin, aad=sealed.aad)

    assert refused(open_as, "m", alone, suite) == "entries"
    assert refused(open_as, "m", beside, suite) == "recipient"
    assert open_as("b", beside, suite) == BODY


@BOTH
def test_a_statement_cannot_be_put_under_another_transfer(suite):
    """Bob writes another transfer outside, with the old binding and with one of his own."""
    sealed, _, compact = inside(make(suite), suite)
    bob, other = wrap_key("b", suite), "ee" * 16
    moved = context_for([bob], transfer=other)
    outside = json.loads(sealed.aad) | {"transfer": other}
    fresh = outside | {"binding": suite.digest(SALT + moved.encoded()).hex()}

    for aad in (outside, fresh):
        data = forge(suite, compact, bob, aad=encode(aad))
        assert refused(open_as, "b", data, suite, transfer=other) == "binding"
    bent = encode(json.loads(make(suite)) | {"aad": b64encode(encode(outside))})
    assert refused(open_as, "b", bent, suite, transfer=other) == "decryption"


@BOTH
def test_a_record_cannot_be_replayed_under_another_transfer_or_consent(suite):
    """The hub delivers yesterday's record as the answer to today's request."""
    data = make(suite)

    assert open_as("b", data, suite) == BODY
    for field in LEDGER:
        value = "ee" * 16
        assert refused(open_as, "b", data, suite, **{field: value}) == "context"


@BOTH
def test_a_substituted_recipient_key_is_not_sealed_to(suite):
    """The directory shows marlin's key for bob; the ledger, and so the context, has bob's."""
    context = context_for([wrap_key("b", suite)])
    message = sealing.signing_input(context, BODY, media_type="a/b", salt=SALT, suite=suite)
    parts = {"context": context, "salt": SALT, "iv": IV, "suite": suite}

    why = refused(
        sealing.seal,
        message,
        store("a", suite).sign(message),
        recipients=[wrap_key("m", suite)],
        content_key=content_key(suite),
        **parts,
    )

    assert why == "parts"


@BOTH
def test_a_substituted_wrap_opens_nothing(suite):
    """The hub swaps names and wrapped keys between two envelopes and two readers."""
    bob, marlin = wrap_key("b", suite), wrap_key("m", suite)
    value = json.loads(make(suite, bob, marlin))
    first, second = value["recipients"]
    swapped = [
        {"header": first["header"], "encrypted_key": second["encrypted_key"]},
        {"header": second["header"], "encrypted_key": first["encrypted_key"]},
    ]
    strange = sealing.wrap_content_key(bob, bytes(suite.key_bytes), suite=suite)
    planted = [{"header": first["header"], "encrypted_key": b64encode(strange)}, second]

    for wraps, why in (
        (swapped, "wrap"),
        (planted, "commitment"),
        ([second], "reader"),
        ([second, first], "entries"),
        ([first], "entries"),
    ):
        data = encode(value | {"recipients": wraps})
        assert refused(open_as, "b", data, suite) == why


# The signature ------------------------------------------------------------------------------------


@BOTH
def test_a_stripped_or_replaced_signature_is_refused(suite):
    """Marlin can read the record, and seals it anew: unsigned, or signed with marlin's own key."""
    sealed, statement, _ = inside(make(suite), suite)
    message, bob = statement.signing_input, wrap_key("b", suite)
    other = store("a", suite).sign(b"another message")

    for signature in (b"", bytes(64), other, store("m", suite).sign(message)):
        compact = message + b"." + b64encode(signature).encode()
        data = forge(suite, compact, bob, aad=sealed.aad)
        assert refused(open_as, "b", data, suite) == "signature"
        assert refused(open_as, "b", data, suite, digest=sealed.digest) == "digest"


@BOTH
def test_every_changed_bit_of_a_record_is_refused_in_every_suite(suite):
    data = make(suite)
    me = sealing.fingerprint(wrap_key("b", suite))
    key = content_key(suite)
    public = store("a", suite).public("sign")
    wrapped = sealing.parse(data, suite=suite).encrypted_key(me)

    for position in range(len(data) * 8):
        changed = bytearray(data)
        changed[position // 8] ^= 1 << position % 8
        try:
            found = sealing.parse(bytes(changed), suite=suite)
            # Opening each changed wrap is the other tests' part: here it is refused as a whole.
            if found.encrypted_key(me) != wrapped:
                continue
            sealing.verify(sealing.unseal(found, key), sender_public=public)
        except EnvelopeRefused:
            continue
        pytest.fail(f"bit {position} was changed unseen")

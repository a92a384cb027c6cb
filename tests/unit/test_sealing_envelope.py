"""The sealed record: what opens, what is refused, and what other libraries make of it."""

import json
import subprocess
from dataclasses import replace
from functools import cache
from pathlib import Path

import joserfc.jwe
import joserfc.jwk
import joserfc.jws
import jwcrypto.jwe
import jwcrypto.jwk
import jwcrypto.jws
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from concura import sealing
from concura.adapters.keys_file import FileKeyStore
from concura.canonical import b64decode, b64encode, encode
from concura.data.words import WORDS
from concura.errors import LANGUAGES, EnvelopeRefused
from concura.limits import ENVELOPE_MAX_BYTES, RECIPIENTS_MAX
from concura.sealing.content import binding
from concura.sealing.refusal import STEPS, refused

KEYS = Path(__file__).parents[1] / "vectors" / "envelope"
CONTENT_KEY, IV, SALT = bytes(range(32)), bytes(12), bytes(range(32))
BODY = b'{"resourceType":"Patient"}'
TRANSFER = "0f" * 16


@cache
def private(name):
    return load_pem_private_key((KEYS / f"{name}.pem").read_bytes(), None)


@cache
def store(name):
    """A key store; its two RSA keys are (sign, wrap)."""
    names = {"a": ("sender", "stranger"), "b": ("sender", "reader"), "c": ("sender", "stranger")}
    sign, wrap = names[name]
    return FileKeyStore(
        sign=private(sign), wrap=private(wrap), witness=Ed25519PrivateKey.generate(), root=bytes(32)
    )


def wrap_of(name):
    return store(name).public("wrap")


def me(name):
    return sealing.fingerprint(wrap_of(name))


def context_for(*names, **changes):
    values = {
        "chain": "ab" * 32,
        "transfer": TRANSFER,
        "consent": "cd" * 16,
        "purpose": "TREAT",
        "sender": "a",
        "recipients": tuple(me(n) for n in names),
        "checkpoint": "",
    }
    return sealing.Context(**(values | changes))


def sealed_for(*names, body=BODY, **changes):
    context = context_for(*names, **changes)
    message = sealing.signing_input(context, body, media_type="application/fhir+json", salt=SALT)
    return sealing.seal(
        message,
        store("a").sign(message),
        context=context,
        salt=SALT,
        recipients=[wrap_of(n) for n in names],
        content_key=CONTENT_KEY,
        iv=IV,
    )


def open_as(name, data):
    sealed = sealing.parse(data)
    content_key = store(name).unwrap(sealed.encrypted_key(me(name)))
    opened = sealing.unseal(sealed, content_key)
    return sealing.verify(opened, sender_public=store("a").public("sign"))


def why(call, *args, **kwargs):
    with pytest.raises(EnvelopeRefused) as caught:
        call(*args, **kwargs)
    for lang in LANGUAGES:
        assert caught.value.message(lang)
        assert caught.value.hint(lang)
    return caught.value.why


def test_a_reader_gets_back_what_was_sealed():
    record = open_as("b", sealed_for("b"))

    assert record == sealing.Record(context_for("b"), "application/fhir+json", BODY)


def test_each_of_several_readers_can_open_it():
    data = sealed_for("b", "c")

    assert open_as("b", data) == open_as("c", data)


def test_nothing_about_patient_or_purpose_is_readable_outside():
    value = json.loads(sealed_for("b", body="王小明".encode(), purpose="OUTBREAK"))

    readable = b64decode(value["protected"]) + b64decode(value["aad"])
    assert b"OUTBREAK" not in readable
    assert json.loads(b64decode(value["aad"])).keys() == {"binding", "transfer", "v"}


def test_equal_contexts_look_unlike_outside_because_of_the_salt():
    assert binding(context_for("b"), SALT) != binding(context_for("b"), bytes(32))


def test_the_ledger_digest_leaves_the_recipients_out():
    data = sealed_for("b")
    sealed = sealing.parse(data)

    wider = sealing.parse(sealing.add_recipient(sealed, CONTENT_KEY, wrap_of("c")))

    assert wider.digest == sealed.digest
    assert wider.transfer == sealed.transfer == TRANSFER
    sealing.check_digest(wider, sealed.digest)
    assert why(sealing.check_digest, wider, "00" * 32) == "digest"


def test_a_passed_on_record_opens_but_is_known_as_passed_on():
    data = sealing.add_recipient(sealing.parse(sealed_for("b")), CONTENT_KEY, wrap_of("c"))

    record = open_as("c", data)

    assert record.body == BODY
    assert why(sealing.check_recipient, record, me("c")) == "recipient"
    sealing.check_recipient(record, me("b"))


def test_only_who_has_the_content_key_can_add_a_reader():
    sealed = sealing.parse(sealed_for("b"))

    assert why(sealing.add_recipient, sealed, bytes(32), wrap_of("c")) == "commitment"
    assert why(sealing.add_recipient, sealed, bytes(31), wrap_of("c")) == "commitment"
    assert why(sealing.add_recipient, sealed, CONTENT_KEY, wrap_of("b")) == "recipients"


def test_no_more_readers_than_the_limit_can_be_added():
    sealed = sealing.parse(sealed_for("b"))
    wraps = tuple(sealing.Wrap(f"{n:064x}", bytes(384)) for n in range(RECIPIENTS_MAX))

    full = replace(sealed, wraps=wraps)

    assert why(sealing.add_recipient, full, CONTENT_KEY, wrap_of("c")) == "recipients"


def test_a_reader_cannot_pass_a_signed_statement_into_another_envelope():
    """Surreptitious forwarding: B opens A's statement and seals it anew to C."""
    opened = sealing.unseal(sealing.parse(sealed_for("b")), CONTENT_KEY)
    statement = opened.statement
    forged = context_for("c")

    assert (
        why(
            sealing.seal,
            statement.signing_input,
            statement.signature,
            context=forged,
            salt=SALT,
            recipients=[wrap_of("c")],
            content_key=CONTENT_KEY,
            iv=IV,
        )
        == "parts"
    )


def test_a_record_is_refused_when_the_ledger_says_otherwise():
    record = open_as("b", sealed_for("b"))
    ledger = {
        "chain": "ab" * 32,
        "transfer": TRANSFER,
        "consent": "cd" * 16,
        "purpose": "TREAT",
        "sender": "a",
    }

    sealing.check_context(record, **ledger)
    for field in ledger:
        assert why(sealing.check_context, record, **(ledger | {field: "other"})) == "context"


def test_a_member_signing_as_another_is_refused():
    opened = sealing.unseal(sealing.parse(sealed_for("b")), CONTENT_KEY)

    assert why(sealing.verify, opened, sender_public=wrap_of("c")) == "signature"
    assert why(sealing.verify, opened, sender_public=b"no key") == "signature"


def test_a_reader_that_was_not_named_is_refused():
    sealed = sealing.parse(sealed_for("b"))

    assert why(sealed.encrypted_key, me("c")) == "reader"
    assert why(store("c").unwrap, sealed.encrypted_key(me("b"))) == "wrap"


def test_a_record_above_the_limit_is_refused_before_it_is_read():
    assert why(sealing.parse, bytes(ENVELOPE_MAX_BYTES + 1)) == "size"


def test_parts_that_do_not_belong_together_are_not_sealed():
    context = context_for("b")
    message = sealing.signing_input(context, BODY, media_type="text/plain", salt=SALT)
    good = {
        "context": context,
        "salt": SALT,
        "recipients": [wrap_of("b")],
        "content_key": CONTENT_KEY,
        "iv": IV,
    }
    bends = (
        {"salt": bytes(32)},
        {"recipients": [wrap_of("c")]},
        {"content_key": bytes(16)},
        {"iv": bytes(16)},
        {"context": context_for("b", purpose="HRESCH")},
    )

    for bend in bends:
        assert why(sealing.seal, message, bytes(384), **(good | bend)) == "parts"
    assert why(sealing.seal, b"no.statement", bytes(384), **good) == "content"
    assert why(sealing.signing_input, context, b"", media_type="", salt=SALT) == "parts"
    assert why(sealing.signing_input, context, b"", media_type="a/b", salt=b"") == "parts"


@pytest.mark.parametrize(
    "change",
    [
        {"transfer": "王小明"},
        {"transfer": "0F" * 16},
        {"recipients": ()},
        {"recipients": ("no",)},
        {"recipients": ("ab" * 32, "ab" * 32)},
        {"chain": 1},
        {"checkpoint": "x" * 65_537},
        {"recipients": ["ab" * 32]},
    ],
)
def test_a_context_of_another_form_cannot_be_made(change):
    assert why(context_for, "b", **change) == "content"


def test_texts_without_utf8_form_are_refused():
    context = context_for("b", purpose="\ud800")

    assert why(context.encoded) == "content"
    assert (
        why(sealing.signing_input, context_for("b"), b"", media_type="\ud800", salt=SALT)
        == "content"
    )


def test_every_single_changed_bit_is_refused_or_lies_in_another_readers_key():
    data = sealed_for("b", "c")
    expected = open_as("b", data)
    other = json.loads(data)["recipients"][1]["encrypted_key"].encode()
    start = data.index(other)
    mine = me("b")
    unwrap = cache(store("b").unwrap)  # one slow step per different wrap
    accepted = set()

    for position in range(len(data) * 8):
        changed = bytearray(data)
        changed[position // 8] ^= 1 << position % 8
        try:
            found = sealing.parse(bytes(changed))
            opened = sealing.unseal(found, unwrap(found.encrypted_key(mine)))
            record = sealing.verify(opened, sender_public=store("a").public("sign"))
        except EnvelopeRefused:
            continue
        assert record == expected
        accepted.add(position // 8)

    assert accepted
    assert accepted <= set(range(start, start + len(other)))


def test_one_ciphertext_cannot_be_opened_under_two_keys():
    sealed = sealing.parse(sealed_for("b"))

    assert why(sealing.unseal, sealed, bytes(32)) == "commitment"


def test_joserfc_opens_the_record_and_verifies_the_signature():
    data = json.loads(sealed_for("b", "c"))
    registry = joserfc.jwe.JWERegistry(
        algorithms=["RSA-OAEP-256", "A256GCM"],
        verify_all_recipients=False,
        strict_check_header=False,
    )
    reader = joserfc.jwk.RSAKey.import_key(private("reader"))

    found = joserfc.jwe.decrypt_json(data, reader, registry=registry)
    inner = joserfc.jws.deserialize_compact(
        found.plaintext,
        joserfc.jwk.RSAKey.import_key(private("sender").public_key()),
        algorithms=["PS256"],
    )

    assert b64decode(json.loads(inner.payload)["body"]) == BODY


def test_jwcrypto_opens_the_record_and_verifies_the_signature():
    data = sealed_for("b").decode()
    reader = jwcrypto.jwk.JWK.from_pyca(private("reader"))

    outer = jwcrypto.jwe.JWE(algs=["RSA-OAEP-256", "A256GCM"])
    outer.deserialize(data, reader)
    inner = jwcrypto.jws.JWS()
    inner.allowed_algs = ["PS256"]
    inner.deserialize(
        outer.payload.decode(), jwcrypto.jwk.JWK.from_pyca(private("sender").public_key())
    )

    assert b64decode(json.loads(inner.payload)["body"]) == BODY


def test_openssl_verifies_the_signature_inside(tmp_path):
    statement = sealing.unseal(sealing.parse(sealed_for("b")), CONTENT_KEY).statement
    (tmp_path / "public.der").write_bytes(store("a").public("sign"))
    (tmp_path / "message").write_bytes(statement.signing_input)
    (tmp_path / "signature").write_bytes(statement.signature)

    result = subprocess.run(
        [
            "openssl",
            "dgst",
            "-sha256",
            "-sigopt",
            "rsa_padding_mode:pss",
            "-sigopt",
            "rsa_pss_saltlen:32",
            "-keyform",
            "DER",
            "-verify",
            "public.der",
            "-signature",
            "signature",
            "message",
        ],
        cwd=tmp_path,
        capture_output=True,
        check=False,
    )

    assert result.stdout.strip() == b"Verified OK", result.stderr


def test_every_refusal_has_its_own_words_in_both_languages():
    for reason, step in STEPS.items():
        assert f"error.envelope.{reason}" in WORDS
        error = refused(reason, part="x", field="x")
        assert error.message("en") != error.message("zh")
        assert not step or f" {step}" in error.message("en")


def test_a_refusal_names_no_plaintext():
    data = json.loads(sealed_for("b", body=b"MARKER-1234"))
    data["tag"] = b64encode(bytes(16))
    sealed = sealing.parse(encode(data))

    with pytest.raises(EnvelopeRefused) as caught:
        sealing.unseal(sealed, CONTENT_KEY)

    assert "MARKER" not in str(caught.value) + repr(caught.value.values)

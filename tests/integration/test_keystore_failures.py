"""Key stores that cannot be reached, are locked, or went away: each a clear error, then recovery."""

import importlib
import shutil
import subprocess
import sys

import pytest

from concura.adapters.keys_awskms import KmsAddress, KmsLock
from concura.adapters.keys_uri import create_key_store, open_key_store
from concura.adapters.pkcs11_token import Token, TokenAddress
from concura.errors import LANGUAGES, ConcuraError, KeyUnavailable
from concura.sealing import wrap_content_key

KEY = bytes(range(32))


def why(call, *args, **kwargs):
    with pytest.raises(ConcuraError) as caught:
        call(*args, **kwargs)
    for lang in LANGUAGES:
        assert caught.value.message(lang)
        assert caught.value.hint(lang)
        assert "MARKER" not in caught.value.message(lang) + caught.value.hint(lang)
    assert "MARKER" not in repr(caught.value)
    assert caught.value.exit_code == KeyUnavailable.exit_code
    return caught.value.why


# Tokens ---------------------------------------------------------------------------------------


def secret_file(folder, text):
    path = folder / "pin"
    path.touch(mode=0o600)
    path.write_text(text)
    return path


def test_a_missing_or_foreign_module_is_said_so(hsm, tmp_path):
    for name in (tmp_path / "none.so", __file__):
        uri = f"pkcs11:token=main?module-path={name}&pin-source={hsm.pin_file}"
        assert why(create_key_store, uri, base=tmp_path) == "module"
    assert not (tmp_path / "keys").exists()


def test_a_token_that_is_not_there_is_said_so(hsm, tmp_path):
    assert why(create_key_store, hsm.uri("none"), base=tmp_path) == "notoken"
    uri = f"pkcs11:serial=0?module-path={hsm.module}&pin-source={hsm.pin_file}"
    assert why(create_key_store, uri, base=tmp_path) == "notoken"
    assert not (tmp_path / "keys").exists()


def test_a_pin_that_nobody_gives_is_asked_for(hsm, tmp_path):
    asked = hsm.uri("strict").split("&pin-source")[0]

    assert why(create_key_store, asked, base=tmp_path) == "pinmissing"
    store = create_key_store(asked, base=tmp_path, ask=hsm.pin_file.read_bytes().strip)
    assert store.sign(b"m")
    store.close()


def test_a_wrong_pin_is_refused_and_never_tried_twice(hsm, tmp_path):
    asked = []

    def wrong():
        asked.append(1)
        return b"MARKER-wrong"

    token = Token(TokenAddress(hsm.module, "strict", "", "concura"), pin=wrong)

    assert why(token.run, bool) == "pin"
    assert why(token.run, bool) == "pin"
    assert asked == [1]


def test_a_store_goes_on_when_its_module_was_restarted(hsm, tmp_path):
    store = create_key_store(hsm.uri("other"), base=tmp_path)
    wrapped = wrap_content_key(store.public("wrap"), KEY)

    for call in (
        lambda: store.sign(b"m"),
        lambda: store.unwrap(wrapped),
        lambda: store.wrap_aes(KEY),
    ):
        importlib.import_module("pkcs11").lib(hsm.module).reinitialize()
        assert call()


def test_a_token_that_is_taken_out_is_missed_and_found_again(hsm, tmp_path):
    store = create_key_store(hsm.uri("gone"), base=tmp_path)
    module = importlib.import_module("pkcs11").lib(hsm.module)
    label = b"gone".ljust(32)
    folder = next(p for p in hsm.tokens.iterdir() if label in (p / "token.object").read_bytes())

    shutil.move(folder, tmp_path / "out")
    module.reinitialize()
    assert why(store.sign, b"m") == "notoken"
    shutil.move(tmp_path / "out", folder)
    module.reinitialize()
    assert store.sign(b"m")


def test_keys_of_another_token_or_name_are_missed(hsm, tmp_path):
    create_key_store(hsm.uri("main"), base=tmp_path)

    assert why(open_key_store, hsm.uri("other"), base=tmp_path) == "tokenkey"
    renamed = hsm.uri("main").replace("object=concura", "object=others")
    assert why(open_key_store, renamed, base=tmp_path) == "tokenkey"


def test_a_public_key_put_in_place_of_ours_is_found_out(hsm, tmp_path):
    create_key_store(hsm.uri("main"), base=tmp_path / "a")
    create_key_store(hsm.uri("other"), base=tmp_path / "b")
    for name in ("sign.pub", "wrap.pub"):
        good = (tmp_path / "a" / "keys" / name).read_bytes()
        for bad in (b"garbage", (tmp_path / "b" / "keys" / name).read_bytes()):
            (tmp_path / "a" / "keys" / name).write_bytes(bad)
            assert why(open_key_store, hsm.uri("main"), base=tmp_path / "a") in {
                "garbage",
                "tokenkey",
            }
        (tmp_path / "a" / "keys" / name).write_bytes(good)
    (tmp_path / "a" / "keys" / "wrap.pub").write_bytes(
        (tmp_path / "a" / "keys" / "sign.pub").read_bytes()
    )
    assert why(open_key_store, hsm.uri("main"), base=tmp_path / "a") == "garbage"


def test_a_creation_that_fails_leaves_no_key_in_the_token(hsm, tmp_path):
    token = Token(
        TokenAddress(hsm.module, "main", "", "leftover"),
        pin=hsm.pin_file.read_bytes().strip,
    )
    uri = hsm.uri("main").replace("object=concura", "object=leftover")
    (tmp_path / ".keys.part").write_bytes(b"in the way")

    with pytest.raises(ConcuraError):
        create_key_store(uri, base=tmp_path)

    p = token.pkcs11
    assert token.run(lambda s: list(s.get_objects({p.Attribute.LABEL: "leftover"}))) == []


def test_private_keys_in_a_token_do_not_come_out(hsm, tmp_path):
    create_key_store(hsm.uri("main"), base=tmp_path)
    token = Token(
        TokenAddress(hsm.module, "main", "", "concura"), pin=hsm.pin_file.read_bytes().strip
    )
    p = token.pkcs11

    secret = {
        p.ObjectClass.PRIVATE_KEY: p.Attribute.PRIVATE_EXPONENT,
        p.ObjectClass.SECRET_KEY: p.Attribute.VALUE,
    }

    def look(session):
        keys = [key for kind in secret for key in session.get_objects({p.Attribute.CLASS: kind})]
        assert keys
        for key in keys:
            assert key[p.Attribute.SENSITIVE]
            assert not key[p.Attribute.EXTRACTABLE]
            with pytest.raises(p.AttributeSensitive):
                key[secret[key.object_class]]

    token.run(look)
    stored = b"".join(path.read_bytes() for path in (tmp_path / "keys").iterdir())
    assert b"BEGIN PRIVATE KEY" not in stored


# The key service ------------------------------------------------------------------------------


def test_a_key_service_that_is_down_is_said_so_and_a_running_store_goes_on(kms, tmp_path):
    store = create_key_store(kms.uri(kms.new_key()), base=tmp_path)
    nowhere = kms.uri("alias/any", "http://127.0.0.1:1")

    assert why(open_key_store, nowhere, base=tmp_path) == "kms"
    assert store.sign(b"m")
    assert store.unwrap_aes(store.wrap_aes(KEY)) == KEY


def test_a_key_that_is_missing_disabled_or_anothers_is_said_so(kms, tmp_path):
    key = kms.new_key()
    create_key_store(kms.uri(key), base=tmp_path)

    assert why(open_key_store, kms.uri("alias/none"), base=tmp_path) == "kmskey"
    assert why(open_key_store, kms.uri(kms.new_key()), base=tmp_path) in {"wrapped", "kmsdenied"}
    kms.client.disable_key(KeyId=key)
    assert why(open_key_store, kms.uri(key), base=tmp_path) == "kmsstate"
    kms.client.enable_key(KeyId=key)
    assert open_key_store(kms.uri(key), base=tmp_path).sign(b"m")


def test_missing_credentials_are_said_so(kms, tmp_path, monkeypatch):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))

    assert why(create_key_store, kms.uri("alias/any"), base=tmp_path) == "kmsdenied"
    assert not (tmp_path / "keys").exists()


def test_a_region_that_nobody_names_is_said_so(kms, monkeypatch):
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)

    assert why(KmsLock, KmsAddress("alias/any")) == "kms"


# Packages -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("package", "extra"), [("pkcs11", "hsm"), ("boto3", "aws")])
def test_a_missing_package_names_the_extra_that_brings_it(package, extra, tmp_path):
    """In a process of its own: what is imported here already cannot be missing."""
    uri = {
        "pkcs11": "pkcs11:token=t?module-path=/m.so",
        "boto3": "awskms:alias/x?region=eu-central-1",
    }[package]
    code = (
        f"import sys; sys.modules[{package!r}] = sys.modules[{package!r} + '.session'] = None; from pathlib import Path;"
        "from concura.adapters.keys_uri import create_key_store;"
        f"import concura.errors as e\ntry: create_key_store({uri!r}, base=Path('.'))\n"
        "except e.KeyUnavailable as error: print(error.why, error.hint(), error.hint('zh'))"
    )

    said = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": ":".join(sys.path), "PATH": "/usr/bin"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout

    assert said.startswith("extra ")
    assert said.count(f"pip install 'concura[{extra}]'") == 2
    assert list(tmp_path.iterdir()) == []


def test_the_core_does_without_the_optional_packages():
    code = (
        "import sys; from concura import profiles; from concura.adapters import keys_uri;"
        "print(sorted({'pkcs11', 'boto3', 'botocore', 'moto'} & set(sys.modules)))"
    )
    said = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": ":".join(sys.path), "PATH": "/usr/bin"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert said.strip() == "[]"

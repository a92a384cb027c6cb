"""Key stores by URI: what is read, what is refused, and that no text does anything else."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from concura.adapters.keys_uri import (
    SCHEMES,
    create_key_store,
    open_key_store,
    place_of,
    restore_key_store,
)
from concura.errors import LANGUAGES, ConfigInvalid, KeyUnavailable
from concura.limits import KEY_STORE_URI_MAX_CHARS
from concura.profiles import Settings, load_settings

BASE = Path("/base")
TOKEN = "pkcs11:token=t?module-path=/m.so"


def why(uri):
    with pytest.raises(ConfigInvalid) as caught:
        place_of(uri, base=BASE)
    for lang in LANGUAGES:
        assert caught.value.message(lang)
        assert caught.value.hint(lang)
        assert "MARKER" not in caught.value.message(lang) + caught.value.hint(lang)
    assert "MARKER" not in repr(caught.value)
    return caught.value.why, caught.value.values.get("part")


@pytest.mark.parametrize(
    ("uri", "folder"),
    [
        ("file:keys", "/base/keys"),
        ("file:.", "/base"),
        ("file:/elsewhere/keys", "/elsewhere/keys"),
        ("file:with%20space%3F", "/base/with space?"),
        ("file:keys?passphrase-file=/run/secret", "/base/keys"),
        (TOKEN, "/base/keys"),
        ("awskms:alias/concura", "/base/keys"),
    ],
)
def test_a_uri_says_where_its_key_folder_is(uri, folder):
    assert place_of(uri, base=BASE).folder == Path(folder)


def test_a_tokens_uri_is_read_as_rfc_7512_writes_it():
    place = place_of(
        "pkcs11:token=Software%20PKCS%2311;object=h-a?module-path=/m.so&pin-source=file:/pin",
        base=BASE,
    )

    assert dict(place.path) == {"token": "Software PKCS#11", "object": "h-a"}
    assert dict(place.query) == {"module-path": "/m.so", "pin-source": "file:/pin"}


@pytest.mark.parametrize(
    "uri",
    [
        "awskms:arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab?region=eu-central-1",
        "awskms:1234abcd?endpoint=https://kms.example.org:8443/x",
        "awskms:k?endpoint=http://127.0.0.1:5000",
        "awskms:k?endpoint=http://[::1]:5000",
    ],
)
def test_a_key_services_uri_names_key_region_and_endpoint(uri):
    assert place_of(uri, base=BASE).scheme == "awskms"


@pytest.mark.parametrize("uri", ["", "keys", "KEYS:", "http://x", "file", ":", "pkcs12:x"])
def test_an_unknown_scheme_is_refused(uri):
    assert why(uri)[0] == "keystore_scheme"


@pytest.mark.parametrize(
    ("uri", "part"),
    [
        ("file:", "path"),
        ("file:keys?mode=MARKER", "?"),
        ("file:keys?passphrase-file", "passphrase-file"),
        ("file:%ff", "%"),
        ("file:a%0ab", "%"),
        ("file:a%00b", "%"),
        ("file:a\nb", "length"),
        ("file:" + "a" * KEY_STORE_URI_MAX_CHARS, "length"),
        ("pkcs11:token=t", "module-path"),
        ("pkcs11:?module-path=/m.so", "token"),
        ("pkcs11:token=a;token=MARKER?module-path=/m.so", "token"),
        ("pkcs11:slot-id=MARKER?module-path=/m.so", "?"),
        ("awskms:", "key"),
        ("awskms:a b", "key"),
        ("awskms:k?region=MARKER", "region"),
        ("awskms:k?endpoint=http://kms.example.org", "endpoint"),
        ("awskms:k?endpoint=http://localhost:5000", "endpoint"),
        ("awskms:k?endpoint=ftp://127.0.0.1", "endpoint"),
        ("awskms:k?endpoint=https://user:MARKER@kms.example.org", "endpoint"),
        ("awskms:k?endpoint=https://[", "endpoint"),
        ("awskms:k?endpoint=https://a:99999", "endpoint"),
    ],
)
def test_a_part_that_cannot_be_taken_is_named_and_its_value_is_not(uri, part):
    assert why(uri) == ("keystore", part)


@pytest.mark.parametrize(
    "uri", [f"{TOKEN}&pin-value=MARKER", "file:keys?passphrase=MARKER", "pkcs11:pin=MARKER"]
)
def test_a_secret_in_a_uri_is_refused_and_not_repeated(uri):
    assert why(uri)[0] == "keystore_secret"


def test_nothing_is_made_or_opened_for_a_uri_that_is_none(tmp_path):
    for call in (open_key_store, create_key_store):
        with pytest.raises(ConfigInvalid):
            call("file:keys?x=y", base=tmp_path)
    with pytest.raises(ConfigInvalid):
        restore_key_store("file:", tmp_path / "b", base=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_relative_secret_file_starts_at_the_folder(tmp_path):
    (tmp_path / "secret").touch(mode=0o600)
    (tmp_path / "secret").write_bytes(b"horse\r\n")
    uri = "file:keys?passphrase-file=file:secret"
    create_key_store(uri, base=tmp_path)

    assert open_key_store(uri, base=tmp_path).sign(b"m")
    (tmp_path / "secret").chmod(0o644)
    with pytest.raises(KeyUnavailable) as caught:
        open_key_store(uri, base=tmp_path)
    assert caught.value.why == "readable"


def test_a_secret_file_that_is_empty_or_missing_locks_nothing(tmp_path):
    (tmp_path / "secret").touch(mode=0o600)
    for name in ("secret", "none"):
        with pytest.raises(KeyUnavailable):
            create_key_store(f"file:keys?passphrase-file={name}", base=tmp_path)
        assert not (tmp_path / "keys").exists()


def test_the_setting_of_a_node_is_a_folder_of_files_unless_it_says_otherwise(tmp_path):
    (tmp_path / "concura.toml").write_text('key_store = "awskms:alias/x"\n')

    assert Settings().key_store == "file:keys"
    assert load_settings(tmp_path, environment={}).settings.key_store == "awskms:alias/x"


@given(
    st.one_of(
        st.text(max_size=80),
        st.builds("{}:{}".format, st.sampled_from(sorted(SCHEMES)), st.text(max_size=80)),
    )
)
def test_any_text_is_a_place_or_our_error(uri):
    try:
        place = place_of(uri, base=BASE)
    except ConfigInvalid:
        return
    assert place.scheme in SCHEMES

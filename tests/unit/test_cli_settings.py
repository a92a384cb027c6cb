import dataclasses
import re
from pathlib import Path

import pytest

from concura.adapters.folders import claim
from concura.cli import main
from concura.data.words import WORDS
from concura.errors import ConfigInvalid
from concura.profiles import Settings, load_settings, variable

DOCUMENT = Path(__file__).parents[2] / "docs" / "operations" / "settings.md"


def write(folder, text):
    (folder / "concura.toml").write_text(text, encoding="utf-8")


def test_defaults_then_file_then_variable_then_flag(tmp_path):
    write(tmp_path, "port = 1\nlog_keep = 2\nwait_s = 3\ndifficulty_bits = 4\n")
    loaded = load_settings(
        tmp_path,
        environment={"CONCURA_PORT": "5", "CONCURA_LOG_KEEP": "6"},
        flags={"port": 7, "lang": None},
    )
    assert (loaded.settings.port, loaded.settings.log_keep) == (7, 6)
    assert (loaded.settings.wait_s, loaded.settings.difficulty_bits) == (3.0, 4)
    assert loaded.sources["port"] == "--port"
    assert loaded.sources["log_keep"] == "CONCURA_LOG_KEEP"
    assert loaded.sources["wait_s"] == str(tmp_path / "concura.toml")
    assert loaded.sources["lang"] == "default"


def test_a_node_takes_the_settings_of_its_consortium_and_may_have_its_own(tmp_path):
    claim(tmp_path, "consortium")
    claim(tmp_path / "hospital-a", "node")
    write(tmp_path, "log_keep = 2\nwait_s = 3.5\n")
    write(tmp_path / "hospital-a", "log_keep = 9\n")
    loaded = load_settings(tmp_path / "hospital-a", environment={})
    assert (loaded.settings.log_keep, loaded.settings.wait_s) == (9, 3.5)


def test_a_file_in_a_folder_that_is_no_consortium_is_not_followed_upwards(tmp_path):
    write(tmp_path, "log_keep = 2\n")
    claim(tmp_path / "hospital-a", "node")
    assert load_settings(tmp_path / "hospital-a", environment={}).settings == Settings()


@pytest.mark.parametrize(
    ("text", "why", "named"),
    [
        ("prot = 1", "unknown", "prot"),
        ("[hub]\nport = 1", "unknown", "hub"),
        ('port = "1"', "type_int", "port"),
        ("port = true", "type_int", "port"),
        ("port = 1.5", "type_int", "port"),
        ("wait_s = true", "type_float", "wait_s"),
        ("host = 1", "type_str", "host"),
        ("port = 65536", "range", "port"),
        ("port = -1", "range", "port"),
        ("wait_s = nan", "range", "wait_s"),
        ("wait_s = inf", "range", "wait_s"),
        ("difficulty_bits = 64", "range", "difficulty_bits"),
        ('log_level = "loud"', "choice", "log_level"),
        ("port =", "syntax", "line 1"),
        ("port = 1\nport = 2", "syntax", "line 2"),
    ],
)
def test_a_wrong_file_is_refused_with_file_and_name(tmp_path, text, why, named):
    write(tmp_path, text)
    with pytest.raises(ConfigInvalid) as caught:
        load_settings(tmp_path, environment={})
    assert caught.value.why == why
    for lang in ("en", "zh"):
        assert str(tmp_path / "concura.toml") in caught.value.message(lang)
        assert caught.value.hint(lang)
    assert named in caught.value.message("en")


def test_a_file_that_is_not_utf8_is_refused(tmp_path):
    (tmp_path / "concura.toml").write_bytes(b"host = '\xff'")
    with pytest.raises(ConfigInvalid, match="not TOML"):
        load_settings(tmp_path, environment={})


def test_a_wrong_variable_is_named():
    with pytest.raises(ConfigInvalid, match="CONCURA_PORT"):
        load_settings(None, environment={"CONCURA_PORT": "http"})


def test_every_default_satisfies_its_own_rule():
    given = dataclasses.asdict(Settings())
    assert load_settings(None, environment={}, flags=given).settings == Settings()


def test_config_show_says_where_each_value_comes_from(capsys, tmp_path, monkeypatch):
    write(tmp_path, "log_keep = 2\n")
    monkeypatch.setenv("CONCURA_WAIT_S", "1")
    assert main(["config", "show", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert f"log_keep = 2   ({tmp_path / 'concura.toml'})" in lines
    assert "wait_s = 1.0   (CONCURA_WAIT_S)" in lines
    assert "port = 0   (default)" in lines
    assert len(lines) == len(dataclasses.fields(Settings))


def test_config_show_of_a_missing_folder_is_refused(capsys, tmp_path):
    assert main(["config", "show", str(tmp_path / "none")]) == 12


def rows():
    for known in dataclasses.fields(Settings):
        rule = known.metadata
        allowed = "text"
        if "choices" in rule:
            allowed = ", ".join(f"`{choice}`" for choice in rule["choices"])
        elif "low" in rule:
            allowed = f"{rule['low']:,} to {rule['high']:,}"
        meaning, chinese = WORDS[f"setting.{known.name}"]
        yield f"| `{known.name}` | `{known.default}` | {allowed} | `{variable(known.name)}` | {meaning} {chinese} |"


def test_the_document_shows_each_setting_as_the_program_has_it():
    table = [line for line in DOCUMENT.read_text("utf-8").splitlines() if re.match(r"\| `", line)]
    assert table == list(rows())

import io
import json
import os
import signal
import sys

import pytest

from concura import errors
from concura.cli import main as main_function
from concura.cli.main import VERBS, language, parser_of
from concura.cli.options import Parser
from concura.cli.output import Output, describe

OWN = ("up", "status", "down", "config", "doctor", "data")


def run(capsys, *words):
    code = main_function(list(words))
    return code, *capsys.readouterr()


def test_version_is_one_line(capsys):
    assert run(capsys, "--version")[:2] == (0, "concura 0.1.0\n")


def test_no_words_show_every_verb_and_are_a_usage_error(capsys):
    code, out, _ = run(capsys)
    assert code == 2
    assert all(f"  {verb} " in out for verb in VERBS)


@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize("verb", OWN)
def test_help_of_each_verb_is_in_the_chosen_language(capsys, verb, lang):
    code, out, err = run(capsys, verb, "--help", "--lang", lang)
    assert (code, err) == (0, "")
    assert errors.say(f"cli.{verb}", lang).split(" ", maxsplit=1)[0] in out
    assert ("用法" in out) == (lang == "zh")
    assert ("options:" in out) == (lang == "en")


def test_an_unknown_verb_is_one_sentence_with_the_nearest_one(capsys):
    code, out, err = run(capsys, "dwn", "--lang", "en")
    assert (code, out) == (2, "")
    assert err.splitlines() == [
        "The command does not make sense: there is no verb `dwn` (`down` is like it).",
        "Run it with --help to see what it takes.",
    ]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["up"], "folder is missing"),
        (["up", "x", "--wrong"], "--wrong is not known"),
        (["up", "x", "--port", "many"], "--port cannot be 'many'"),
        (["up", "x", "--port"], "--port needs a value"),
        (["config", "shw"], "cannot be shw"),
        (["config", "shw"], "(`show` is like it)"),
        (["data", "get", "hart-disease"], "(`heart-disease` is like it)"),
        (["status", ""], "folder cannot be ''"),
    ],
)
def test_a_wrong_command_line_is_explained_in_one_sentence(capsys, words, sentence):
    code, out, err = run(capsys, *words)
    assert (code, out) == (2, "")
    assert sentence in err
    assert len(err.splitlines()) == 2


def test_a_wrong_command_line_is_explained_in_chinese(capsys):
    _, _, err = run(capsys, "--lang", "zh", "up")
    assert err.splitlines()[0] == "命令有误：缺少 folder。"


def test_with_json_an_error_is_an_object_on_standard_output(capsys, tmp_path):
    code, out, err = run(capsys, "status", str(tmp_path / "none"), "--json")
    assert (code, err) == (12, "")
    assert json.loads(out) == {
        "error": {
            "slug": "folder",
            "why": "missing",
            "message": f"The folder {tmp_path / 'none'} does not exist.",
            "hint": "Check the name, or make a consortium with `concura up`.",
            "exit_code": 12,
        }
    }


def test_common_options_may_stand_before_the_verb(capsys):
    code, out, _ = run(capsys, "--json", "--lang", "zh", "config", "show")
    assert code == 0
    assert json.loads(out)["port"] == {"value": 0, "source": "default"}


def test_language_comes_from_the_flag_then_the_variables_then_the_locale():
    assert language(["--lang", "zh"], {"CONCURA_LANG": "en"}) == "zh"
    assert language(["--lang=en"], {"LANG": "zh_CN.UTF-8"}) == "en"
    assert language([], {"CONCURA_LANG": "zh", "LANG": "en_GB.UTF-8"}) == "zh"
    assert language([], {"LC_ALL": "zh_CN.UTF-8"}) == "zh"
    assert language([], {"LANG": "C"}) == "en"
    assert language([], {}) == "en"


class Broken:
    """A verb that fails in a chosen way, entered into the table for one test."""

    def __init__(self, error):
        self.error = error

    def configure(self, parser):
        pass

    def run(self, options):
        raise self.error


@pytest.fixture
def broken(monkeypatch):
    def enter(error):
        monkeypatch.setitem(sys.modules, "concura.cli.broken", Broken(error))
        monkeypatch.setitem(VERBS, "broken", "concura.cli.broken")
        monkeypatch.setitem(errors.say.__globals__["WORDS"], "cli.broken", ("broken", "坏"))

    return enter


def test_a_fault_of_ours_shows_its_place_and_never_its_message(capsys, broken):
    broken(RuntimeError("Wang Fang, born 1953"))
    code, _, err = run(capsys, "broken")
    assert code == 70
    assert "RuntimeError (main.py:" in err
    assert "Wang Fang" not in err
    assert "Traceback" not in err


def test_the_traceback_is_shown_on_demand_only(capsys, broken, monkeypatch):
    monkeypatch.setenv("CONCURA_DEBUG", "1")
    broken(RuntimeError("why"))
    assert "Traceback" in run(capsys, "broken")[2]


def test_ctrl_c_ends_with_130_and_a_sentence(capsys, broken):
    broken(KeyboardInterrupt())
    code, _, err = run(capsys, "broken")
    assert code == 130
    assert err.startswith("Stopped on request")


def test_a_full_disk_and_a_closed_folder_are_named(capsys, broken):
    broken(OSError(28, "No space left on device", "/data"))
    assert run(capsys, "broken")[0] == errors.StoreFull.exit_code
    broken(PermissionError(13, "Permission denied", "/data"))
    assert run(capsys, "broken")[0] == errors.FolderUnusable.exit_code


def test_handlers_of_signals_are_as_before_afterwards(capsys):
    before = signal.getsignal(signal.SIGTERM)
    run(capsys, "config", "show")
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize("verb", OWN)
def test_every_option_of_a_verb_is_explained_in_both_languages(verb):
    for lang in ("en", "zh"):
        todo: list[Parser] = [parser_of(verb, lang)]
        while todo:
            parser = todo.pop()
            for action in parser._actions:
                if isinstance(action.choices, dict):
                    todo.extend(action.choices.values())
                else:
                    assert action.help, (verb, action.dest)


# Output --------------------------------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_colour_is_for_terminals_without_no_color_only(monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert Output(stdout=Terminal()).paint("x", "good") == "\x1b[32mx\x1b[0m"
    assert Output(stdout=io.StringIO()).paint("x", "good") == "x"
    monkeypatch.setenv("NO_COLOR", "1")
    assert Output(stdout=Terminal()).paint("x", "good") == "x"


def test_json_silences_sentences_and_progress():
    out, err = io.StringIO(), io.StringIO()
    output = Output("zh", json=True, stdout=out, stderr=err)
    output.say("doctor.well")
    with output.progress("work", 2) as advance:
        advance()
        advance()
    output.object({"名": 1})
    assert json.loads(out.getvalue()) == {"名": 1}
    assert err.getvalue() == ""


def test_progress_without_a_terminal_is_a_few_lines():
    err = io.StringIO()
    with Output(stdout=io.StringIO(), stderr=err).progress("work", 100) as advance:
        for _ in range(100):
            advance()
    assert err.getvalue().splitlines() == [
        "work 25/100",
        "work 50/100",
        "work 75/100",
        "work 100/100",
    ]


def test_progress_on_a_terminal_is_drawn_and_wiped():
    err = Terminal()
    with Output(stdout=io.StringIO(), stderr=err).progress("work", 2) as advance:
        advance(label="half")
        advance()
    assert "half" in err.getvalue()


def test_an_error_that_lacks_a_value_is_still_described():
    found = describe(errors.FolderUnusable("missing"), "en")
    assert found["exit_code"] == 12
    assert found["message"]


def test_importing_the_command_line_loads_none_of_the_heavy_parts(tmp_path):
    # The serving processes of a consortium start through this import.
    import subprocess  # noqa: PLC0415 - this test alone

    code = "import sys, concura.cli; print([m for m in ('rich','numpy','httpx','cryptography','apsw','uvicorn') if m in sys.modules])"
    found = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert found.stdout == "[]\n"

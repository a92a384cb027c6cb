import contextlib
import io
import string

from hypothesis import given
from hypothesis import strategies as st

from concura.adapters.logs import withhold
from concura.cli import main
from concura.cli.main import VERBS
from concura.errors import ConfigInvalid
from concura.profiles import Settings, load_settings

WORDS = st.one_of(
    st.sampled_from(
        [
            *VERBS,
            "--help",
            "--json",
            "--lang",
            "zh",
            "--lang=zh",
            "-h",
            "--version",
            "show",
            "get",
            "--",
        ]
    ),
    st.text(max_size=12),
)
# Verbs that would make, start or fetch something if the words happened to fit.
MAKERS = {"up", "demo", "hub", "node", "data", "doctor", "down"}


@given(st.lists(WORDS, max_size=5).filter(lambda words: not MAKERS & set(words)))
def test_whatever_is_typed_ends_in_a_documented_code_without_a_traceback(words):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(words)
    assert code in {0, 2, 10, 12, 13, 15, 60}, (words, err.getvalue())
    assert "Traceback" not in err.getvalue()


@given(
    st.one_of(st.text(), st.binary(), st.lists(st.text()), st.dictionaries(st.text(), st.text()))
)
def test_nothing_with_a_space_or_another_alphabet_passes_into_a_log(value):
    shown = withhold(value)
    if shown is not value:
        assert shown == f"<{type(value).__name__} withheld>"
    else:
        assert isinstance(value, str)
        assert not set(value) - set(string.ascii_letters + string.digits + "_.:/@+=,[]-")


@given(
    st.dictionaries(
        st.sampled_from([f"CONCURA_{name.upper()}" for name in Settings.__dataclass_fields__]),
        st.text(max_size=20),
    )
)
def test_variables_give_settings_within_their_rules_or_are_refused(environment):
    said = ""
    try:
        settings = load_settings(None, environment=environment).settings
    except ConfigInvalid as error:
        settings, said = Settings(), error.message("zh")
    assert not said or any(name in said for name in environment)
    assert 0 <= settings.port <= 65_535
    assert 0 < settings.wait_s <= 300


@given(
    text=st.one_of(
        st.binary(max_size=80),
        st.builds(
            lambda k, v: f"{k} = {v}".encode(),
            st.sampled_from(list(Settings.__dataclass_fields__)),
            st.one_of(st.integers(), st.floats(), st.text(alphabet='"abc[]{}', max_size=5)),
        ),
    )
)
def test_any_settings_file_is_read_or_refused_with_its_name(tmp_path_factory, text):
    folder = tmp_path_factory.getbasetemp() / "settings"
    folder.mkdir(exist_ok=True)
    (folder / "concura.toml").write_bytes(text)
    said = str(folder / "concura.toml")
    try:
        load_settings(folder, environment={})
    except ConfigInvalid as error:
        said = error.message("en")
    assert str(folder / "concura.toml") in said

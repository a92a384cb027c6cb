"""Whatever is wrong with what is handed in: one sentence, the next thing to do, a documented code.

Every case is played through the command line's own entrance in both languages and as JSON. After
each, the disk holds what it held before, and no cell of a patient's row has been repeated.
"""

import hashlib
import json
import os
import random
import re
from pathlib import Path

import pytest

from concura.adapters.table_files import shipped_mappings
from concura.cli import main
from concura.cli.main import VERBS
from concura.limits import TABLE_LINE_MAX_CHARS

ROOT = Path(__file__).resolve().parents[2]
PLANTED = "Zsófia-77-planted"
TABLES = ("cleveland", "hungarian", "switzerland", "va")
WHAS = "record,hospital,age,gender,hr,sysbp,diasbp,bmi,cvd,afb,sho,chf,av3,miord,mitype,los,lenfol,fstat"
CODES = {
    int(code)
    for code in re.findall(
        r"^\| (\d+) \|", (ROOT / "docs/operations/errors.md").read_text("utf-8"), re.MULTILINE
    )
}


# --- what is handed in -------------------------------------------------------------------------------


def heart_row(draw):
    return [
        str(draw.randint(35, 75)),
        str(draw.randint(0, 1)),
        str(draw.randint(1, 4)),
        str(draw.randint(100, 180)),
        str(draw.randint(150, 300)),
        "0",
        str(draw.randint(0, 2)),
        str(draw.randint(90, 190)),
        str(draw.randint(0, 1)),
        f"{draw.random() * 4:.1f}",
        "?",
        "?",
        "?",
        str(draw.randint(0, 1)),
    ]


def heart_text(rows=6):
    draw = random.Random(3)
    return "".join(",".join(heart_row(draw)) + "\n" for _ in range(rows))


def whas_row(number, hospital, **changes):
    row = dict(
        zip(
            WHAS.split(","),
            "1,h,83,0,89,152,78,25.5,1,1,0,0,0,1,0,5,2178,0".split(","),
            strict=True,
        )
    )
    row |= {"record": str(number), "hospital": hospital} | changes
    return ",".join(row.values())


def whas_text(*more, header=WHAS):
    rows = [whas_row(n, f"hospital-{'abcd'[n % 4]}") for n in range(1, 9)]
    return "\n".join([header, *rows, *more]) + "\n"


def heart(hospitals=TABLES, **files):
    """A folder of heart-disease files, some of them with other content."""

    def make(place):
        folder = place / "data"
        folder.mkdir()
        for name in hospitals:
            (folder / f"processed.{name}.data").write_text(heart_text())
        for name, content in files.items():
            data = content if isinstance(content, bytes) else content.encode("utf-8")
            (folder / f"processed.{name}.data").write_bytes(data)
        return ["demo", "--data", str(folder)]

    return make


def whas(text):
    def make(place):
        (place / "data").mkdir()
        data = text if isinstance(text, bytes) else text.encode("utf-8")
        (place / "data" / "whas500.csv").write_bytes(data)
        return ["demo", "--data", str(place / "data")]

    return make


def cell(column, value):
    """The heart-disease files with one cell changed, in the third line of Hungary."""
    lines = heart_text().splitlines()
    cells = lines[2].split(",")
    cells[column] = value
    return heart(hungarian="\n".join([*lines[:2], ",".join(cells), *lines[3:]]) + "\n")


def mapping(change, hospitals=("cleveland", "va")):
    """A mapping with one change. Two hospitals only: one that is taken ends as too few hospitals."""

    def make(place):
        raw = json.loads(json.dumps(shipped_mappings()[1].raw))
        changed = change(raw)
        data = (
            changed if isinstance(changed, bytes) else json.dumps(raw, ensure_ascii=False).encode()
        )
        (place / "mapping.json").write_bytes(data)
        return [*heart(hospitals)(place), "--mapping", str(place / "mapping.json")]

    return make


def put(path, value):
    """Put a value at a path such as `columns.3.unit`; DROP leaves the member out."""

    def change(raw):
        *parents, last = [int(p) if p.isdigit() else p for p in path.split(".")]
        for part in parents:
            raw = raw[part]
        if value is DROP:
            del raw[last]
        else:
            raw[last] = value

    return mapping(change)


def words(*said):
    """Words of a command; {} stands for the case's own folder."""
    return lambda place: [word.replace("{}", str(place)) for word in said]


def settings(line):
    def make(place):
        (place / "concura.toml").write_bytes(line if isinstance(line, bytes) else line.encode())
        return ["config", "show", str(place)]

    return make


def variable(name, value):
    def make(place):
        os.environ[f"CONCURA_{name}"] = value
        return ["config", "show"]

    return make


def node(**files):
    """A folder that says it is a node's, with these files and nothing else."""

    def make(place):
        folder = place / "node"
        folder.mkdir()
        files.setdefault("format_json", '{"concura": "node", "format": 1}')
        for name, text in files.items():
            if text is not None:
                (folder / name.replace("_json", ".json")).write_text(text)
        return folder

    return make


def on(make, *said):
    def made(place):
        folder = make(place)
        return [word.replace("{}", str(place)).replace("[]", str(folder)) for word in said]

    return made


def linked(place):
    (place / "data").mkdir()
    for name in TABLES:
        (place / "data" / f"processed.{name}.data").symlink_to(f"processed.{name}.data")
    return ["demo", "--data", str(place / "data")]


def loop(place):
    (place / "data").symlink_to(place / "data")
    return ["demo", "--data", str(place / "data")]


def folders_named_like_files(place):
    for name in TABLES:
        (place / "data" / f"processed.{name}.data").mkdir(parents=True)
    return ["demo", "--data", str(place / "data")]


def huge_file(place):
    (place / "data").mkdir()
    with (place / "data" / "processed.va.data").open("wb") as file:
        file.truncate(10**10)  # sparse: it takes no room
    return ["demo", "--data", str(place / "data")]


DROP = object()
# fmt: off
NOT_A_NUMBER = ["abc", "nan", "NaN", "inf", "-inf", "1e999", "1_0", "0x10", "--5", "1e", ".", "+", "６０", "12 mmHg", "1;2", "true", "None", "null", PLANTED, "9" * 400, "1e10"]
# fmt: on
NUMBERS = {"age": 0, "trestbps": 3, "chol": 4, "thalach": 7, "oldpeak": 9, "num": 13}
CHOICES = {"sex": 1, "cp": 2, "fbs": 5, "restecg": 6, "exang": 8}
NOT_A_CHOICE = ["9", "-1", "yes", "0.5", PLANTED]

# fmt: off
TABLES_CASES = {
    "no folder": (words("demo", "--data", "{}/none"), 12),
    "a file for a folder": (lambda p: [(p / "f").write_text("x"), ["demo", "--data", str(p / "f")]][1], 12),
    "an empty folder": (lambda p: [(p / "e").mkdir(), ["demo", "--data", str(p / "e")]][1], 12),
    "only hidden files": (lambda p: [(p / ".hidden").write_text("x"), ["demo", "--data", str(p)]][1], 12),
    "unknown names": (lambda p: [(p / "patients.csv").write_text("x"), ["demo", "--data", str(p)]][1], 21),
    "folders named like files": (folders_named_like_files, 12),
    "links to themselves": (linked, 12),
    "a folder that links to itself": (loop, 12),
    "a path through a file": (lambda p: [(p / "f").write_text(""), ["demo", "--data", str(p / "f" / "x")]][1], 12),
    "a very long path": (words("demo", "--data", "{}/" + "n" * 5000), 12),
    "a nul in the path": (words("demo", "--data", "a\x00b"), 2),
    "one hospital": (heart(("va",)), 50),
    "two hospitals": (heart(("va", "cleveland")), 50),
    "one file empty": (heart(va=""), 20),
    "one file of spaces": (heart(va="  \n \n"), 20),
    "too few columns": (heart(va="1,2,3\n"), 20),
    "too many columns": (heart(va=heart_text().replace("\n", ",1\n", 1)), 20),
    "no line ends": (heart(va=heart_text().replace("\n", " ")), 20),
    "old line ends": (heart(va=heart_text().replace("\n", "\r")), 20),
    "another delimiter": (heart(va=heart_text().replace(",", ";")), 20),
    "tabs": (heart(va=heart_text().replace(",", "\t")), 20),
    "quotes that do not match": (heart(va='"' + heart_text()), 20),
    "a million columns": (heart(va=",".join("1" * 1000000) + "\n"), 20),
    "a long line": (heart(va="1" * (TABLE_LINE_MAX_CHARS + 1) + "\n"), 20),
    "zeros in the middle": (heart(va=heart_text().replace("\n", "\x00\n", 1)), 20),
    "only zeros": (heart(va=bytes(4096)), 20),
    "latin-1": (heart(va="63,ä\n".encode("latin-1")), 20),
    "utf-16": (heart(va=heart_text().encode("utf-16")), 20),
    "utf-16 without a mark": (heart(va=heart_text().encode("utf-16-le")), 20),
    "utf-32": (heart(va=heart_text().encode("utf-32")), 20),
    "gb18030": (heart(va="六十三,1\n".encode("gb18030")), 20),
    "a surrogate": (heart(va=b"\xed\xa0\x80,1\n"), 20),
    "a zip archive": (heart(va=b"PK\x03\x04" + bytes(range(256)) * 8), 20),
    "html": (heart(va="<!doctype html>\n<html><body>404</body></html>\n"), 20),
    "json": (heart(va='{"patients": []}\n'), 20),
    "a header where none belongs": (heart(va="age,sex,cp,trestbps,chol,fbs,restecg,thalach,exang,oldpeak,slope,ca,thal,num\n"), 20),
    "a file of ten gigabytes": (huge_file, 20),
    "whas: no header": (whas(whas_text().partition("\n")[2]), 20),
    "whas: header only": (whas(WHAS + "\n"), 20),
    "whas: a comment only": (whas("# nothing\n"), 20),
    "whas: a column missing": (whas(whas_text(header=WHAS.replace("hr,", ""))), 20),
    "whas: a column twice": (whas(whas_text(header=WHAS.replace("hr,", "age,"))), 20),
    "whas: a column unknown": (whas(whas_text(header=WHAS.replace("hr,", f"{PLANTED},"))), 20),
    "whas: capital letters": (whas(whas_text(header=WHAS.upper())), 20),
    "whas: a record number twice": (whas(whas_text(whas_row(1, "hospital-b"), whas_row(1, "hospital-b"))), 20),
    "whas: the same row twice": (whas(whas_text(*[whas_row(40, "hospital-a")] * 2)), 20),
    "whas: record number 0": (whas(whas_text(whas_row(0, "hospital-a"))), 20),
    "whas: record number -1": (whas(whas_text(whas_row(-1, "hospital-a"))), 20),
    "whas: record number 1.5": (whas(whas_text(whas_row("1.5", "hospital-a"))), 20),
    "whas: record number of ten digits": (whas(whas_text(whas_row("1234567890", "hospital-a"))), 20),
    "whas: a name for a record number": (whas(whas_text(whas_row(PLANTED, "hospital-a"))), 20),
    "whas: an unknown hospital": (whas(whas_text(whas_row(90, PLANTED))), 20),
    "whas: no hospital": (whas(whas_text(whas_row(90, ""))), 20),
    "whas: age in years and a half": (whas(whas_text(whas_row(90, "hospital-a", age="60.5"))), 20),
    "whas: two hospitals": (whas("\n".join([WHAS, whas_row(1, "hospital-a"), whas_row(2, "hospital-b")]) + "\n"), 50),
    **{f"{n} = {v[:12]}": (cell(c, v), 20) for n, c in NUMBERS.items() for v in NOT_A_NUMBER},
    **{f"{n} = {v}": (cell(c, v), 20) for n, c in CHOICES.items() for v in NOT_A_CHOICE},
    "an age of 60.5": (cell(0, "60.5"), 20),
    "an empty age": (cell(0, ""), 20),
}
# fmt: on

# fmt: off
MAPPING_CASES = {
    "no mapping file": (lambda p: [*heart()(p), "--mapping", str(p / "none.json")], 20),
    "a folder for a mapping": (lambda p: [*heart()(p), "--mapping", str(p)], 20),
    "an endless mapping": (lambda p: [*heart()(p), "--mapping", "/dev/zero"], 20),
    "an empty mapping": (mapping(lambda _: b""), 21),
    "a mapping that is a list": (mapping(lambda _: b"[]"), 21),
    "a mapping of brackets": (mapping(lambda _: b"[" * 50000), 21),
    "a mapping cut short": (mapping(lambda raw: json.dumps(raw).encode()[:-9]), 21),
    "a mapping with NaN": (put("outcome.above", float("nan")), 21),
    "a mapping in utf-16": (mapping(lambda raw: json.dumps(raw).encode("utf-16")), 20),
    "a mapping without --data": (words("demo", "--mapping", "{}/m.json"), 2),
    "a mapping that fits no file": (put("hospitals", [{"hospital": "x", "files": "x.*", "prefix": "X", "name": {"en": "X", "zh": "X"}}]), 21),
    **{f"without {m}": (put(m, DROP), 21) for m in ("mapping", "source", "table", "index", "outcome", "features", "hospitals", "columns", "always", "table.header", "table.delimiter", "table.comment", "table.implausible", "source.zh", "source.en", "index.first", "index.step_minutes", "index.meaning", "index.class", "outcome.kind", "outcome.column", "outcome.above", "outcome.code", "outcome.meaning", "outcome.horizon", "hospitals.0.hospital", "hospitals.0.files", "hospitals.0.prefix", "hospitals.0.name", "columns.0.column", "columns.0.role", "columns.0.label", "columns.0.unit", "columns.1.values", "columns.2.kind", "columns.2.code", "columns.2.categories", "columns.2.categories.0.value", "columns.2.categories.0.label", "columns.3.unit", "columns.3.unit_label", "columns.3.code.system", "columns.3.code.code", "columns.3.code.display", "features.0.name", "features.0.kind", "features.2.categories", "features.3.code", "features.3.unit")},
    **{f"{m} = {json.dumps(v)[:24]}": (put(m, v), 21) for m, v in (("mapping", 7), ("mapping", ""), ("source", "text"), ("source", {"en": "x", "zh": "x", "fr": "x"}), ("table", []), ("table.header", "no"), ("table.delimiter", ",,"), ("table.delimiter", ""), ("table.implausible", "maybe"), ("hospitals", {}), ("hospitals", []), ("hospitals.0", "x"), ("hospitals.1.hospital", "cleveland"), ("columns", []), ("columns.0.role", "patient"), ("columns.1.role", "age"), ("columns.1.column", "age"), ("columns.3.plausible", [300, 30]), ("columns.3.plausible", [1]), ("columns.3.plausible", ["a", "b"]), ("columns.3.missing", "?"), ("columns.3.missing", [0]), ("columns.3.kind", "text"), ("columns.2.categories", "1234"), ("outcome.column", "chol"), ("outcome.column", "nowhere"), ("outcome.above", "0"), ("index.first", "yesterday"), ("index.first", "0001-01-01T00:00:00Z"), ("index.step_minutes", 0), ("index.step_minutes", 1.5), ("index.class", "XXX"), ("features", []), ("features", None), ("features.0.kind", "guess"), ("features.1.name", "age"), ("features.3.pick", "best"), ("features.3.window_days", -1), ("features.3.plausible", "wide"), ("always", None))},
}
# fmt: on

NOT_WHOLE = ["x", "1.5", "", "1e3", "0x10", "１x"]
# fmt: off
COMMAND_CASES = {
    "an unknown verb": (words("fly"), 2),
    "a verb in capitals": (words("DEMO"), 2),
    "a verb of zero bytes": (words(""), 2),
    "an option for a verb": (words("--fast"), 2),
    "an unknown language": (words("status", "{}", "--lang", "fr"), 2),
    **{f"{verb} --wrong": (words(verb, "--wrong"), 2) for verb in VERBS},
    **{f"{verb} without its words": (words(verb), 2) for verb in VERBS if verb not in {"demo", "doctor"}},
    **{f"{verb} {second}": (words(verb, second), 2) for verb, second in (("hub", "start"), ("node", "leave"), ("config", "set"), ("data", "put"), ("hub", "init"), ("hub", "serve"), ("node", "init"), ("node", "join"), ("node", "serve"), ("node", "admit"), ("data", "get"))},
    **{f"demo {flag} {v}": (words("demo", flag, v), 2) for flag in ("--rounds", "--seed", "--difficulty") for v in NOT_WHOLE},
    **{f"demo --rounds {n}": (words("demo", "--rounds", n), 2) for n in ("9", "0", "1001", "99999999999999999999")},
    **{f"demo --rounds={n}": (words("demo", f"--rounds={n}"), 2) for n in ("-1", "-10")},
    **{f"demo --seed={n}": (words("demo", f"--seed={n}"), 2) for n in ("-1", str(2 ** 53))},
    **{f"demo --difficulty={n}": (words("demo", f"--difficulty={n}"), 10) for n in ("-1", "29", "256", "999999")},
    "an unknown preset": (words("demo", "--preset", "fast"), 2),
    "an unknown patient": (words("demo", "--patient", "A-99999"), 24),
    "an empty patient": (words("demo", "--patient", ""), 24),
    "a patient of two lines": (words("demo", "--patient", "A-0001\nB"), 24),
    "a report in no folder": (words("demo", "--report", "{}/none/r.html"), 12),
    "a folder for a report": (words("demo", "--report", "{}"), 12),
    "an empty report": (words("demo", "--report", ""), 2),
    "kept in a file": (lambda p: [(p / "f").write_text("x"), ["demo", "--keep", str(p / "f")]][1], 12),
    "kept below a file": (lambda p: [(p / "f").write_text("x"), ["demo", "--keep", str(p / "f" / "k")]][1], 12),
    "kept among other things": (lambda p: [(p / "x").write_text("x"), ["demo", "--keep", str(p)]][1], 12),
    "a demo twice": (words("demo", "demo"), 2),
    **{f"up --port={n}": (words("up", "{}/c", f"--port={n}"), 10) for n in ("-1", "65536", "99999999")},
    **{f"up {flag} {v}": (words("up", "{}/c", flag, v), 2) for flag in ("--port", "--hospitals", "--difficulty") for v in ("x", "1.5", "")},
    **{f"up --hospitals={n}": (words("up", "{}/c", f"--hospitals={n}"), 10) for n in ("0", "-1", "257", "99999999")},
    **{f"up --difficulty={n}": (words("up", "{}/c", f"--difficulty={n}"), 10) for n in ("-1", "29")},
    "two hospitals of one name": (words("up", "{}/c", "--names", "A,A"), 10),
    "a hospital without a name": (words("up", "{}/c", "--names", "A,,B"), 10),
    "a hospital with a line end": (words("up", "{}/c", "--names", "A\nB,C"), 10),
    "a consortium without a name": (words("up", "{}/c", "--name", "\x07"), 10),
    "names and another number": (words("up", "{}/c", "--names", "A,B", "--hospitals", "3"), 10),
    "a very long name": (words("up", "{}/c", "--names", "A" * 5000), 10),
    "up in a file": (lambda p: [(p / "f").write_text("x"), ["up", str(p / "f")]][1], 12),
    "up among other things": (lambda p: [(p / "x").write_text("x"), ["up", str(p)]][1], 12),
    "status of nothing": (words("status", "{}/none"), 12),
    "status of a file": (lambda p: [(p / "f").write_text("x"), ["status", str(p / "f")]][1], 12),
    "status of another folder": (words("status", "{}"), 12),
    "down of nothing": (words("down", "{}/none"), 12),
    "down of another folder": (words("down", "{}"), 12),
    "settings of nothing": (words("config", "show", "{}/none"), 12),
    "an unknown data set": (words("data", "get", "lung-disease", "{}/d"), 2),
    **{f"data from {u}": (words("data", "get", "heart-disease", "{}", "--url", u), 25) for u in ("file:///etc", "ftp://x/", "nonsense", "http://", "http://[", "http://h:x/", "http://127.0.0.1:1/", "http://no.such.invalid/")},
    "data into a file": (lambda p: [(p / "f").write_text("x"), ["data", "get", "heart-disease", str(p / "f"), "--url", "http://127.0.0.1:1/"]][1], 12),
    "a hub of no founders": (words("hub", "init", "{}/h", "--name", "C"), 2),
    "a founder that is not there": (words("hub", "init", "{}/h", "--name", "C", "--founder", "{}/card.json"), 20),
    "a founder that is a folder": (words("hub", "init", "{}/h", "--name", "C", "--founder", "{}"), 20),
    "a founder that is no card": (lambda p: [(p / "c").write_text("{}"), ["hub", "init", str(p / "h"), "--name", "C", "--founder", str(p / "c")]][1], 20),
    "a founder of zeros": (lambda p: [(p / "c").write_bytes(bytes(99)), ["hub", "init", str(p / "h"), "--name", "C", "--founder", str(p / "c")]][1], 20),
    "a founder without end": (words("hub", "init", "{}/h", "--name", "C", "--founder", "/dev/zero"), 20),
    "serving no hub": (words("hub", "serve", "{}/none"), 12),
    "serving no node": (words("node", "serve", "{}/none"), 12),
    "serving another folder": (words("node", "serve", "{}"), 12),
    "serving a node as a hub": (on(node(), "hub", "serve", "[]"), 12),
    "serving a node that was not made": (on(node(), "node", "serve", "[]"), 12),
    "admitting without a process": (on(node(), "node", "admit", "[]", "hospital-z"), 15),
    "joining before it is made": (on(node(), "node", "join", "[]", "--invitation", "{}/i"), 12),
    **{f"a member called {m!r:.20}": (words("node", "init", "{}/n", f"--member={m}", "--name", "N"), 2) for m in ("", "A", "hospital_a", "-a", "a-", "a b", "ä", "a" * 64, "../x", "hub\n", "a/b")},
    **{f"a node called {n!r:.20}": (words("node", "init", "{}/n", "--member", "a", f"--name={n}"), 2) for n in ("", "\n", "a\tb", "x" * 65, "\u202e")},
    "a newer format": (on(node(format_json='{"concura": "node", "format": 99}'), "node", "serve", "[]"), 13),
    "an older format": (on(node(format_json='{"concura": "node", "format": 0}'), "node", "serve", "[]"), 13),
    "a format of words": (on(node(format_json='{"concura": "node", "format": "1"}'), "node", "serve", "[]"), 60),
    "a format that is a list": (on(node(format_json="[]"), "node", "serve", "[]"), 60),
    "a format of nothing": (on(node(format_json=""), "status", "[]"), 60),
    "an unknown kind": (on(node(format_json='{"concura": "pharmacy", "format": 1}'), "status", "[]"), 60),
    "a newer consortium": (on(node(format_json='{"concura": "consortium", "format": 2}'), "up", "[]"), 13),
    "a plan that is a list": (on(node(format_json='{"concura": "consortium", "format": 1}', consortium_json="[]"), "up", "[]"), 60),
    "a plan of nothing": (on(node(format_json='{"concura": "consortium", "format": 1}', consortium_json=""), "status", "[]"), 60),
}
# fmt: on

# fmt: off
SETTINGS_CASES = {
    **{f"toml {line!r:.30}": (settings(line), 10) for line in ("port", "port = ", "port = 1 port = 2", "[", "port = 'x'", "port = 1.5", "port = true", "port = -1", "port = 65536", "node_port = 99999", "host = 7", "difficulty_bits = 29", "difficulty_bits = '4'", "block_interval_ms = 0", "block_interval_ms = 1e9", "entries_per_block = 0", "quorum = -1", "quorum = 257", "wait_s = 0", "wait_s = nan", "wait_s = inf", "wait_s = 'long'", "access_anchor_s = 0", "log_level = 'loud'", "log_max_bytes = 1", "log_keep = 0", "lang = 'fr'", "lang = 1", "colour = 'red'", "port = 1\nport = 2", b"\xff\xfe", "host = 'a".encode("utf-16"), "host = \x00", "[port]\nx = 1", "port = [1]")},
    "toml is a folder": (lambda p: [(p / "concura.toml").mkdir(), (p / "concura.toml" / "x").touch(), ["config", "show", str(p), "--wrong"]][2], 2),
    **{f"CONCURA_{n}={v}": (variable(n, v), 10) for n, v in (("PORT", "x"), ("PORT", "-1"), ("PORT", "65536"), ("PORT", ""), ("PORT", "1.5"), ("NODE_PORT", "99999"), ("DIFFICULTY_BITS", "99"), ("BLOCK_INTERVAL_MS", "0"), ("QUORUM", "x"), ("WAIT_S", "nan"), ("WAIT_S", "x"), ("WAIT_S", "inf"), ("ACCESS_ANCHOR_S", "-1"), ("LOG_LEVEL", "loud"), ("LOG_MAX_BYTES", "1"), ("LOG_KEEP", "0"), ("LANG", "fr"), ("ENTRIES_PER_BLOCK", "0"))},
}
# fmt: on

CASES = {**TABLES_CASES, **MAPPING_CASES, **COMMAND_CASES, **SETTINGS_CASES}


# --- the rule --------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def as_before(monkeypatch, tmp_path):
    """Each case stands alone: its variables, mask, temporary and current folder."""
    for name in [n for n in os.environ if n.startswith("CONCURA_") and n != "CONCURA_TEST_RUN"]:
        monkeypatch.delenv(name)
    before, mask, here = dict(os.environ), os.umask(0o022), Path.cwd()
    os.umask(mask)
    (tmp_path / "tmp").mkdir()
    (tmp_path / "place").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setattr("tempfile.tempdir", None)
    os.chdir(tmp_path / "place")
    yield
    os.chdir(here)
    os.umask(mask)
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def place(tmp_path):
    return tmp_path / "place"


def listing(folder):
    """Everything below a folder: kind, mode, size and content."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if {"lock", "logs"} & set(path.parts):  # of a process that looked into the folder
            continue
        status = path.lstat()
        content = ""
        if path.is_file() and not path.is_symlink() and status.st_size < 1 << 24:
            content = hashlib.sha256(path.read_bytes()).hexdigest()
        found[str(path.relative_to(folder))] = (status.st_mode, status.st_size, content)
    return found


def play(capsys, said, *more):
    capsys.readouterr()
    code = main([*said, *more])
    out, err = capsys.readouterr()
    return code, out, err


def check_words(err, lang):
    lines = err.splitlines()
    assert len(lines) == 2, err
    assert all(line.strip() for line in lines)
    assert "Traceback" not in err
    assert "{" not in err.replace("{en", "").replace("{}", "")
    assert PLANTED not in err
    assert len(err) < 12_000
    assert bool(re.search("[\u4e00-\u9fff]", lines[0])) == (lang == "zh"), err
    assert bool(re.search("[\u4e00-\u9fff]", lines[1])) == (lang == "zh"), err


def check(capsys, base, said, code):
    """Play a refused command in both languages and as JSON; the disk must not change."""
    assert code in CODES
    before = listing(base)
    has_language = "--lang" in said
    for lang in () if has_language else ("en", "zh"):
        found, out, err = play(capsys, said, "--lang", lang)
        assert found == code, err
        check_words(err, lang)
        assert len(out.splitlines()) <= 1, (
            out
        )  # the first line of the demo, before anything is read
    found, out, err = play(capsys, said, "--json")
    assert (found, err) == (code, "")
    told = json.loads(out)["error"]
    assert set(told) == {"slug", "why", "message", "hint", "exit_code"}
    assert told["exit_code"] == code
    assert PLANTED not in out
    assert listing(base) == before


@pytest.mark.parametrize("name", list(CASES))
def test_bad_input_is_refused_in_one_sentence_and_changes_nothing(capsys, tmp_path, place, name):
    make, code = CASES[name]
    check(capsys, tmp_path, make(place), code)


def test_there_are_enough_cases():
    assert len(CASES) >= 200

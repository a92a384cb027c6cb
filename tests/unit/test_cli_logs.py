import json
import logging
import warnings

import pytest

from concura.adapters.logs import configure_logs, withhold
from concura.errors import HubUnreachable

SECRET = "Wang Fang 1953-02-01"
_LOGGERS = (
    "",
    "concura",
    "uvicorn",
    "uvicorn.error",
    "uvicorn.access",
    "httpx",
    "httpcore",
    "hpack",
    "asyncio",
)


@pytest.fixture
def log(tmp_path):
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    levels = [logger.level for logger in loggers]
    path = tmp_path / "logs" / "hub.jsonl"
    configure_logs(path, level="info", max_bytes=4096, keep=2)
    yield path
    logging.captureWarnings(capture=False)
    root = logging.getLogger()
    for handler in list(root.handlers):
        if getattr(handler, "baseFilename", "") == str(path):
            root.removeHandler(handler)
            handler.close()
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)


def handler(path):
    handlers = logging.getLogger().handlers
    return next(one for one in handlers if getattr(one, "baseFilename", "") == str(path))


def lines(path):
    return [json.loads(line) for line in path.read_text("ascii").splitlines()]


def test_an_event_is_one_json_line_of_words_and_ids(log):
    logging.getLogger("concura.hub").info("block %d sealed for %s", 7, "hospital-a")
    (line,) = lines(log)
    assert line["event"] == "block 7 sealed for hospital-a"
    assert (line["level"], line["part"]) == ("info", "concura.hub")
    assert line["time"].endswith("Z")
    assert log.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "value",
    [
        SECRET,
        SECRET.encode(),
        {"name": SECRET},
        [SECRET],
        (SECRET,),
        object(),
        "王芳",
        ValueError(SECRET),
    ],
)
def test_what_is_neither_id_nor_number_is_withheld(log, value):
    logging.getLogger("concura.hospital").warning("kept %s of %s", value, "p-1")
    text = log.read_text()
    assert "Wang" not in text
    assert "\\u738b" not in text
    assert lines(log)[0]["event"].endswith("withheld> of p-1")


def test_the_message_of_an_exception_is_never_written(log):
    try:
        try:
            int(SECRET)
        except ValueError as error:
            raise HubUnreachable("late", url=SECRET, detail=SECRET) from error
    except HubUnreachable:
        logging.getLogger("concura.hospital").exception("round ended")
    (line,) = lines(log)
    assert "Wang" not in json.dumps(line)
    assert line["fault"]["type"] == "HubUnreachable"
    assert (line["fault"]["slug"], line["fault"]["why"], line["fault"]["cause"]) == (
        "unreachable",
        "late",
        "ValueError",
    )
    assert line["fault"]["where"][-1].startswith("test_cli_logs.py:")


def test_other_libraries_and_warnings_leave_part_and_level_only(log):
    logging.getLogger("thirdparty").error(SECRET)
    logging.getLogger("thirdparty").error("%s", SECRET)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn(SECRET, stacklevel=1)
    assert len(lines(log)) == 3
    assert "Wang" not in log.read_text()


def test_access_lines_of_the_web_server_and_client_are_not_written(log):
    logging.getLogger("uvicorn.access").info(
        '%s - "%s %s HTTP/%s" %d', "127.0.0.1", "GET", "/fhir/Patient?name=Wang", "1.1", 200
    )
    logging.getLogger("httpx").info("HTTP Request: GET https://hub/Patient?name=Wang")
    logging.getLogger("asyncio").error("Task exception was never retrieved: Wang")
    assert not log.read_text()


def test_the_web_servers_own_events_are_routed_in(log):
    logging.getLogger("uvicorn.error").info("Finished server process [%d]", 7)
    assert lines(log)[0]["event"] == "Finished server process [7]"


def test_a_template_that_meets_a_withheld_value_is_written_without(log):
    record = logging.LogRecord("concura", logging.INFO, "x.py", 1, "size %d", (SECRET,), None)
    handler(log).emit(record)
    assert lines(log)[0]["event"] == "size %d"


def test_logs_are_rotated_and_the_oldest_goes(log):
    for number in range(200):
        logging.getLogger("concura").info("event %d", number)
    names = sorted(path.name for path in log.parent.iterdir())
    assert names == ["hub.jsonl", "hub.jsonl.1", "hub.jsonl.2"]
    assert all(path.stat().st_size <= 4096 for path in log.parent.iterdir())
    assert lines(log)[-1]["event"] == "event 199"


class Full:
    def write(self, text):
        raise OSError(28, "No space left on device")

    seek = tell = flush = write


def test_a_log_that_cannot_be_written_does_not_stop_the_caller(log, monkeypatch):
    with monkeypatch.context() as full:
        full.setattr(handler(log), "stream", Full())
        logging.getLogger("concura").info("lost")
    logging.getLogger("concura").info("found")
    assert [line["event"] for line in lines(log)] == ["found"]


def test_numbers_and_ids_pass():
    assert [withhold(value) for value in (7, 0.5, True, None, "hospital-a", "/var/log")] == [
        7,
        0.5,
        True,
        None,
        "hospital-a",
        "/var/log",
    ]

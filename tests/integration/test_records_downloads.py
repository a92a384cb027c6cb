"""Downloads come whole and pinned, or not at all. A local server stands in for UCI's archive."""

import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from concura.adapters import downloads
from concura.errors import DownloadInvalid, FolderUnusable

FILES = {"a.data": b"1,2,3\n", "b.data": b"4,5,6\n"}


@pytest.fixture
def server():
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            status, body, length = replies.get(self.path.rsplit("/", 1)[1], (404, b"", None))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body) if length is None else length))
            if status == 302:
                self.send_header("Location", "/away/a.data")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    asked: list = []
    replies = {name: (200, body, None) for name, body in FILES.items()}
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever, args=(0.01,))
        thread.start()
        http.url = f"http://127.0.0.1:{http.server_port}/heart/"
        http.replies, http.asked = replies, asked
        yield http
        http.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def pinned(monkeypatch):
    pins = {n: (hashlib.sha256(b).hexdigest(), len(b)) for n, b in FILES.items()}
    monkeypatch.setattr(downloads, "HEART_DISEASE_FILES", pins)


def test_the_files_are_taken_whole_and_progress_is_told(server, tmp_path):
    told = []
    target = tmp_path / "new" / "heart"
    paths = downloads.get_heart_disease(
        target, base_url=server.url, progress=lambda *step: told.append(step)
    )
    assert [p.read_bytes() for p in paths] == list(FILES.values())
    assert told == [("a.data", 0, 2), ("b.data", 1, 2)]


def test_files_that_are_there_and_right_are_not_taken_again(server, tmp_path):
    downloads.get_heart_disease(tmp_path, base_url=server.url)
    (tmp_path / "b.data").write_bytes(b"4,5,7\n")
    server.asked.clear()
    downloads.get_heart_disease(tmp_path, base_url=server.url)
    assert server.asked == ["/heart/b.data"]
    assert (tmp_path / "b.data").read_bytes() == FILES["b.data"]


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        ((200, b"1,2,4\n", None), "digest"),
        ((200, b"1,2\n", None), "digest"),
        ((200, b"1,2,3\nmore", None), "size"),
        ((200, b"1,2,", 6), "network"),
        ((404, b"", None), "status"),
        ((302, b"", None), "network"),
    ],
)
def test_anything_but_the_pinned_bytes_leaves_nothing_behind(server, tmp_path, reply, why):
    server.replies["a.data"] = reply
    with pytest.raises(DownloadInvalid) as caught:
        downloads.get_heart_disease(tmp_path, base_url=server.url)
    assert caught.value.why == why
    assert caught.value.message("zh")
    assert caught.value.message("en")
    assert list(tmp_path.iterdir()) == []


def test_no_answer_is_told_by_host(tmp_path, server):
    server.shutdown()
    server.socket.close()
    with pytest.raises(DownloadInvalid) as caught:
        downloads.get_heart_disease(tmp_path, base_url=server.url)
    assert "127.0.0.1" in caught.value.message()


def test_other_schemes_than_http_are_refused(tmp_path):
    for url in ("file:///etc", "ftp://x/", "nonsense"):
        with pytest.raises(DownloadInvalid) as caught:
            downloads.get_heart_disease(tmp_path, base_url=url)
        assert caught.value.why == "url"


def test_a_target_that_is_a_file_is_refused(server, tmp_path):
    (tmp_path / "x").write_text("")
    with pytest.raises(FolderUnusable):
        downloads.get_heart_disease(tmp_path / "x", base_url=server.url)


@pytest.mark.data
def test_the_pins_are_those_of_the_files_at_hand(data_folder, monkeypatch):
    monkeypatch.undo()
    assert len(downloads.HEART_DISEASE_FILES) == 4
    for name, (digest, size) in downloads.HEART_DISEASE_FILES.items():
        data = (data_folder / "heart_disease" / name).read_bytes()
        assert (hashlib.sha256(data).hexdigest(), len(data)) == (digest, size)

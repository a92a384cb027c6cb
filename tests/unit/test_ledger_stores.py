"""The hub's and the node's stores: both adapters keep the same promises."""

import asyncio
import threading

import apsw
import pytest

from concura.adapters.sqlite import Database
from concura.adapters.sqlite_hub import SqliteHubStore
from concura.adapters.sqlite_node import SqliteNodeStore
from concura.errors import FolderFormat, FolderUnusable, InternalFault, StoreCorrupt, StoreFull
from concura.ports import MailItem
from concura.testing.stores import MemoryHubStore, MemoryNodeStore

KEY = bytes(range(32))


@pytest.fixture(params=["memory", "sqlite"])
def hub(request, tmp_path):
    store = MemoryHubStore() if request.param == "memory" else SqliteHubStore(tmp_path / "hub.db")
    yield store
    store.close()


@pytest.fixture(params=["memory", "sqlite", "encrypted"])
def node(request, tmp_path):
    key = KEY if request.param == "encrypted" else None
    path = tmp_path / "node.db"
    store = MemoryNodeStore() if request.param == "memory" else SqliteNodeStore(path, key=key)
    yield store
    store.close()


def test_the_journal_counts_from_0_and_takes_an_entry_once(hub):
    async def scene():
        assert await hub.append([("a", b"A"), ("b", b"B")]) == [0, 1]
        assert await hub.append([("b", b"B"), ("c", b"C"), ("c", b"C")]) == [1, 2, 2]

    asyncio.run(scene())
    assert hub.journal(0, 10) == [b"A", b"B", b"C"]
    assert hub.journal(1, 1) == [b"B"]
    assert hub.journal(3, 10) == []
    assert (hub.position("c"), hub.position("z")) == (2, None)


def test_many_writers_at_once_get_positions_without_gaps(hub):
    async def scene():
        answers = await asyncio.gather(*(hub.append([(f"{n}", b"x")]) for n in range(200)))
        return [position for (position,) in answers]

    assert sorted(asyncio.run(scene())) == list(range(200))


def test_a_block_never_takes_the_place_of_another(hub):
    async def scene():
        await hub.put_block(0, b"genesis", b"c0")
        await hub.put_block(1, b"one", b"c1")
        await hub.put_block(1, b"one", b"c1")
        with pytest.raises(InternalFault):
            await hub.put_block(1, b"another", b"c2")

    assert hub.checkpoint() == b""
    asyncio.run(scene())
    assert hub.blocks(0, 10) == [b"genesis", b"one"]
    assert hub.blocks(1, 10) == [b"one"]
    assert hub.checkpoint() == b"c1"


def test_cosignatures_stand_by_size_and_member(hub):
    async def scene():
        await hub.put_cosignature(3, "b", b"old")
        await hub.put_cosignature(3, "b", b"new")
        await hub.put_cosignature(3, "a", b"A")
        await hub.put_cosignature(4, "a", b"A4")

    asyncio.run(scene())
    assert list(hub.cosignatures(3).items()) == [("a", b"A"), ("b", b"new")]
    assert hub.cosignatures(5) == {}


def test_mail_is_kept_once_and_its_number_never_comes_back(hub):
    def item(sender="a", kind="request", transfer="t", data=b"1"):
        return MailItem(0, "b", sender, kind, transfer, data)

    async def scene():
        first = await hub.put_mail(item())
        assert await hub.put_mail(item(data=b"2")) == first
        second = await hub.put_mail(item(sender="mallory", data=b"evil"))
        third = await hub.put_mail(item(kind="record"))
        assert first < second < third
        assert [one.data for one in hub.mail("b", 0)] == [b"1", b"evil", b"1"]
        assert [one.number for one in hub.mail("b", first)] == [second, third]
        assert hub.mail("c", 0) == []
        await hub.delete_mail(third)
        assert await hub.put_mail(item(transfer="u")) > third

    asyncio.run(scene())


def test_the_first_contribution_for_a_step_stays(hub):
    async def scene():
        await hub.put_contribution("s", "keys", "b", b"first")
        await hub.put_contribution("s", "keys", "b", b"second")
        await hub.put_contribution("s", "keys", "a", b"A")

    asyncio.run(scene())
    assert list(hub.contributions("s", "keys").items()) == [("a", b"A"), ("b", b"first")]
    assert hub.contributions("s", "1") == {}


def test_the_hubs_facts_are_found_by_name_and_prefix(hub):
    facts_are_found(hub)


def test_a_nodes_facts_are_found_by_name_and_prefix(node):
    facts_are_found(node)


def facts_are_found(store):
    async def scene():
        for name in ("card/b", "card/a", "card/é", "cards", "card"):
            await store.put_fact(name, name.encode())
        await store.put_fact("card/a", b"new")

    asyncio.run(scene())
    assert list(store.facts("card/")) == ["card/a", "card/b", "card/é"]
    assert store.fact("card/a") == b"new"
    assert store.fact("none") is None


def test_a_node_keeps_blocks_all_or_none(node):
    async def scene():
        await node.put_blocks([(0, b"genesis"), (1, b"one")])
        await node.put_blocks([(1, b"one"), (2, b"two")])
        with pytest.raises(InternalFault):
            await node.put_blocks([(3, b"three"), (2, b"another")])
        await node.put_fact("receipt/1", b"r")
        await node.delete_fact("receipt/1")

    asyncio.run(scene())
    assert node.blocks(0, 10) == [b"genesis", b"one", b"two"]
    assert node.fact("receipt/1") is None


def test_what_was_written_is_there_after_opening_again(tmp_path):
    path = tmp_path / "node.db"
    first = SqliteNodeStore(path, key=KEY)
    asyncio.run(first.put_fact("a", b"planted-value"))
    first.close()
    again = SqliteNodeStore(path, key=KEY)
    assert again.fact("a") == b"planted-value"
    again.close()
    assert path.stat().st_mode & 0o777 == 0o600


def test_an_encrypted_file_tells_nothing_and_opens_with_its_key_only(tmp_path):
    path = tmp_path / "node.db"
    store = SqliteNodeStore(path, key=KEY)
    asyncio.run(store.put_fact("planted-name", b"planted-value"))
    files = b"".join(one.read_bytes() for one in tmp_path.iterdir())
    store.close()
    assert b"planted" not in files
    assert b"SQLite" not in files
    for key in (bytes(32), None):
        with pytest.raises(StoreCorrupt) as caught:
            SqliteNodeStore(path, key=key)
        assert str(path) in caught.value.message()


def test_a_file_that_is_no_database_is_named(tmp_path):
    path = tmp_path / "hub.db"
    path.write_bytes(b"this is not a database, but long enough to be looked at" * 40)
    with pytest.raises(StoreCorrupt) as caught:
        SqliteHubStore(path)
    assert caught.value.values["file"] == str(path)


def test_damaged_pages_are_corruption_not_an_answer(tmp_path):
    path = tmp_path / "node.db"
    store = SqliteNodeStore(path, key=KEY)
    asyncio.run(store.put_blocks([(n, bytes([n]) * 3000) for n in range(30)]))
    store.close()
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    store = SqliteNodeStore(path, key=KEY)
    with pytest.raises(StoreCorrupt):
        store.blocks(0, 100)
    store.close()


def test_a_newer_format_and_a_missing_folder_are_named(tmp_path):
    Database(tmp_path / "a.db", schema=["CREATE TABLE t (x)"], version=2).close()
    with pytest.raises(FolderFormat):
        Database(tmp_path / "a.db", schema=[], version=1)
    with pytest.raises(FolderUnusable):
        SqliteHubStore(tmp_path / "none" / "hub.db")


@pytest.fixture
def table(tmp_path):
    db = Database(tmp_path / "t.db", schema=["CREATE TABLE t (x UNIQUE)"])
    yield db
    db.close()


def insert(value):
    return lambda db: db.execute("INSERT INTO t VALUES (?)", (value,)) and None


def test_a_job_that_fails_spoils_no_other(table):
    def bug(db):
        db.execute("INSERT INTO t VALUES ('half')")
        raise ZeroDivisionError

    async def scene():
        jobs = [insert(1), insert(1), bug, insert(2)]
        return await asyncio.gather(*map(table.write, jobs), return_exceptions=True)

    answers = asyncio.run(scene())
    assert [type(one) for one in answers] == [
        type(None),
        InternalFault,
        ZeroDivisionError,
        type(None),
    ]
    assert table.read("SELECT x FROM t ORDER BY x") == [(1,), (2,)]


def test_a_full_disk_refuses_the_write_and_goes_on_when_there_is_room(table):
    def limit(pages):
        return lambda db: db.execute(f"PRAGMA max_page_count = {pages}").fetchall() and None

    async def scene():
        await table.write(limit(1))
        small, large = table.write(insert("small")), table.write(insert("x" * 100_000))
        answers = await asyncio.gather(small, large, return_exceptions=True)
        assert isinstance(answers[1], StoreFull)
        kept = table.read("SELECT x FROM t")
        # What was refused is not there; what was acknowledged is.
        assert [row[0] for row in kept] == (["small"] if answers[0] is None else [])
        await table.write(limit(1_000_000))
        await table.write(insert("later"))

    asyncio.run(scene())
    assert ("later",) in table.read("SELECT x FROM t")


def test_a_caller_that_goes_away_leaves_the_writer_at_work(table):
    async def scene():
        gate = threading.Event()
        blocker = asyncio.ensure_future(table.write(lambda _: gate.wait(10) and None))
        gone = asyncio.ensure_future(table.write(insert("gone")))
        await asyncio.sleep(0)
        gone.cancel()
        gate.set()
        await blocker
        await table.write(insert("after"))

    asyncio.run(scene())
    assert table.read("SELECT x FROM t ORDER BY x") == [("after",), ("gone",)]


def test_many_waiting_jobs_share_one_commit(table):
    commits = []
    table.write_now(lambda db: db.set_commit_hook(lambda: bool(commits.append(1))))

    async def scene():
        gate = threading.Event()
        blocker = asyncio.ensure_future(table.write(lambda _: gate.wait(10) and None))
        await asyncio.sleep(0)
        rest = [asyncio.ensure_future(table.write(insert(n))) for n in range(100)]
        await asyncio.sleep(0)
        gate.set()
        await asyncio.gather(blocker, *rest)

    asyncio.run(scene())
    assert len(commits) <= 3
    assert table.read_value("SELECT count(*) FROM t") == 100


def test_a_closed_store_says_so(tmp_path):
    store = SqliteHubStore(tmp_path / "hub.db")
    store.close()
    store.close()
    with pytest.raises(InternalFault):
        asyncio.run(store.put_fact("a", b""))


def test_no_error_of_the_driver_comes_out(table):
    for statement in ("SELEC", "INSERT INTO nothing VALUES (1)"):
        with pytest.raises(InternalFault) as caught:
            table.write_now(lambda db, sql=statement: db.execute(sql))
        assert isinstance(caught.value.__cause__, apsw.Error)
        with pytest.raises(InternalFault):
            table.read(statement)

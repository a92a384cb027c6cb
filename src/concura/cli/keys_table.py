"""`concura keys rotate|rewrap|erase|backup|restore DIR`: a node's key table.

All but `restore` may run while the node serves its folder.

This module does NOT open rows, and does NOT know how keys are wrapped.
"""

import argparse
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType

from concura.adapters.folders import atomic_write, disk, enter
from concura.adapters.key_copies import (
    back_up_records,
    back_up_table,
    copies,
    restore_records,
    restore_table,
)
from concura.adapters.locks import Lock
from concura.adapters.sqlite_keys import SqliteKeyTable
from concura.adapters.sqlite_records import SqliteRecords
from concura.adapters.system import SystemClock, SystemRandomness, harden_process
from concura.cli.options import Parser, folder
from concura.cli.output import Output
from concura.cli.passphrase import asking
from concura.errors import KeyUnavailable, StoreCorrupt, UsageInvalid, say
from concura.limits import ERASURE_RECEIPT_MAX_BYTES
from concura.ports import KeyStore
from concura.profiles import load_settings, made, open_keys, suite_of
from concura.sealing import Erasure, Receipt, Suite, fingerprint, read_receipt
from concura.types import PatientId

__all__ = ["ACTIONS", "KEY_TABLE"]

KEY_TABLE = Path("data", "keys.db")  # in a node's folder


def _configure_plain(parser: Parser) -> None:
    parser.add_argument("folder", type=folder)


def _configure_erase(parser: Parser) -> None:
    parser.add_argument("folder", type=folder)
    parser.add_argument("--patient", action="append", required=True, metavar="ID")
    parser.add_argument("--receipts", type=folder, metavar="FOLDER")
    parser.add_argument("--later", action="store_true")
    parser.add_argument("--yes", action="store_true")


def _configure_backup(parser: Parser) -> None:
    parser.add_argument("folder", type=folder)
    parser.add_argument("--records", type=folder, metavar="FILE")
    parser.add_argument("--table", type=folder, metavar="FILE")


def _configure_restore(parser: Parser) -> None:
    _configure_backup(parser)
    parser.add_argument("--receipt", type=folder, action="append", default=[], metavar="FILE")
    parser.add_argument("--replace", action="store_true")


def _rotate(options: argparse.Namespace) -> int:
    output: Output = options.output
    with _table(options) as table:
        epoch = table.rotate()
        pending = table.state().pending
    output.say("keys.rotated", epoch=epoch, pending=pending, folder=str(options.folder))
    output.object({"epoch": epoch, "pending": pending})
    return 0


def _rewrap(options: argparse.Namespace) -> int:
    output: Output = options.output
    with _table(options) as table:
        count, seconds = _renew(table, output)
        state = table.state()
    output.say("keys.rewrapped", count=count, epoch=state.epoch, seconds=f"{seconds:.1f}")
    output.object({"rewrapped": count, "epoch": state.epoch, "seconds": round(seconds, 3)})
    return 0


def _renew(table: SqliteKeyTable, output: Output) -> tuple[int, float]:
    state = table.state()
    if state.needs_epoch:
        table.rotate()
        state = table.state()
    start = time.perf_counter()
    with output.progress(say("keys.rewrapping", output.lang), state.patients) as advance:
        count = table.rewrap(advance=advance)
    return count, time.perf_counter() - start


def _erase(options: argparse.Namespace) -> int:
    output: Output = options.output
    place: Path = options.folder
    if not options.yes:
        raise UsageInvalid(detail=say("keys.erase.sure", options.lang, count=len(options.patient)))
    with _records(options) as (records, keystore):
        receipts = made(options.receipts or place / "erasures")
        told = [_erase_one(records, keystore, PatientId(p), receipts) for p in options.patient]
        if not options.later:
            _renew(records.table, output)
        deleted = max(erasure.time_ms for erasure, _ in told)
        holding = [copy.place for copy in copies(records.table) if copy.made_ms <= deleted]
    for patient, (erasure, path) in zip(options.patient, told, strict=True):
        output.say("keys.erased", patient=patient, deleted=_day(erasure.time_ms), path=str(path))
        output.say("keys.complete", patient=patient, complete=_day(erasure.complete_ms))
    if options.later:
        output.say("keys.later", due=_time(deleted), folder=str(place))
    for copy in holding:
        output.line(say("keys.holding", output.lang, file=str(copy)), style="warn")
    output.say("keys.elsewhere")
    output.object(
        {
            "erased": [
                {
                    "patient": patient,
                    "deleted_ms": erasure.time_ms,
                    "rewrap_ms": erasure.rewrap_ms,
                    "complete_ms": erasure.complete_ms,
                    "receipt": str(path),
                }
                for patient, (erasure, path) in zip(options.patient, told, strict=True)
            ],
            "rewrapped": not options.later,
            "backups": [str(copy) for copy in holding],
        }
    )
    return 0


def _erase_one(
    records: SqliteRecords, keystore: KeyStore, patient: PatientId, receipts: Path
) -> tuple[Erasure, Path]:
    erasure = records.erase(patient, now_ms=SystemClock().now_ms())
    receipt = Receipt(erasure, fingerprint(keystore.public("sign")))
    signed = Receipt(erasure, receipt.holder, keystore.sign(receipt.body()))
    path = receipts / f"{erasure.patient.hex()[:16]}-{erasure.generation}.json"
    atomic_write(path, signed.to_bytes())
    return erasure, path


def _backup(options: argparse.Namespace) -> int:
    output: Output = options.output
    records_to, table_to = _both(options)
    now = SystemClock().now_ms()
    with _records(options) as (records, _):
        if records_to is not None:
            back_up_records(records, records_to)
            output.say("keys.backed.records", file=str(records_to))
        if table_to is not None:
            back_up_table(records.table, table_to, now_ms=now)
            output.say("keys.backed.table", file=str(table_to))
        older = [copy.place for copy in copies(records.table) if copy.made_ms < now]
    for copy in older if table_to is not None else []:
        output.line(say("keys.older", output.lang, file=str(copy)), style="warn")
    output.object(
        {
            "records": str(records_to) if records_to else None,
            "table": str(table_to) if table_to else None,
            "older": [str(copy) for copy in older],
        }
    )
    return 0


def _restore(options: argparse.Namespace) -> int:
    output: Output = options.output
    place: Path = options.folder
    records_from, table_from = _both(options)
    enter(place, "node")
    # Nobody may serve the folder, or turn its keys, while its files are exchanged.
    with Lock(place):
        data = made(place / "data")
        with Lock(data):
            keystore = _open_keys(options)
            more = {
                "keystore": keystore,
                "randomness": SystemRandomness(),
                "now_ms": SystemClock().now_ms(),
                "erasures": [_read_receipt(path, keystore) for path in options.receipt],
                "replace": options.replace,
                "suite": _suite(place),
            }
            if table_from is not None:
                restore_table(data, table_from, **more)
                output.say("keys.restored.table", file=str(table_from))
            unreadable = 0
            if records_from is not None:
                unreadable = restore_records(data, records_from, **more)
                output.say("keys.restored.records", file=str(records_from))
    if unreadable:
        output.line(say("keys.unreadable", output.lang, count=unreadable), style="warn")
    output.object({"unreadable": unreadable})
    return 0


def _both(options: argparse.Namespace) -> tuple[Path | None, Path | None]:
    records, table = options.records, options.table
    if records is None and table is None:
        raise UsageInvalid(detail=say("keys.backup.none", options.lang))
    # Together they are everything; and a key table that is kept like data is kept too long.
    if records is not None and table is not None and records.parent == table.parent:
        raise UsageInvalid(detail=say("keys.backup.together", options.lang))
    return records, table


def _read_receipt(path: Path, keystore: KeyStore) -> Erasure:
    try:
        with path.open("rb") as file:
            data = file.read(ERASURE_RECEIPT_MAX_BYTES + 1)
    except OSError as error:
        raise StoreCorrupt("receipt") from error
    return read_receipt(data, public=keystore.public("sign"))


def _open_keys(options: argparse.Namespace) -> KeyStore:
    harden_process()
    place: Path = options.folder
    settings = load_settings(place, environment=os.environ).settings
    return open_keys(place, settings, ask=asking(options.lang))


def _suite(place: Path) -> Suite:
    return suite_of(place, load_settings(place, environment=os.environ).settings)


@contextmanager
def _table(options: argparse.Namespace) -> Iterator[SqliteKeyTable]:
    place: Path = options.folder
    with _alone(place):
        keystore, suite = _open_keys(options), _suite(place)
        table = SqliteKeyTable(place / KEY_TABLE, keystore, SystemRandomness(), suite=suite)
        try:
            yield table
        finally:
            table.close()


@contextmanager
def _records(options: argparse.Namespace) -> Iterator[tuple[SqliteRecords, KeyStore]]:
    place: Path = options.folder
    with _alone(place):
        keystore = _open_keys(options)
        records = SqliteRecords(place / "data", keystore, SystemRandomness(), suite=_suite(place))
        try:
            yield records, keystore
        finally:
            records.close()


@contextmanager
def _alone(place: Path) -> Iterator[None]:
    """Let no second command turn these keys; the node itself may go on."""
    enter(place, "node")
    if not (place / KEY_TABLE).exists():
        raise KeyUnavailable("missing", file=str(place / KEY_TABLE))
    with disk(place), Lock(place / "data"):
        yield


def _day(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%d")


def _time(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")


ACTIONS = MappingProxyType(
    {
        "rotate": (_configure_plain, _rotate),
        "rewrap": (_configure_plain, _rewrap),
        "erase": (_configure_erase, _erase),
        "backup": (_configure_backup, _backup),
        "restore": (_configure_restore, _restore),
    }
)

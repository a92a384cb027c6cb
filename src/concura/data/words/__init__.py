"""The catalogue of every sentence that people read: key -> (English, Chinese). No logic.

One file per area; a key stands in one of them only (tests/test_words.py).
"""

from concura.data.words import (
    cli,
    decisions,
    errors,
    keys,
    keystores,
    ledger,
    nodes,
    records,
    report,
    sealing,
    story,
    streams,
)

__all__ = ["WORDS"]

WORDS: dict[str, tuple[str, str]] = {
    **cli.WORDS,
    **decisions.WORDS,
    **errors.WORDS,
    **keys.WORDS,
    **keystores.WORDS,
    **ledger.WORDS,
    **nodes.WORDS,
    **records.WORDS,
    **report.WORDS,
    **sealing.WORDS,
    **story.WORDS,
    **streams.WORDS,
}

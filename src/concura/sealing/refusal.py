"""The numbered checks of a sealed record, and the refusal that names the failed one.

A reader goes through the steps in this order and stops at the first that fails, so that nothing
is decrypted that the ledger does not know, and nothing is shown that nobody signed:

    1 form        2 ledger digest   3 wrapped content key   4 key commitment   5 decryption
    6 content     7 binding         8 signature             9 context

This module does NOT check anything itself. Follows docs/spec/envelope.md, "Opening".
"""

from types import MappingProxyType

from concura.errors import EnvelopeRefused

__all__ = ["STEPS", "refused"]

# Why a record is refused -> at which step. Step 0 is the sealer's side: there is no record yet.
STEPS = MappingProxyType(
    {
        "key": 0,
        "parts": 0,
        "size": 1,
        "canonical": 1,
        "members": 1,
        "encoding": 1,
        "header": 1,
        "policy": 1,
        "recipients": 1,
        "digest": 2,
        "reader": 3,
        "wrap": 3,
        "commitment": 4,
        "decryption": 5,
        "content": 6,
        "binding": 7,
        "entries": 7,
        "signature": 8,
        "context": 9,
        "recipient": 9,
    }
)


def refused(why: str, **values: object) -> EnvelopeRefused:
    """Make the refusal for one failed check.

    Args:
        why: a key of `STEPS`.
        **values: what the sentence names besides the step. MUST NOT hold plaintext or keys.

    Returns:
        The error, to be raised.

    Example:
        >>> refused("commitment").values["step"]
        4
    """
    return EnvelopeRefused(why, step=STEPS[why], detail=why, **values)

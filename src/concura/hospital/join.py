"""Joining a consortium: check the invitation, sign genesis, or apply to those who are in.

The node trusts the genesis digest that a person compared by telephone, and nothing else that the
hub says. It does NOT read files.
"""

import logging
from dataclasses import dataclass

from concura.canonical import b64decode, b64encode, decode, encode
from concura.errors import ConcuraError, InvitationInvalid
from concura.ledger import (
    Entry,
    Genesis,
    MemberCard,
    decode_receipt,
    founding_message,
    message,
    sign_entry,
    words,
)
from concura.ports import Clock, Hub, KeyStore, Randomness
from concura.sealing.keys import fingerprint

__all__ = ["Invitation", "apply", "found", "read_invitation"]

_log = logging.getLogger(__name__)

_MEMBERS = {"v", "url", "authority", "genesis", "words"}


@dataclass(frozen=True, slots=True)
class Invitation:
    """What a hospital needs to join: where the hub is, and which consortium it is.

    Args:
        url: the hub's address.
        authority: DER of the hub's own certificate authority.
        genesis: the constitution; its digest is the chain id.
    """

    url: str
    authority: bytes
    genesis: Genesis

    @property
    def words(self) -> str:
        """The genesis digest as words to compare by telephone."""
        return words(self.genesis.chain)

    def encode(self) -> bytes:
        """Write it as canonical JSON.

        Raises:
            ChainInvalid: its genesis is none.
        """
        return encode(
            {
                "v": 1,
                "url": self.url,
                "authority": b64encode(self.authority),
                "genesis": b64encode(self.genesis.encode()),
                "words": self.words,
            }
        )


def read_invitation(data: bytes) -> Invitation:
    """Read an invitation, and check that its parts belong together.

    Args:
        data: canonical JSON.

    Raises:
        InvitationInvalid: malformed, or tampered with.
    """
    try:
        found = decode(data.rstrip(b"\n"))
        if set(found) != _MEMBERS or found["v"] != 1:
            raise ValueError("members")  # noqa: TRY301 - one place turns all of them into our error
        genesis = Genesis.decode(b64decode(found["genesis"]))
        invitation = Invitation(str(found["url"]), b64decode(found["authority"]), genesis)
    except (ConcuraError, ValueError, TypeError) as error:
        raise InvitationInvalid(detail="it was changed, or is no invitation") from error
    if invitation.authority != genesis.hub_authority:
        raise InvitationInvalid(detail="its hub is not the one of its genesis")
    if invitation.words != found["words"]:
        raise InvitationInvalid(detail="its words do not fit its genesis")
    return invitation


async def found(card: MemberCard, genesis: Genesis, *, hub: Hub, keys: KeyStore) -> None:
    """Sign genesis as one of its founders, and hand the signature in.

    Raises:
        InvitationInvalid: genesis names another card for this member.
    """
    mine = next((c for c in genesis.founders if c.member == card.member), None)
    if mine != card:
        raise InvitationInvalid(detail="its genesis does not hold this node's keys")
    await hub.found(card.member, keys.sign(founding_message(genesis.chain)))


async def apply(
    card: MemberCard,
    genesis: Genesis,
    *,
    hub: Hub,
    keys: KeyStore,
    clock: Clock,
    randomness: Randomness,
) -> None:
    """Apply for membership; the members then admit by quorum.

    Raises:
        EntryRefused: the contract says no.
    """
    entry = Entry(
        chain=genesis.chain,
        type="member.apply",
        author=card.member,
        time_ms=clock.now_ms(),
        nonce=randomness.draw(16).hex(),
        body={"card": card.to_json()},
    )
    key = fingerprint(keys.public("sign"))
    data = sign_entry(entry, key, keys.sign(message(entry)))
    receipt = decode_receipt((await hub.submit([data]))[0])
    receipt.verify(genesis.hub_witness, chain=genesis.chain, entry=entry.id)

"""Founding: genesis stands, the founders sign it one by one, then block 0 is made of it.

It does NOT decide who founds: that is in genesis, which the invitation names by its digest.
"""

from concura.canonical import b64encode, encode
from concura.errors import NotMember
from concura.ledger import Genesis, MemberCard, founding_message
from concura.ports import HubStore
from concura.sealing.keys import verify_signature
from concura.types import MemberId

__all__ = ["Founding"]

_PREFIX = "founder/"


class Founding:
    """Collects the founders' signatures over genesis.

    Args:
        genesis: the consortium's constitution.
        store: where signatures are kept.
    """

    def __init__(self, genesis: Genesis, store: HubStore) -> None:
        self._genesis = genesis
        self._store = store
        self._cards: dict[MemberId, MemberCard] = {c.member: c for c in genesis.founders}

    def document(self) -> bytes:
        """Return genesis and the signatures so far, as canonical JSON."""
        signatures = {str(m): b64encode(s) for m, s in self.signatures().items()}
        return encode({"genesis": b64encode(self._genesis.encode()), "signatures": signatures})

    async def sign(self, member: MemberId, signature: bytes) -> None:
        """Take one founder's signature.

        Raises:
            NotMember: no founder, or the signature is not its.
        """
        card = self._cards.get(member)
        if card is None or not verify_signature(
            card.sign,
            founding_message(self._genesis.chain),
            signature,
            suite=self._genesis.suite,
        ):
            raise NotMember(who=member, detail="this is not a founder's signature over genesis")
        if member not in self.signatures():
            await self._store.put_fact(_PREFIX + member, signature)
            await self._store.put_fact(f"card/{member}", encode(card.to_json()))

    def signatures(self) -> dict[MemberId, bytes]:
        """Return the signatures that have come in."""
        found = self._store.facts(_PREFIX)
        return {MemberId(name.removeprefix(_PREFIX)): value for name, value in found.items()}

    def is_complete(self) -> bool:
        """Return whether every founder has signed."""
        return set(self.signatures()) == set(self._cards)

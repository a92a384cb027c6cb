"""RFC 6962 trees against the values of the Certificate Transparency project and against pymerkle."""

import hashlib

import pymerkle
import pytest

from concura.ledger.merkle import (
    EMPTY_ROOT,
    CompactRange,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    root,
    verify_consistency,
    verify_inclusion,
)

# The inputs and roots that Certificate Transparency's own implementations are tested with.
CT_LEAVES = [
    "",
    "00",
    "10",
    "2021",
    "3031",
    "40414243",
    "5051525354555657",
    "606162636465666768696a6b6c6d6e6f",
]
CT_ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


def leaves(count):
    return [leaf_hash(bytes([number])) for number in range(count)]


def test_roots_are_those_of_certificate_transparency():
    hashes = [leaf_hash(bytes.fromhex(leaf)) for leaf in CT_LEAVES]
    assert [root(hashes[:size]).hex() for size in range(1, 9)] == CT_ROOTS
    assert root([]) == EMPTY_ROOT == hashlib.sha256(b"").digest()


def test_roots_and_paths_are_those_of_pymerkle():
    tree = pymerkle.InmemoryTree(algorithm="sha256")
    for number in range(40):
        tree.append_entry(bytes([number]))
    for size in range(1, 41):
        assert root(leaves(size)) == tree.get_root(size)
        for index in range(size):
            path = tree.prove_inclusion(index + 1, size).path
            assert inclusion_proof(leaves(size), index) == path[1:]


def subproof(size, tree, is_whole):
    """RFC 6962 section 2.1.2, word by word, with pymerkle's roots."""
    if size == len(tree):
        return [] if is_whole else [oracle(tree)]
    middle = 1
    while middle * 2 < len(tree):
        middle *= 2
    if size <= middle:
        return [*subproof(size, tree[:middle], is_whole), oracle(tree[middle:])]
    return [*subproof(size - middle, tree[middle:], is_whole=False), oracle(tree[:middle])]


def oracle(entries):
    tree = pymerkle.InmemoryTree(algorithm="sha256")
    for entry in entries:
        tree.append_entry(entry)
    return tree.get_root()


def test_consistency_proofs_are_those_of_the_definition():
    entries = [bytes([number]) for number in range(17)]
    for new in range(1, 18):
        for old in range(1, new + 1):
            theirs = subproof(old, entries[:new], is_whole=True)
            assert consistency_proof(leaves(new), old) == theirs


@pytest.mark.parametrize("size", list(range(1, 18)))
def test_a_proof_fits_its_leaf_place_size_and_root_only(size):
    tree = leaves(size)
    for index in range(size):
        proof = inclusion_proof(tree, index)
        good = {"size": size, "proof": proof, "root_hash": root(tree)}
        assert verify_inclusion(tree[index], index, **good)
        assert not verify_inclusion(leaf_hash(b"another"), index, **good)
        assert not verify_inclusion(tree[index], index, **(good | {"root_hash": EMPTY_ROOT}))
        assert not verify_inclusion(tree[index], index, **(good | {"proof": [*proof, EMPTY_ROOT]}))
        for place in range(-1, size + 2):
            assert verify_inclusion(tree[index], place, **good) == (place == index)
        for cut in range(len(proof)):
            assert not verify_inclusion(tree[index], index, **(good | {"proof": proof[:cut]}))


@pytest.mark.parametrize("new", list(range(18)))
def test_a_consistency_proof_fits_its_two_trees_only(new):
    tree = leaves(new)
    for old in range(new + 1):
        proof = consistency_proof(tree, old)
        first, second = (old, root(tree[:old])), (new, root(tree))
        assert verify_consistency(first, second, proof=proof)
        assert not verify_consistency(first, second, proof=[*proof, EMPTY_ROOT])
        assert not verify_consistency((old, leaf_hash(b"x")), second, proof=proof)
        assert not verify_consistency(first, (new, leaf_hash(b"x")), proof=proof) or old == 0
        for cut in range(len(proof)):
            assert not verify_consistency(first, second, proof=proof[:cut])
    assert not verify_consistency((new + 1, EMPTY_ROOT), (new, root(tree)), proof=[])


def test_a_tree_goes_on_from_its_peaks():
    tree = CompactRange()
    for leaf in leaves(13):
        tree.append(leaf)
    later = CompactRange(tree.size, tree.peaks)
    later.append(leaf_hash(b"next"))
    assert later.root() == root([*leaves(13), leaf_hash(b"next")])
    assert tree.root() == root(leaves(13))
    with pytest.raises(ValueError, match="peaks"):
        CompactRange(3, tree.peaks)


def test_a_proof_for_a_place_outside_the_tree_is_an_error():
    with pytest.raises(IndexError):
        inclusion_proof(leaves(3), 3)
    with pytest.raises(IndexError):
        consistency_proof(leaves(3), 4)

"""The bytes of masks, mask keys and splits stay what they were: two versions must agree on them.

`learning/masking.txt` was written once from the specification's own steps; a change here is a
change of protocol.
"""

from pathlib import Path

import numpy as np

from concura.learning import (
    encode_fixed,
    make_study,
    mask,
    mask_key_message,
    pack_words,
    public_of,
    shared_seed,
    sides,
)

VECTORS = dict(
    line.split(": ", 1)
    for line in (Path(__file__).parent / "learning" / "masking.txt").read_text().splitlines()
    if ": " in line and not line.startswith("#")
)
STUDY = VECTORS["study"]
NAMES = VECTORS["members"].split()
KEYS = {name: bytes.fromhex(VECTORS[f"private {name}"]) for name in NAMES}


def found():
    """Calculate every value that the file gives."""
    yield "study", STUDY
    yield "members", " ".join(NAMES)
    for name in NAMES:
        yield f"private {name}", KEYS[name].hex()
        yield f"public {name}", public_of(KEYS[name]).hex()
        yield f"message {name}", mask_key_message(STUDY, name, public_of(KEYS[name])).hex()
    vector = np.array([float(text) for text in VECTORS["vector"].split()])
    yield "vector", VECTORS["vector"]
    yield "fixed", pack_words(encode_fixed(vector)).hex()
    for me in NAMES:
        seeds = {
            peer: shared_seed(KEYS[me], public_of(KEYS[peer]), study=STUDY, me=me, peer=peer)
            for peer in NAMES
            if peer != me
        }
        for peer in NAMES:
            if me < peer:
                yield f"seed {me} {peer}", seeds[peer].hex()
        label = f"{STUDY}/round-1".encode()
        yield (
            f"masked {me}",
            pack_words(mask(encode_fixed(vector), me=me, seeds=seeds, label=label)).hex(),
        )
    study = make_study(
        "mission",
        study_id=STUDY,
        seed=42,
        features=("a",),
        features_digest="",
        outcome="o",
        horizon_days=None,
    )
    held, fold = sides(study, [str(i) for i in range(40)])
    yield "held out of 0..39 under seed 42", " ".join(str(i) for i in np.flatnonzero(held))
    yield "folds of 0..39 under seed 42", " ".join(str(f) for f in fold)


def test_every_stored_value_is_calculated_again():
    assert dict(found()) == VECTORS

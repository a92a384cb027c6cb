"""One model, no raw data: studies, optimisers, masked sums, and the participant as a generator.

What a hospital does in a study is `participant`; `run` drives all of them in one process. It does
NOT know the hub, the ledger or FHIR. Masks and fixed point follow PROTOCOLS §8.
"""

from concura.learning.baselines import Comparison, Judged, alone, compare, judge, pooled
from concura.learning.cohort import Cohort, Split, split
from concura.learning.engine import run
from concura.learning.fixed import (
    BOUND,
    Words,
    add_words,
    decode_fixed,
    encode_fixed,
    pack_words,
    unpack_words,
)
from concura.learning.masking import mask, mask_key_message, public_of, shared_seed
from concura.learning.metrics import (
    Metric,
    auc,
    auc_interval,
    brier,
    calibration,
    calibration_bins,
    logit,
    roc,
    wilson,
    within_auc,
)
from concura.learning.model import Model, logits, predict
from concura.learning.moments import Standard
from concura.learning.participant import participant, step_names
from concura.learning.scores import auc_from_histogram
from concura.learning.steps import Contribution, RoundClosed
from concura.learning.study import PRESETS, SMALL_CELL, Study, make_study, sides

__all__ = [
    "BOUND",
    "PRESETS",
    "SMALL_CELL",
    "Cohort",
    "Comparison",
    "Contribution",
    "Judged",
    "Metric",
    "Model",
    "RoundClosed",
    "Split",
    "Standard",
    "Study",
    "Words",
    "add_words",
    "alone",
    "auc",
    "auc_from_histogram",
    "auc_interval",
    "brier",
    "calibration",
    "calibration_bins",
    "compare",
    "decode_fixed",
    "encode_fixed",
    "judge",
    "logit",
    "logits",
    "make_study",
    "mask",
    "mask_key_message",
    "pack_words",
    "participant",
    "pooled",
    "predict",
    "public_of",
    "roc",
    "run",
    "shared_seed",
    "sides",
    "split",
    "step_names",
    "unpack_words",
    "wilson",
    "within_auc",
]

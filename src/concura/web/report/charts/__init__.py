"""The pictures of the report, one per file."""

from concura.web.report.charts.auc_bars import auc_bars
from concura.web.report.charts.calibration import calibration
from concura.web.report.charts.intervals import intervals
from concura.web.report.charts.loss import loss
from concura.web.report.charts.passage import passage
from concura.web.report.charts.reasons import reasons
from concura.web.report.charts.risk import risk
from concura.web.report.charts.road import road
from concura.web.report.charts.roc import roc
from concura.web.report.charts.timeline import timeline

__all__ = [
    "auc_bars", "calibration", "intervals", "loss", "passage", "reasons", "risk", "road", "roc",
    "timeline",
]  # fmt: skip

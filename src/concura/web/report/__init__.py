"""The report: one self-contained page in English or Chinese, drawn from one story."""

from concura.web.report.page import render
from concura.web.report.story import Story, summary

__all__ = ["Story", "render", "summary"]

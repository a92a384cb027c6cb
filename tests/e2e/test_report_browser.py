"""The report in a real browser: it fits, it loads nothing, and data stay text."""

import html
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from concura.web.report import render

VECTORS = Path(__file__).parents[1] / "vectors" / "report"
BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-dev-shm-usage", "--hide-scrollbars", "--allow-file-access-from-files",
]  # fmt: skip
# What the wrapper finds out about each frame stands as JSON in its title.
MEASURE = """<!doctype html><meta charset="utf-8"><body>{frames}<script>
addEventListener("load", () => {{
  const seen = [...document.querySelectorAll("iframe")].map(frame => {{
    const page = frame.contentDocument, root = page.documentElement, wide = root.clientWidth;
    const over = [...page.querySelectorAll("body *")].filter(e => {{
      const box = e.getBoundingClientRect();
      return box.width > 0 && (box.right > wide + 1 || box.left < -1);
    }}).map(e => e.tagName + "." + (e.getAttribute("class") || "") + ":" + e.textContent.slice(0, 40));
    const collide = [];
    for (const picture of page.querySelectorAll("svg.picture")) {{
      const words = [...picture.querySelectorAll("text")].map(e => [e, e.getBoundingClientRect()]);
      words.forEach(([one, a], at) => words.slice(at + 1).forEach(([two, b]) => {{
        const across = Math.min(a.right, b.right) - Math.max(a.left, b.left);
        const down = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
        if (across > 1 && down > 5) collide.push(one.textContent + " | " + two.textContent);
      }}));
    }}
    return {{collide, name: frame.name, width: frame.offsetWidth, scroll: root.scrollWidth, over,
      scripts: page.scripts.length, tampered: !!frame.contentWindow.tampered,
      loaded: frame.contentWindow.performance.getEntriesByType("resource").map(e => e.name),
      styled: frame.contentWindow.getComputedStyle(page.querySelector("h1")).fontWeight,
      height: root.scrollHeight}};
  }});
  document.title = JSON.stringify(seen);
}});
</script>"""

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        BROWSER is None and os.environ.get("CONCURA_REQUIRE_ALL") != "1",
        reason="no Chromium on this machine",
    ),
]


def _with_long_reasons(story):
    label = {
        "en": "Highest systolic blood pressure at rest on admission",
        "zh": "入院时静息状态下测得的最高收缩压数值（坐位测量）",
    }
    reason = {
        "feature": "x",
        "label": label,
        "value": 123.25,
        "unit": "mm[Hg]",
        "direction": "down",
        "contribution": -12.345,
    }
    risks = {"probability": 0.004, "threshold": 0.031, "verdict": "low"}
    return {
        **story,
        "decision": {
            **story["decision"],
            **risks,
            "reasons": [reason, {**reason, "contribution": 0.001, "direction": "up"}],
        },
    }


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    """Measure every page at both widths in one run of the browser."""
    folder = tmp_path_factory.mktemp("report")
    story = json.loads((VECTORS / "story.json").read_text("utf-8"))
    harsh = json.loads((VECTORS / "harsh.json").read_text("utf-8"))
    frames = []
    for name, told in (("story", story), ("harsh", harsh), ("reasons", _with_long_reasons(story))):
        for lang in ("en", "zh"):
            (folder / f"{name}-{lang}.html").write_text(render(told, lang=lang), "utf-8")
            frames += [
                f'<iframe name="{name}-{lang}" src="{name}-{lang}.html" width="{width}" height="900"'
                ' frameborder="0"></iframe>'
                for width in (390, 1280)
            ]
    (folder / "wrapper.html").write_text(MEASURE.format(frames="".join(frames)), "utf-8")
    assert BROWSER is not None, "CONCURA_REQUIRE_ALL is set: install Chromium"
    command = [
        BROWSER, *FLAGS, f"--user-data-dir={folder / 'profile'}", "--virtual-time-budget=4000",
        "--dump-dom", (folder / "wrapper.html").as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=True)
    title = re.search(r"<title>(.*?)</title>", done.stdout, re.DOTALL)
    assert title, done.stdout[:2000]
    measured = json.loads(html.unescape(title[1]))
    assert len(measured) == 12
    return measured


def test_nothing_reaches_beyond_the_screen_on_a_telephone_or_a_desk(seen):
    assert {frame["width"] for frame in seen} == {390, 1280}
    for frame in seen:
        assert frame["scroll"] <= frame["width"], frame
        assert frame["over"] == [], frame


def test_no_words_of_a_picture_lie_on_each_other(seen):
    for frame in seen:
        assert frame["collide"] == [], frame


def test_the_page_runs_no_script_and_loads_nothing(seen):
    for frame in seen:
        assert frame["scripts"] == 0
        assert frame["loaded"] == []
        assert not frame["tampered"]


def test_the_policy_lets_the_style_sheet_in(seen):
    assert {frame["styled"] for frame in seen} == {"600"}

"""Words of the story area."""

WORDS: dict[str, tuple[str, str]] = {}

"""The files that the pages let their readers write: which block holds them."""

from __future__ import annotations

# Name of a config: page, and a line that only its block has (None: `hat cp` makes it).
OWN_CONFIGS: dict[str, tuple[str, str | None]] = {
    "my_sintel.py": ("docs/data_sets.md", 'task_name = "pwcnet_lite_sintel"'),
    "mine.py": ("docs/own_network.md", 'task_name = "mine"'),
    "my_config.py": ("docs/migrating.md", None),
}

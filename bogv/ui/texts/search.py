"""Texts about what a visitor typed into the fields of the Search tab."""

from __future__ import annotations

# By key: English and Chinese.
SEARCH: dict[str, tuple[str, str]] = {
    "number_missing": (
        "“{name}” was empty: {used} is used.",
        "“{name}”为空，已改用 {used}。",
    ),
    "number_outside": (
        "“{name}” must be {lowest} to {highest}: {used} is used.",
        "“{name}”必须在 {lowest} 到 {highest} 之间，已改用 {used}。",
    ),
}

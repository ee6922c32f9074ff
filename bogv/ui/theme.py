"""Colours and fonts. Only system fonts: the page must load nothing from other hosts."""

from __future__ import annotations

import gradio as gr
from gradio.themes.utils.fonts import Font

SANS = (
    "Segoe UI",
    "Roboto",
    "Helvetica Neue",
    "PingFang SC",
    "Microsoft YaHei",
    "Noto Sans CJK SC",
)
MONO = ("SF Mono", "Cascadia Mono", "Consolas", "DejaVu Sans Mono")


def build_theme() -> gr.themes.Base:
    """Teal on slate grey, with a light and a dark variant."""
    return gr.themes.Base(
        primary_hue=gr.themes.colors.teal,
        secondary_hue=gr.themes.colors.teal,
        neutral_hue=gr.themes.colors.slate,
        radius_size=gr.themes.sizes.radius_lg,
        font=[*map(Font, SANS), Font("sans-serif")],
        font_mono=[*map(Font, MONO), Font("monospace")],
    ).set(
        body_background_fill="*neutral_50",
        body_background_fill_dark="#0d1417",
        background_fill_primary="*neutral_50",
        background_fill_primary_dark="#141d21",
        background_fill_secondary_dark="#0d1417",
        block_background_fill="white",
        block_background_fill_dark="#141d21",
        block_border_color="*neutral_200",
        block_border_color_dark="#26343a",
        block_label_background_fill="transparent",
        block_label_background_fill_dark="transparent",
        block_label_border_width="0px",
        block_label_text_color="*neutral_500",
        block_label_text_color_dark="*neutral_400",
        block_shadow="0 1px 2px rgb(15 23 42 / 0.05)",
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_dark="*primary_700",
        button_primary_background_fill_hover_dark="*primary_600",
        button_primary_text_color="white",
        button_cancel_background_fill="#b42318",
        button_cancel_background_fill_hover="#912018",
        button_cancel_background_fill_dark="#b42318",
        button_cancel_background_fill_hover_dark="#d92d20",
        button_cancel_text_color="white",
        button_cancel_text_color_dark="white",
        slider_color="*primary_600",
    )

"""How the page looks: gradio's base theme with the system's own fonts, so that nothing is fetched from elsewhere."""

from __future__ import annotations

import gradio as gr
from gradio.themes.utils import colors, sizes

_SANS = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"]
_MONO = ["ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace"]


def theme() -> gr.themes.Base:
    """Return the theme. Every pair of text and ground has a contrast of at least 4.5 (WCAG 2.2, 1.4.3)."""
    base = gr.themes.Base(
        primary_hue=colors.indigo,
        secondary_hue=colors.slate,
        neutral_hue=colors.slate,
        spacing_size=sizes.spacing_sm,
        radius_size=sizes.radius_md,
        text_size=sizes.text_md,
        font=_SANS,
        font_mono=_MONO,
    )
    return base.set(
        body_background_fill="#f6f7f9",
        body_background_fill_dark="#0d1117",
        body_text_color="#14181f",
        body_text_color_dark="#e6e9ef",
        body_text_color_subdued="#4c5666",
        body_text_color_subdued_dark="#a2acbc",
        block_background_fill="#ffffff",
        block_background_fill_dark="#161b23",
        block_label_text_color="#3d4654",
        block_label_text_color_dark="#b9c2d0",
        block_title_text_color="#3d4654",
        block_title_text_color_dark="#b9c2d0",
        block_info_text_color="#4c5666",
        block_info_text_color_dark="#a2acbc",
        block_border_width="1px",
        block_border_color="#d5dae2",
        block_border_color_dark="#2b3341",
        block_shadow="none",
        input_border_width="1px",
        input_border_color="#8a94a6",
        input_border_color_dark="#566074",
        input_radius="6px",
        input_padding="7px 10px",
        block_padding="8px 10px",
        border_color_primary="#d5dae2",
        border_color_primary_dark="#2b3341",
        input_background_fill="#ffffff",
        input_background_fill_dark="#0f141b",
        input_placeholder_color="#667085",
        input_placeholder_color_dark="#8b95a5",
        button_primary_background_fill="#4338ca",
        button_primary_background_fill_hover="#3730a3",
        button_primary_background_fill_dark="#4f46e5",
        button_primary_background_fill_hover_dark="#4338ca",
        button_primary_text_color="#ffffff",
        button_primary_text_color_dark="#ffffff",
        color_accent="#4338ca",
        color_accent_soft="#eef0ff",
        color_accent_soft_dark="#232a4d",
        link_text_color="#3730a3",
        link_text_color_dark="#a5b0ff",
    )

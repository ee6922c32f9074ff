"""Texts about what scores and thresholds mean in the gallery."""

from __future__ import annotations

# By key: English and Chinese.
CALIBRATION: dict[str, tuple[str, str]] = {
    "calibration": ("Calibration", "校准"),
    "calibrated": (
        "copy ≤ {bits} bits, part ≥ {points} points, wrong ≤ {rate}",
        "副本 ≤ {bits} 位，局部 ≥ {points} 点，误报率 ≤ {rate}",
    ),
    "calibration_needs": (
        (
            "Calibration to {asked} takes {searches} searches of a gallery of {images} images:"
            " the standard thresholds stay."
        ),
        ("校准到 {asked} 需要至少 {images} 张图片的图库和 {searches} 次搜索；目前仍使用默认阈值。"),
    ),
    "calibration_unmet": (
        "Calibration to {asked}: no threshold for {kinds} reaches it, the standard one stays.",
        "校准到 {asked}：{kinds}没有阈值能达到；目前仍使用默认阈值。",
    ),
    "calibration_copies": ("copies", "副本"),
    "calibration_parts": ("parts", "局部"),
    "calibration_and": (" and ", "和"),
    "calibration_measured": (
        (
            "Measured in {searches} searches: copy wrong in {copy}, part wrong in {part}; other"
            " shots of the same thing count as wrong."
        ),
        "实测 {searches} 次搜索：副本误报 {copy}，局部误报 {part}；同一物体的其他照片也计为误报。",
    ),
    "calibration_alarms": ("{alarms} ({low} to {high})", "{alarms} 次（{low} 至 {high}）"),
    "min_rarity": (
        "Minimum rarity n: 1 in 10ⁿ pairs",
        "最低稀有度 n：每 10ⁿ 对图片中 1 对",
    ),
    "rarity": ("Rarity", "稀有度"),
    "one_in": ("1 in {pairs}", "1 / {pairs} 对"),
    "rarity_share": ("{percent} of pairs", "{percent} 的图片对"),
    "rarity_one_in": ("1 in {pairs} pairs", "每 {pairs} 对图片中有 1 对"),
    "rarity_error": (
        "{text} (95% sure: at most 1 in {pairs})",
        "{text}（95% 置信：至多每 {pairs} 对中 1 对）",
    ),
    "rarity_beyond": (
        "fewer than 1 in {pairs} pairs",
        "每 {pairs} 对图片中不到 1 对",
    ),
}

"""What scores and thresholds mean in the gallery, in words."""

from __future__ import annotations

from bogv.calibration.background import Rarity
from bogv.calibration.calibration import Calibration
from bogv.calibration.choice import MeasuredThreshold, smallest_gallery
from bogv.ui.strings import Language, translate


def format_rarity(rarity: Rarity, language: Language) -> str:
    """`1 in 5,000 pairs`, to two digits, with the limit of the error if there is one; common scores
    in percent."""
    if rarity.share > 0.1:
        return translate(language, "rarity_share", percent=f"{rarity.share:.0%}")
    key = "rarity_beyond" if rarity.beyond else "rarity_one_in"
    text = translate(language, key, pairs=_count_pairs(rarity.share))
    if rarity.upper <= rarity.share:
        return text
    return translate(language, "rarity_error", text=text, pairs=_count_pairs(rarity.upper))


def _count_pairs(share: float) -> str:
    return f"{int(float(f'{1 / share:.2g}')):,}"


def describe_thresholds(own: Calibration, count: int, language: Language) -> str:
    """The thresholds, and how often they are wrong. count: images in the gallery now."""
    return translate(
        language,
        "calibrated",
        bits=own.copy_bits.value,
        points=own.part_inliers.value,
        rate=f"{own.false_positives.rate(count):.2%}",
    )


def describe_shortfall(own: Calibration, language: Language) -> str:
    """Why the asked rate doesn't hold, and what was measured; empty if it does."""
    if own.met:
        return ""
    asked, images = f"{own.asked_rate:.2%}", smallest_gallery(own.asked_rate)
    if own.is_supported:
        kinds = {"calibration_copies": own.copy_bits, "calibration_parts": own.part_inliers}
        names = [translate(language, key) for key, each in kinds.items() if not each.met]
        listed = translate(language, "calibration_and").join(names)
        why = translate(language, "calibration_unmet", asked=asked, kinds=listed)
    else:
        needed = {"searches": f"{images // 2:,}", "images": f"{images:,}"}
        why = translate(language, "calibration_needs", asked=asked, **needed)
    measured = translate(
        language,
        "calibration_measured",
        searches=f"{own.searches:,}",
        copy=_describe_alarms(own.copy_bits, language),
        part=_describe_alarms(own.part_inliers, language),
    )
    return f"{why} {measured}" if language == "en" else why + measured


def _describe_alarms(measured: MeasuredThreshold, language: Language) -> str:
    low, high = f"{measured.low:.2%}", f"{measured.high:.2%}"
    alarms = f"{measured.alarms:,}"
    return translate(language, "calibration_alarms", alarms=alarms, low=low, high=high)

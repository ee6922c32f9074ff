"""Texts about copies: badges, the sentence on top, and why a result was found."""

from __future__ import annotations

# By key: English and Chinese.
COPIES: dict[str, tuple[str, str]] = {
    "match_exact": ("Exact", "完全相同"),
    "match_copy": ("Copy", "副本"),
    "match_part": ("Part", "部分相同"),
    "mirrored": ("mirrored", "镜像"),
    "turned": ("turned", "旋转"),
    "mirrored_turned": ("mirrored and turned", "镜像并旋转"),
    "points_1": ("{count} point", "{count} 个点"),
    "points_n": ("{count} points", "{count} 个点"),
    "bits_1": ("{count} bit", "{count} 位"),
    "bits_n": ("{count} bits", "{count} 位"),
    "verdict_exact": ("This very file is here.", "图库中有这个文件。"),
    "verdict_copy": ("This very picture is here.", "图库中有这张图片。"),
    "verdict_copy_as": ("This very picture is here, {how}.", "图库中有这张图片（{how}）。"),
    "verdict_part": (
        "A part of this picture is here: {points} agree.",
        "图库中有图片与它部分相同：{points}吻合。",
    ),
    "verdict_none": (
        "No copy of it among {images}; false alarms: {rate}.",
        "{images}中没有它的副本；误报率：{rate}。",
    ),
    "verdict_again": (
        "The gallery has another copy of this picture.",
        "图库中还有这张图片的另一份副本。",
    ),
    "verdict_none_again": (
        "No other copy of it among {images}; false alarms: {rate}.",
        "{images}中没有它的其他副本；误报率：{rate}。",
    ),
    "verdict_checking_1": ("Comparing it with the first result …", "正在与第 1 个结果逐点比对……"),
    "verdict_checking_n": (
        "Comparing it with the first {count} results point by point …",
        "正在与前 {count} 个结果逐点比对……",
    ),
    "copies_incomplete_1": (
        "{count} image is not indexed for copies yet, so copies are not all known.",
        "还有 {count} 张图片未建立副本索引，因此可能有未知的副本。",
    ),
    "copies_incomplete_n": (
        "{count} images are not indexed for copies yet, so copies are not all known.",
        "还有 {count} 张图片未建立副本索引，因此可能有未知的副本。",
    ),
    "skipped": ("left out", "已跳过"),
    "reason_duplicate": (
        "It looks like {other} ({match}), which is in the gallery.",
        "与图库中的 {other} 看起来相同（{match}）。",
    ),
    "reason_skipped": (
        "Left out: it looks like {other} ({match}), which is in the gallery.",
        "已跳过：与图库中的 {other} 看起来相同（{match}）。",
    ),
    "add_skip": ("Leave out images that are here already", "跳过图库中已有的图片"),
    "add_skip_help": (
        "Copies of images in the gallery, also edited or mirrored ones, are not added.",
        "不添加图库中已有图片的副本，包括经过编辑或镜像的副本。",
    ),
    "why": ("Why?", "为什么？"),
    "why_exact": ("The two files are equal, byte for byte.", "两个文件逐字节相同。"),
    "why_copy": (
        "The hashes of the two whole pictures differ in {bits} of 256.",
        "两张图片的整图哈希在 256 位中相差 {bits}。",
    ),
    "why_points": (
        "{points} agree. {query} of the query and {hit} of the result show the same.",
        "{points}吻合。查询图片的 {query} 与结果图片的 {hit} 内容相同。",
    ),
    "why_points_mirrored": (
        (
            "{points} agree once one picture is mirrored. {query} of the query and {hit} of the"
            " result show the same."
        ),
        "将其中一张镜像后，{points}吻合。查询图片的 {query} 与结果图片的 {hit} 内容相同。",
    ),
    "why_no_points": (
        "No points agree: the pictures have too few distinct details.",
        "没有吻合的点：图片中可辨认的细节太少。",
    ),
    "why_heat": (
        "Orange places raise the score, blue ones lower it. Dark ones the network doesn't see.",
        "橙色区域提高得分，蓝色区域降低得分。变暗的区域不在网络的视野内。",
    ),
    "why_sum_equal": (
        "The places of each picture sum to {sum}: the score.",
        "每张图片各区域之和为 {sum}，即得分。",
    ),
    "why_sum_differs": (
        (
            "The places of each picture sum to {sum}; the score is {score}. The difference of"
            " {difference} comes from the thumbnail, which is compared here, and from rounding."
        ),
        (
            "每张图片各区域之和为 {sum}，得分为 {score}。"
            "差值 {difference} 源于此处比较的是缩略图，以及数值舍入。"
        ),
    ),
    "why_sum_expanded": (
        (
            "The places of each picture sum to {sum}; the score is {score}. The difference of"
            " {difference} comes from query expansion, from the thumbnail, which is compared here,"
            " and from rounding."
        ),
        (
            "每张图片各区域之和为 {sum}，得分为 {score}。"
            "差值 {difference} 源于查询扩展、此处比较的是缩略图，以及数值舍入。"
        ),
    ),
    "show_heat": ("Show the heat map", "显示热力图"),
    "show_lines": ("Show the lines", "显示连线"),
    "query_and_result": ("Query and result", "查询图片与结果"),
    "why_query": ("Query", "查询"),
    "why_result": ("Result", "结果"),
}

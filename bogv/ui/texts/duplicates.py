"""The texts of the Duplicates tab, in English and Chinese: see `strings.STRINGS`."""

from __future__ import annotations

DUPLICATES: dict[str, tuple[str, str]] = {
    "tab_duplicates": ("Duplicates", "查重"),
    "duplicates_match": ("Find", "查找范围"),
    "find_exact": ("Equal files", "完全相同的文件"),
    "find_copy": ("Equal files and edited copies", "完全相同的文件及编辑过的副本"),
    "find_part": ("Parts too, such as crops (slow)", "还包括局部，例如裁剪（较慢）"),
    "keep": ("Keep", "保留"),
    "keep_largest": ("The largest", "最大的一张"),
    "keep_oldest": ("The one added first", "最早添加的一张"),
    "keep_all": ("All", "全部"),
    "scan": ("Scan", "开始扫描"),
    "stop_scan": ("Cancel the scan", "取消扫描"),
    "stopping": (
        "The scan is being cancelled. The next one goes on from there.",
        "正在取消扫描，下次扫描将从中断处继续。",
    ),
    "scan_read": ("Reading the gallery", "正在读取图库"),
    "scan_compare": ("Comparing images", "正在比较图片"),
    "scan_verify": ("Verifying parts", "正在验证局部"),
    "duplicates_start": (
        "Scan the gallery for duplicates. Nothing is deleted until you confirm.",
        "点击“开始扫描”以查找图库中的重复图片。确认之前不会删除任何图片。",
    ),
    "groups_1": ("{count} group of duplicates", "{count} 组重复图片"),
    "groups_n": ("{count} groups of duplicates", "{count} 组重复图片"),
    "groups_among": (
        " among {images} images; to delete if the largest is kept: {others} ({size}).",
        "（共 {images} 张图片）；若保留最大的一张，可删除 {others} 张（{size}）。",
    ),
    "groups_shown": (
        "Page {page} of {pages}; groups: {groups}.",
        "第 {page} / {pages} 页，共 {groups} 组。",
    ),
    "no_groups_left": ("There are no more groups.", "没有更多重复图片了。"),
    "scan_stopped": (
        "The scan was cancelled; scan again to go on from there. So far:",
        "扫描已取消，再次扫描将从中断处继续。目前找到：",
    ),
    "without_hash": (
        (
            "Images too plain for comparison, or not indexed for copies yet: {count}. Of these,"
            " only equal files are found."
        ),
        "{count} 张图片过于单调而无法比较，或尚未建立副本索引：其中只能找出完全相同的文件。",
    ),
    "scan_cut": (
        "So many images look the same that only the closest pairs were looked at.",
        "相似的图片过多，仅检查了其中最接近的图片对。",
    ),
    "parts_found": (
        (
            "Parts may be shots of one thing, or of different things before one background: look at"
            " them before you delete."
        ),
        "“局部”可能是同一物品的不同照片，也可能只是背景相同的不同物品，删除前请仔细核对。",
    ),
    "match_is_exact": ("Equal files", "文件完全相同"),
    "match_is_copy": ("Copies", "副本"),
    "match_is_part": ("Parts", "局部"),
    "saving": ("{size} to save", "可节省 {size}"),
    "kept": ("Keep", "保留"),
    "to_delete": ("Delete", "删除"),
    "file_size": ("File size", "文件大小"),
    "different": ("These are different", "这些图片并不相同"),
    "marked_different": (
        "Remembered: these images are different. No scan shows them as duplicates again.",
        "已记住：这些图片并不相同，以后的扫描不会再将其列为重复图片。",
    ),
    "duplicates_previous": ("← Previous", "← 上一页"),
    "duplicates_next": ("Next →", "下一页 →"),
    "preview_page": ("Preview page", "预览本页"),
    "preview_all": ("Preview all", "预览全部"),
    "will_keep": (
        " Kept in their place: {kept}. To save: {size}.",
        "相应保留 {kept} 张，可节省 {size}。",
    ),
    "nothing_to_delete": (
        "All images are kept: there is nothing to delete.",
        "图片均已保留，没有可删除的图片。",
    ),
}

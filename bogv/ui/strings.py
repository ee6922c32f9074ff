"""All texts of the demo, in English and Chinese."""

from __future__ import annotations

from typing import Literal

from bogv.ui.calibration.texts import CALIBRATION
from bogv.ui.texts.copies import COPIES
from bogv.ui.texts.duplicates import DUPLICATES
from bogv.ui.texts.search import SEARCH

Language = Literal["en", "zh"]

# By key: English and Chinese. Texts without {placeholders} are also sent to the browser as labels,
# which it renders as HTML: they must contain neither braces nor "<".
STRINGS: dict[str, tuple[str, str]] = {
    **CALIBRATION,
    **COPIES,
    **SEARCH,
    # Header and page
    "tagline": ("Search images by image", "以图搜图"),
    "images_1": ("{count} image", "{count} 张图片"),
    "images_n": ("{count} images", "{count} 张图片"),
    "engine": ("Engine", "引擎"),
    "weights": ("Weights", "权重"),
    "database": ("Database", "数据库"),
    "copies": ("Indexed for copies", "已建副本索引"),
    "query_expansion": ("Query expansion", "查询扩展"),
    "weights_untrained": ("untrained", "未训练"),
    "weights_custom": ("custom", "自定义"),
    "untrained_title": ("The network is untrained.", "网络未经训练。"),
    "untrained": (
        (
            "With random weights, it finds near-duplicates and similar colours, but not similar"
            " content. For real results, let bogv download the ResNet50 weights (needs network"
            " access at start) or set BOGV_WEIGHTS to a weights file. Then restart with a new"
            " BOGV_DATA_DIR and add the images again."
        ),
        (
            "当前使用随机权重，只能找到近似重复或颜色相近的图片，无法识别图片内容。"
            "要获得真正的检索效果，请让 bogv 下载 ResNet50 权重（启动时需要联网），"
            "或用 BOGV_WEIGHTS 指定权重文件；然后使用新的 BOGV_DATA_DIR 重新启动，并重新添加图片。"
        ),
    ),
    "tab_search": ("Search", "搜索"),
    "tab_add": ("Add", "添加"),
    "tab_delete": ("Delete", "删除"),
    "tab_gallery": ("Gallery", "图库"),
    "unexpected": (
        "Something went wrong. See the server's log for details.",
        "发生意外错误，详情请查看服务器日志。",
    ),
    "not_uploaded": (
        "This file was not uploaded from this browser, or has expired. Choose it again.",
        "该文件不是由此浏览器上传的，或已过期。请重新选择。",
    ),
    # Search
    "query": ("Query image", "查询图片"),
    "query_drop": ("Drop, paste or click to upload an image", "拖放、粘贴或点击上传图片"),
    "query_url": ("Or an image URL", "或图片网址"),
    "search_url": ("Search", "搜索"),
    "limit": ("Number of results", "结果数量"),
    "min_score": ("Minimum score", "最低得分"),
    "examples": ("Or try an example", "或试试示例"),
    "results": ("Results", "搜索结果"),
    "search_start": (
        "Choose an image or click an example. The most similar images appear here.",
        "请选择一张图片或点击示例，最相似的图片将显示在这里。",
    ),
    "empty_gallery": (
        "The gallery is empty. Add images on the Add tab first.",
        "图库为空。请先在“添加”页添加图片。",
    ),
    "no_match": (
        "No image scores {min_score} or more. Lower the minimum score to see more results.",
        "没有得分达到 {min_score} 的图片。请降低最低得分以查看更多结果。",
    ),
    "no_match_rare": (
        "No image is as rare a match. Lower the minimum rarity to see more results.",
        "没有达到该稀有度的图片。请降低最低稀有度以查看更多结果。",
    ),
    "none_similar": ("There is no other image to compare with.", "没有其他可比较的图片。"),
    "found": ("Top {found} of {total}", "{total}中最相似的 {found} 张"),
    "decode": ("decode {ms} ms", "解码 {ms} 毫秒"),
    "embed": ("embed {ms} ms", "提取特征 {ms} 毫秒"),
    "search": ("search {ms} ms", "检索 {ms} 毫秒"),
    "verify": ("verify {ms} ms", "几何验证 {ms} 毫秒"),
    # Record
    "key": ("Key", "键"),
    "filepath": ("File", "文件"),
    "size": ("Size", "尺寸"),
    "score": ("Score", "得分"),
    "added": ("Added", "添加时间"),
    "pixels": ("{width} × {height} pixels, {size}", "{width} × {height} 像素，{size}"),
    "search_with": ("Search with this", "以此图搜索"),
    "find_similar": ("Find similar", "查找相似"),
    "delete": ("Delete", "删除"),
    "close": ("Close", "关闭"),
    "record_gone": ("This image is no longer in the gallery.", "该图片已不在图库中。"),
    "confirm_one": (
        "Delete this image? This can't be undone.",
        "确定删除这张图片吗？此操作无法撤销。",
    ),
    "confirm_one_yes": ("Yes, delete it", "确定删除"),
    "cancel": ("Cancel", "取消"),
    "deleted_1": ("{count} image was deleted.", "已删除 {count} 张图片。"),
    "deleted_n": ("{count} images were deleted.", "已删除 {count} 张图片。"),
    # Add
    "files": ("Image files", "图片文件"),
    "urls": ("Image URLs, one per line", "图片网址，每行一个"),
    "folder": ("Folder on the server", "服务器文件夹"),
    "folder_help": (
        "Adds all images in it and its subfolders. BOGV_IMAGE_ROOTS must allow the folder.",
        "添加其中及其子文件夹中的所有图片。只能读取 BOGV_IMAGE_ROOTS 允许的文件夹。",
    ),
    "add_key": ("Key (optional)", "键（可选）"),
    "add_key_help": (
        (
            "All images added together get this key, for example several photos of one product."
            " If it is empty, the key of each image is the MD5 of its bytes."
        ),
        (
            "本次添加的所有图片都使用该键（例如同一商品的多张照片）。"
            "留空则以每张图片内容的 MD5 作为键。"
        ),
    ),
    "add": ("Add to the gallery", "添加到图库"),
    "adding": ("Adding images", "正在添加图片"),
    "images_unit": ("images", "张"),
    "adding_at": (
        "Adding images: {rate} per second; slowest stage: {stage}",
        "正在添加图片：每秒 {rate} 张；最慢的环节：{stage}",
    ),
    "stage_decode": ("reading and decoding", "读取和解码"),
    "stage_embed": ("embedding", "提取特征"),
    "stage_write": ("writing", "写入"),
    "add_start": (
        "Choose files, enter URLs or enter a server folder. The results appear here.",
        "请选择文件、填写网址或指定服务器文件夹。添加结果将显示在这里。",
    ),
    "nothing_to_add": (
        "There is nothing to add. Choose files, enter URLs or enter a server folder.",
        "没有可添加的内容。请选择文件、填写网址或指定服务器文件夹。",
    ),
    "no_images_in_folder": ("This folder contains no images.", "该文件夹中没有图片。"),
    "created": ("created", "已添加"),
    "unchanged": ("unchanged", "无变化"),
    "updated": ("updated", "已更新"),
    "failed": ("failed", "失败"),
    "picture": ("Image", "图片"),
    "verdict": ("Result", "结果"),
    "id": ("ID", "ID"),
    "reason": ("Reason", "原因"),
    "reason_unchanged": ("It is already in the gallery.", "图库中已有该图片。"),
    "reason_updated": (
        "It was already in the gallery; its file name was updated.",
        "图库中已有该图片，文件名已更新。",
    ),
    "rows_shown": (
        "Showing {shown} of {total}, failed ones first.",
        "共 {total} 条，仅显示前 {shown} 条，失败的排在最前。",
    ),
    # Delete
    "delete_names": (
        'IDs or keys, separated by commas or line breaks; put a key with a comma in quotes: "a,b"',
        'ID 或键，以逗号或换行分隔；含逗号的键请加英文双引号："a,b"',
    ),
    "name_kind": ("Type", "类型"),
    "ids": ("IDs", "ID"),
    "keys": ("Keys", "键"),
    "preview": ("Preview", "预览"),
    "select_in_gallery": ("Select in the gallery", "在图库中选择"),
    "images_to_delete": ("Images to delete", "将被删除的图片"),
    "delete_start": (
        "Enter IDs or keys, or select images in the gallery. Nothing is deleted until you confirm.",
        "请输入 ID 或键，或在图库中选择图片。确认之前不会删除任何图片。",
    ),
    "no_names": ("Enter at least one ID or key.", "请至少输入一个 ID 或键。"),
    "invalid_ids": (
        "IDs must be whole numbers, but these are not: {names}. Nothing will be deleted.",
        "以下内容不是 ID（应为整数）：{names}。不会删除任何图片。",
    ),
    "will_delete_1": ("{count} image will be deleted.", "将删除 {count} 张图片。"),
    "will_delete_n": ("{count} images will be deleted.", "将删除 {count} 张图片。"),
    "images_shown": ("Showing the first {shown}.", "仅显示前 {shown} 张。"),
    "missing": ("Not in the gallery: {names}", "图库中没有：{names}"),
    "and_more": ("and {count} more", "以及另外 {count} 个"),
    "delete_count_1": ("Delete {count} image", "删除 {count} 张图片"),
    "delete_count_n": ("Delete {count} images", "删除 {count} 张图片"),
    "confirm": (
        "Delete these images? This can't be undone.",
        "确定删除这些图片吗？此操作无法撤销。",
    ),
    "confirm_yes": ("Yes, delete", "确定删除"),
    # Gallery
    "filter": ("Filter", "筛选"),
    "filter_placeholder": (
        "Part of a key or file name; press Enter",
        "输入键或文件名的一部分，按回车",
    ),
    "page_size": ("Per page", "每页数量"),
    "select_multiple": ("Select multiple", "多选"),
    "newest": ("Newest first", "最新优先"),
    "previous": ("← Newer", "← 较新"),
    "next": ("Older →", "较旧 →"),
    "refresh": ("Refresh", "刷新"),
    "shown": ("Page {page}: {shown} of {total}", "第 {page} 页：{shown} / {total}"),
    "shown_filtered": (
        "Page {page}: {shown} matching “{text}”; {total} in total",
        "第 {page} 页：{shown} 张包含“{text}”；图库共 {total}",
    ),
    "no_filter_match": (
        "No key or file name contains “{text}”.",
        "没有键或文件名包含“{text}”。",
    ),
    "selection": ("Selected images: click one to deselect it", "已选图片：点击可取消选择"),
    "delete_selected": ("Delete selected ({count})", "删除所选（{count}）"),
    "clear_selection": ("Clear selection", "清除选择"),
    # Judge
    "tab_judge": ("Judge", "评判"),
    "judge_pool": ("Pool of results", "待评判的结果集"),
    "judge_result": ("Result", "结果"),
    "judge_relevant": ("1 · Relevant", "1 · 相关"),
    "judge_partly": ("2 · Partly", "2 · 部分相关"),
    "judge_not": ("3 · Not relevant", "3 · 不相关"),
    "judge_undo": ("⌫ · Undo", "⌫ · 撤销"),
    "judge_progress": ("{done} of {total} judged.", "已评判 {done} / {total}。"),
    "judge_blind": (
        "Is the result relevant to the query? Press 1, 2 or 3; Backspace takes the last one back.",
        "该结果与查询图片相关吗？请按 1、2 或 3；按退格键可撤销上一次评判。",
    ),
    "judge_done": (
        "Every result is judged. This command computes the metrics:",
        "所有结果均已评判。用以下命令计算指标：",
    ),
    "judge_none": (
        "There is nothing to judge yet. The command “python -m eval judge pool” makes a pool.",
        "还没有可评判的结果。请先用命令“python -m eval judge pool”生成结果集。",
    ),
    **DUPLICATES,
}

# Both languages: gradio's login page takes one text for all visitors.
LOGIN_PROMPT = (
    "Enter the bogv access token as the password, with any user name. After several wrong"
    " attempts, wait a moment before you try again.<br>请将 bogv 的访问令牌作为密码输入，"
    "用户名任意。多次输错后，请稍等片刻再试。"
)

# By BogvError.type. The error's own message, with its figures and names, is shown beside it.
ERRORS: dict[str, tuple[str, str]] = {
    "not-an-image": (
        "This file is not a readable image. Use JPEG, PNG, WebP, GIF, TIFF, BMP or AVIF.",
        "该文件不是可读取的图片。请使用 JPEG、PNG、WebP、GIF、TIFF、BMP 或 AVIF 格式。",
    ),
    "damaged-image": (
        "This image is damaged or incomplete. Save or download it again.",
        "该图片已损坏或不完整，请重新保存或下载。",
    ),
    "too-large": ("This file is too large. Use a smaller one.", "文件太大，请使用较小的文件。"),
    "too-costly": (
        "Decoding this image takes too much time or memory. Use a smaller one.",
        "解码这张图片需要的时间或内存过多，请使用较小的图片。",
    ),
    "too-many-pixels": (
        "This image has too many pixels. Scale it down first.",
        "图片像素过多，请先缩小图片。",
    ),
    "invalid-url": (
        "This is not a valid URL. It must begin with http:// or https://.",
        "这不是有效的网址，网址必须以 http:// 或 https:// 开头。",
    ),
    "url-not-allowed": (
        "This URL points to a private network, which is not allowed.",
        "该网址指向内部网络，不允许访问。",
    ),
    "fetch-failed": (
        "The image could not be downloaded. Check the URL.",
        "无法下载该图片，请检查网址。",
    ),
    "path-not-allowed": (
        "Reading this folder or file is not allowed.",
        "不允许读取该文件夹或文件。",
    ),
    "file-not-found": ("This file or folder does not exist.", "该文件或文件夹不存在。"),
    "not-found": (
        "This image is not in the gallery. It may have been deleted.",
        "图库中没有该图片，可能已被删除。",
    ),
    "invalid-value": ("A value is invalid.", "有一个值无效。"),
    "too-many-requests": (
        "Too many requests. Wait a moment, then try again.",
        "请求过于频繁，请稍后再试。",
    ),
    "database-unavailable": (
        "The database is not reachable. Try again in a moment.",
        "无法连接数据库，请稍后再试。",
    ),
    "overloaded": (
        "The server is busy. Try again in a moment.",
        "服务器繁忙，请稍后再试。",
    ),
    "storage-unavailable": (
        "The server can't read or write a file. Check its disk.",
        "服务器无法读写文件，请检查磁盘。",
    ),
    "gallery-mismatch": (
        "The gallery was created with other weights.",
        "图库是用其他权重创建的。",
    ),
}


def translate(language: Language, key: str, **values: object) -> str:
    """The text of a key in a language, with its {placeholders} filled in."""
    return STRINGS[key][0 if language == "en" else 1].format(**values)


def translate_count(language: Language, key: str, count: int) -> str:
    """The singular (`key_1`) or plural (`key_n`) text, with the count filled in."""
    return translate(language, f"{key}_{'1' if count == 1 else 'n'}", count=f"{count:,}")


def error_text(language: Language, error_type: str) -> str | None:
    """A sentence for users about a type of error; None if there is none."""
    texts = ERRORS.get(error_type)
    return texts and texts[0 if language == "en" else 1]


def language_of(accept_language: str) -> Language:
    """The page's language, from the browser's Accept-Language header.

    Must agree with gradio's page, which translates the labels itself: it looks at the first
    language only, and of Chinese at zh-CN and zh-TW only.
    """
    first = accept_language.split(",", maxsplit=1)[0].split(";", maxsplit=1)[0].strip().lower()
    return "zh" if first in {"zh-cn", "zh-tw"} else "en"


def labels() -> dict[str, dict[str, str]]:
    """The texts that the browser translates: locale -> label -> text."""
    static = {key: texts for key, texts in STRINGS.items() if "{" not in texts[0]}
    english = {f"bogv_{key}": texts[0] for key, texts in static.items()}
    chinese = {f"bogv_{key}": texts[1] for key, texts in static.items()}
    return {"en": english, "zh-CN": chinese, "zh-TW": chinese}

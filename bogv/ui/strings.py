"""Every word that the demo shows, in English and Chinese."""

from __future__ import annotations

from typing import Literal

Language = Literal["en", "zh"]

# Those without {braces} are labels too, which the browser translates: no braces, no < in them.
STRINGS: dict[str, tuple[str, str]] = {
    # The page
    "tagline": ("Search images by image", "以图搜图"),
    "images_1": ("{count} image", "{count} 张图片"),
    "images_n": ("{count} images", "{count} 张图片"),
    "engine": ("Engine", "引擎"),
    "weights": ("Weights", "权重"),
    "database": ("Database", "数据库"),
    "weights_untrained": ("untrained", "未训练"),
    "weights_custom": ("custom", "自定义"),
    "untrained_title": ("The network has learnt nothing yet.", "网络尚未学习任何内容。"),
    "untrained": (
        (
            "It runs on random weights, so it finds near-copies and similar colours, not what a"
            " picture shows. For real search, let bogv download the ResNet50 weights (it needs"
            " network access when it starts) or name the file in BOGV_WEIGHTS; then start with a"
            " new BOGV_DATA_DIR and add the images again."
        ),
        (
            "当前使用随机权重，只能找到近似副本和颜色相近的图片，不能识别图片内容。"
            "要获得真正的检索效果，请让 bogv 下载 ResNet50 权重（启动时需要联网），"
            "或用 BOGV_WEIGHTS 指定权重文件；然后使用新的 BOGV_DATA_DIR 启动，并重新添加图片。"
        ),
    ),
    "tab_search": ("Search", "搜索"),
    "tab_add": ("Add", "添加"),
    "tab_delete": ("Delete", "删除"),
    "tab_gallery": ("Gallery", "图库"),
    "unexpected": (
        "Something went wrong that should not have. The server's log says what.",
        "发生了意外错误，详情请查看服务器日志。",
    ),
    "not_uploaded": (
        "This file was not uploaded from here, or is no longer kept. Choose it again.",
        "该文件不是从此处上传的，或已不再保留。请重新选择。",
    ),
    # Search
    "query": ("Image to search with", "要搜索的图片"),
    "query_drop": ("Drop, paste or click to choose an image", "拖放、粘贴或点击选择图片"),
    "query_url": ("Or its URL", "或图片网址"),
    "fetch": ("Search", "搜索"),
    "limit": ("How many", "结果数量"),
    "least": ("Least score", "最低得分"),
    "examples": ("Or try an example", "或试试示例"),
    "results": ("Results", "搜索结果"),
    "start": (
        "Give an image on the left, or click an example: the most similar ones appear here.",
        "请提供一张图片或点击示例，最相似的图片将显示在这里。",
    ),
    "empty_gallery": (
        "The gallery is empty. Add images on the Add tab, then search.",
        "图库是空的。请先在“添加”页添加图片，再进行搜索。",
    ),
    "no_match": (
        "No image reaches a score of {min_score}. Lower the least score to see more.",
        "没有得分达到 {min_score} 的图片。请降低最低得分以查看更多结果。",
    ),
    "none_similar": ("There is no other image to compare it with.", "没有其他可比较的图片。"),
    "found": ("Best {found} of {total}", "{total}中最相似的 {found} 张"),
    "decode": ("decode {ms} ms", "解码 {ms} 毫秒"),
    "embed": ("embed {ms} ms", "提取特征 {ms} 毫秒"),
    "search": ("search {ms} ms", "检索 {ms} 毫秒"),
    # The record
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
    "gone": ("This image is no longer in the gallery.", "该图片已不在图库中。"),
    "sure_one": ("Delete this image? It can't be undone.", "确定删除这张图片吗？此操作无法撤销。"),
    "yes_one": ("Yes, delete it", "确定删除"),
    "cancel": ("Cancel", "取消"),
    "deleted_1": ("{count} image was deleted.", "已删除 {count} 张图片。"),
    "deleted_n": ("{count} images were deleted.", "已删除 {count} 张图片。"),
    # Add
    "files": ("Image files", "图片文件"),
    "urls": ("URLs, one a line", "图片网址，每行一个"),
    "folder": ("Folder on the server", "服务器文件夹"),
    "folder_help": (
        "All images below it are added. Only folders that BOGV_IMAGE_ROOTS allows can be read.",
        "将添加其中的所有图片。只能读取 BOGV_IMAGE_ROOTS 允许的文件夹。",
    ),
    "add_key": ("Key (optional)", "键（可选）"),
    "add_key_help": (
        (
            "All images added in one go get this key, as several photos of one product do."
            " Left empty, the key of each is the MD5 of its bytes."
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
        "Adding images: {rate} a second; the slowest stage is {stage}",
        "正在添加图片：每秒 {rate} 张；最慢的环节是{stage}",
    ),
    "stage_decode": ("reading and decoding", "读取和解码"),
    "stage_embed": ("the network", "提取特征"),
    "stage_write": ("writing", "写入"),
    "verdicts": ("What became of them", "添加结果"),
    "add_start": (
        "Choose files, list URLs or name a folder. What became of each image stands here.",
        "请选择文件、填写网址或指定文件夹。每张图片的处理结果将显示在这里。",
    ),
    "nothing_to_add": (
        "There is nothing to add: choose files, list URLs or name a folder.",
        "没有可添加的内容：请选择文件、填写网址或指定文件夹。",
    ),
    "no_images_there": ("There are no images in this folder.", "该文件夹中没有图片。"),
    "created": ("created", "已添加"),
    "unchanged": ("unchanged", "无变化"),
    "updated": ("updated", "已更新"),
    "failed": ("failed", "失败"),
    "picture": ("Image", "图片"),
    "verdict": ("Verdict", "结果"),
    "id": ("Id", "ID"),
    "reason": ("Reason", "原因"),
    "why_unchanged": ("It is in the gallery already.", "图库中已有该图片。"),
    "why_updated": ("It was there; its file name is new.", "图片已存在，文件名已更新。"),
    "cut": (
        "The first {shown} of {total} are shown, those that failed first.",
        "共 {total} 条，仅显示前 {shown} 条，失败的排在最前。",
    ),
    # Delete
    "what": (
        'Ids or keys, separated by commas or line breaks; "in quotes", a key may hold a comma',
        'ID 或键，以逗号或换行分隔；含逗号的键请加英文双引号："a,b"',
    ),
    "by": ("These are", "类型"),
    "ids": ("Ids", "ID"),
    "keys": ("Keys", "键"),
    "preview": ("Show what will go", "预览将删除的图片"),
    "pick": ("Pick from pictures", "从图片中选择"),
    "will_go": ("What will go", "将被删除的图片"),
    "delete_start": (
        "Name ids or keys, or pick pictures. You see what will go before anything is deleted.",
        "请输入 ID 或键，或从图片中选择。删除之前会先显示将被删除的图片。",
    ),
    "nothing_named": ("Name at least one id or key.", "请至少输入一个 ID 或键。"),
    "not_ids": (
        "Not an id, which is a whole number: {bad}. Nothing will be deleted.",
        "以下内容不是 ID（应为整数）：{bad}。不会删除任何图片。",
    ),
    "goes_1": ("{count} image will go.", "将删除 {count} 张图片。"),
    "goes_n": ("{count} images will go.", "将删除 {count} 张图片。"),
    "pictures_cut": ("The first {shown} are shown.", "仅显示前 {shown} 张。"),
    "missing": ("Not in the gallery: {names}", "图库中没有：{names}"),
    "and_more": ("and {count} more", "以及另外 {count} 个"),
    "delete_count_1": ("Delete {count} image", "删除 {count} 张图片"),
    "delete_count_n": ("Delete {count} images", "删除 {count} 张图片"),
    "sure": ("Are you sure? It can't be undone.", "确定吗？此操作无法撤销。"),
    "yes": ("Yes, delete", "确定删除"),
    # Gallery
    "filter": ("Filter", "筛选"),
    "filter_holder": ("Part of a key or file name, then Enter", "输入键或文件名的一部分，按回车"),
    "page_size": ("On a page", "每页数量"),
    "several": ("Select several", "多选"),
    "newest": ("Newest first", "最新优先"),
    "previous": ("← Newer", "← 较新"),
    "next": ("Older →", "较旧 →"),
    "refresh": ("Refresh", "刷新"),
    "shown": ("Page {page}: {shown} of {total}", "第 {page} 页：{shown} / {total}"),
    "shown_filtered": (
        "Page {page}: {shown} with “{text}”; {total} in all",
        "第 {page} 页：{shown} 张含“{text}”；共 {total}",
    ),
    "no_filter_match": (
        "No key and no file name contains “{text}”.",
        "没有键或文件名包含“{text}”。",
    ),
    "selection": ("Selected: click one to take it out", "已选择：点击可移除"),
    "delete_selected": ("Delete selected ({count})", "删除所选（{count}）"),
    "clear": ("Clear selection", "清除选择"),
}

# The login page comes before its reader's language is known.
LOGIN_PROMPT = (
    "bogv asks for its token: type it as the password, with any user name. After some wrong ones,"
    " it answers none for a while.<br>请将 bogv 的访问令牌作为密码输入，用户名任意。"
    "多次输错后，需稍等片刻才能再试。"
)

# By BogvError.type. The error's own message, with its figures and names, stands beside it.
ERRORS: dict[str, tuple[str, str]] = {
    "not-an-image": (
        "This is no image that can be read: JPEG, PNG, WebP, GIF, TIFF, BMP or AVIF is.",
        "这不是可读取的图片。支持 JPEG、PNG、WebP、GIF、TIFF、BMP 和 AVIF。",
    ),
    "damaged-image": (
        "This image is damaged or cut short. Try to save or download it again.",
        "该图片已损坏或不完整，请重新保存或下载。",
    ),
    "too-large": ("This file is too large.", "文件太大。"),
    "too-costly": (
        "This image takes too much time or memory to decode.",
        "解码这张图片需要的时间或内存过多。",
    ),
    "too-many-pixels": ("This image has too many pixels.", "图片像素过多。"),
    "invalid-url": (
        "This is no web address: it must begin with http:// or https://.",
        "这不是有效的网址：必须以 http:// 或 https:// 开头。",
    ),
    "url-not-allowed": (
        "This address leads into a private network and may not be fetched.",
        "该网址指向内部网络，不允许访问。",
    ),
    "fetch-failed": ("The image can't be fetched from there.", "无法从该网址获取图片。"),
    "path-not-allowed": ("This folder or file may not be read.", "不允许读取该文件夹或文件。"),
    "file-not-found": ("There is no such file or folder.", "没有这个文件或文件夹。"),
    "not-found": ("It is not in the gallery (any more).", "图库中没有（或已删除）该图片。"),
    "invalid-value": ("A value is out of its range.", "数值超出范围。"),
    "too-many-requests": (
        "There were too many requests. Wait a little, then try again.",
        "请求过于频繁，请稍候再试。",
    ),
    "database-unavailable": (
        "The database can't be reached at present. Try again in a moment.",
        "目前无法连接数据库，请稍后再试。",
    ),
    "overloaded": (
        "Too many requests at present. Try again in a moment.",
        "目前请求过多，请稍后再试。",
    ),
    "storage-unavailable": ("A file can't be read or written.", "无法读写文件。"),
    "gallery-mismatch": (
        "The gallery was made with other weights.",
        "图库是用其他权重创建的。",
    ),
}


def translate(language: Language, word: str, **values: object) -> str:
    """A word in a language, its {braces} filled."""
    return STRINGS[word][0 if language == "en" else 1].format(**values)


def translate_count(language: Language, word: str, count: int) -> str:
    """`word` in the singular or the plural, with the count in it."""
    return translate(language, f"{word}_{'1' if count == 1 else 'n'}", count=f"{count:,}")


def error_text(language: Language, error_type: str) -> str | None:
    """An error in plain words, where there are some for its type."""
    words = ERRORS.get(error_type)
    return words and words[0 if language == "en" else 1]


def language_of(accept_language: str) -> Language:
    """The page's language, from the browser's Accept-Language header.

    The same rule as the labels follow in gradio's page, so that the two never differ: the first
    language alone, and of Chinese the two tags that gradio knows.
    """
    first = accept_language.split(",", maxsplit=1)[0].split(";", maxsplit=1)[0].strip().lower()
    return "zh" if first in {"zh-cn", "zh-tw"} else "en"


def labels() -> dict[str, dict[str, str]]:
    """The words for the browser: locale -> label -> text."""
    plain = {word: both for word, both in STRINGS.items() if "{" not in both[0]}
    english = {f"bogv_{word}": both[0] for word, both in plain.items()}
    chinese = {f"bogv_{word}": both[1] for word, both in plain.items()}
    return {"en": english, "zh-CN": chinese, "zh-TW": chinese}

"""bogv: search images by image."""

import os

__version__ = "0.1.0"

# Arrow, which Milvus Lite's rows go through, chooses its allocator once, as it is loaded (by
# pandas, which pymilvus imports). Its own gives less back than the system's.
os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")

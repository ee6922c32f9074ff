# No compiler and no apt packages: every wheel includes its libraries (libgomp, too).
ARG PYTHON_IMAGE=python:3.12-slim
FROM ${PYTHON_IMAGE}

ENV PYTHONUNBUFFERED=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_ROOT_USER_ACTION=ignore

WORKDIR /app

# Without an index, pip's own default holds. TORCH_INDEX_URL: the index of torch's CPU builds, since
# the default one's bring 4 GB for NVIDIA cards.
ARG PIP_INDEX_URL
ARG TORCH_INDEX_URL
COPY requirements.txt tools/install.py ./
RUN python install.py requirements.txt

# A new named volume inherits the owner of the folder that it is mounted on.
RUN useradd --uid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin bogv \
    && install -d -o 10001 -g 10001 /data /opt/torch
COPY app.py ./
COPY bogv ./bogv
RUN python -m compileall -q app.py bogv

# HOME: libraries that keep a cache need a writable folder, although the root is read-only.
ENV BOGV_HOST=0.0.0.0 \
    BOGV_DATA_DIR=/data \
    TORCH_HOME=/opt/torch \
    HOME=/tmp
USER 10001:10001

ARG FETCH_WEIGHTS=0
ARG HF_ENDPOINT
RUN if [ "$FETCH_WEIGHTS" = 1 ]; then python -m bogv weights; fi

EXPOSE 7000

# No proxy, whatever the environment says: the address is the container's own.
HEALTHCHECK --interval=30s --timeout=10s --start-period=3m --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as r; r.build_opener(r.ProxyHandler({})).open(f'http://127.0.0.1:{os.environ.get(\"API_PORT\") or 7000}/api/health', timeout=8)"]

# The exec form: SIGTERM reaches Python, and the server shuts down gracefully.
CMD ["python", "app.py"]

# bogv on a CPU. No compiler, no apt: every wheel brings its libraries (libgomp, too).
FROM python:3.12-slim

ENV PYTHONUNBUFFERED=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_ROOT_USER_ACTION=ignore

WORKDIR /app

# torch first, from the index of its CPU builds: the default one brings 4 GB of CUDA. Both from
# there, since a CPU torch beside the other torchvision does not import; what they depend on comes
# with the requirements, which 2.14.1+cpu satisfies.
ARG TORCH_INDEX_URL=https://download.pytorch.org/whl/cpu
RUN pip install --no-deps --index-url "$TORCH_INDEX_URL" torch==2.14.1 torchvision==0.29.2

ARG PIP_INDEX_URL=https://pypi.org/simple
COPY requirements.txt ./
RUN pip install -r requirements.txt

# A new named volume takes over the owner of the folder that it is mounted on.
RUN useradd --uid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin bogv \
    && install -d -o 10001 -g 10001 /data /opt/torch
COPY app.py ./
COPY bogv ./bogv
RUN python -m compileall -q app.py bogv

# HOME: what wants a cache of its own must find a writable place, on a read-only root, too.
ENV BOGV_HOST=0.0.0.0 \
    BOGV_DATA_DIR=/data \
    TORCH_HOME=/opt/torch \
    HOME=/tmp
USER 10001:10001

ARG FETCH_WEIGHTS=0
RUN if [ "$FETCH_WEIGHTS" = 1 ]; then python -m bogv weights; fi

EXPOSE 7000

# No proxy, whatever the environment says: the address is the container's own.
HEALTHCHECK --interval=30s --timeout=10s --start-period=3m --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as r; r.build_opener(r.ProxyHandler({})).open(f'http://127.0.0.1:{os.environ.get(\"API_PORT\") or 7000}/api/health', timeout=8)"]

# The exec form: SIGTERM reaches Python, and the server ends in order.
CMD ["python", "app.py"]

# One image for a GPU at hand and for a rented one:
#   docker build -t warehouse-classifier .
#   docker run --rm --gpus all --ipc host -v "$PWD":/work warehouse-classifier dvc repro
# The environment is in the image, the project is mounted: what runs is what DVC hashes, and no local setting is baked in.
# The wheels of torch bring CUDA along; the host needs a driver and nothing else.
ARG BASE=python:3.11-slim
FROM ${BASE}

RUN apt-get update \
    && apt-get install --yes --no-install-recommends git make \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /opt/warehouse-classifier
COPY requirements.lock pyproject.toml Makefile LICENSE README.md ./
COPY src src
RUN make .venv/ready && rm -rf /root/.cache
ENV PATH=/opt/warehouse-classifier/.venv/bin:$PATH

# whoever owns the mounted project, git in it is asked for the commit of a run only
RUN git config --system --add safe.directory '*'
WORKDIR /work
CMD ["dvc", "repro"]

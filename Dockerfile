# The environment, for a GPU at hand and for a rented one:
#   docker build -t warehouse-classifier .
#   docker run --rm --gpus all --ipc host --user "$(id -u):$(id -g)" --env USER --env HOME=/tmp \
#              -v "$PWD":/work warehouse-classifier dvc repro
# Nothing of the project is in it but the lock: the code is mounted, or laid out by the job, so what runs is what DVC hashes,
# and new code needs no new image. The wheels of torch bring CUDA along; the host needs a driver for it (CUDA 13: 580 or newer)
# and nothing else. `make sagemaker-image` brings it to ECR; `python benchmarks/image.py` builds it where no registry is in reach.
ARG BASE=python:3.11-slim

# torch and CUDA are most of the bytes and change seldom: a layer of their own, kept while their part of the lock is the same
FROM ${BASE} AS split
COPY requirements.lock /
RUN awk '/^[a-z]/ {ours = /^(torch|torchvision|triton|cuda-[a-z]+|nvidia-[a-z0-9-]+)==/} ours' /requirements.lock >/torch.lock

FROM ${BASE}
# git answers DVC and names the commit of a run; g++ is for `compile: true`
RUN apt-get update \
    && apt-get install --yes --no-install-recommends g++ git \
    && apt-get clean && rm -rf /var/lib/apt/lists/*
# whoever owns the mounted project
RUN git config --system --add safe.directory '*'

ENV PATH=/opt/venv/bin:$PATH
RUN python3 -m venv /opt/venv && pip install --no-cache-dir --quiet uv==0.13.9
COPY --from=split /torch.lock /opt/
RUN uv pip install --no-cache --compile-bytecode --no-deps --require-hashes --python /opt/venv/bin/python -r /opt/torch.lock
COPY requirements.lock /opt/
RUN uv pip sync --no-cache --compile-bytecode --require-hashes --python /opt/venv/bin/python /opt/requirements.lock

# a runtime that is not told so by `--gpus`, as SageMaker's, looks here for whether to bring the driver in
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
WORKDIR /work
CMD ["dvc", "repro"]

# One image for a GPU at hand and for a rented one:
#   docker build -t warehouse-classifier .
#   docker run --rm --gpus all -v "$PWD":/work -w /work warehouse-classifier dvc repro
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

# whoever owns the mounted folder, git in it is asked for the commit of a run only
RUN git config --system --add safe.directory '*'
COPY . .
CMD ["dvc", "repro"]

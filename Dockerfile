# fastvit_dense on Python 3.11, as `make setup` installs it; on a GPU with `--gpus all`, else on the CPU.
#   docker build -t fastvit-dense .
#   docker run --rm --shm-size 4g -v "$PWD:/work" fastvit-dense train semfpn_fastvit_t8 --sample
# --shm-size: loading processes hand pictures over in shared memory, of which Docker gives 64 MB. On Linux
# the mounted folder must be writable for user 1000, or name yours: --user "$(id -u):$(id -g)" -e HOME=/tmp
# PyTorch is the one of requirements.txt, which runs on CPUs and GPUs. For a smaller image for CPUs name
# the builds and the index that has them (pip's configuration names it otherwise), all of it in one line:
#   docker build --build-arg PIP_EXTRA_INDEX_URL=ADDRESS
#     --build-arg TORCH="torch==2.11.0+cpu torchvision==0.26.0+cpu" -t fastvit-dense .
FROM python:3.11-slim

ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ARG TORCH=""

WORKDIR /opt/fastvit_dense
COPY requirements.txt ./
# --no-deps: requirements.txt is complete, and keeps opencv-python (which needs libGL) out
RUN sed -E ${TORCH:+-e "/^(torch|torchvision|triton)==|^(cuda|nvidia)-/d"} -e "" requirements.txt > /tmp/requirements.txt \
    && python -m pip install --no-cache-dir --no-deps -r /tmp/requirements.txt ${TORCH}
COPY . .
RUN python -m pip install --no-cache-dir --no-deps --no-build-isolation . \
    && useradd --create-home --uid 1000 fastvit && mkdir /work && chown fastvit /work
USER fastvit
WORKDIR /work
ENTRYPOINT ["fastvit-dense"]
CMD ["--help"]

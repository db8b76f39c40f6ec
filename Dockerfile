# The embedded server, gRPC and HTTP, with the shipped model, built from this checkout.
#
#   docker build -t dmenet .
#   docker build -t dmenet:cuda --build-arg EXTRAS=serving,photos,cuda .
#
#   docker run --rm -p 127.0.0.1:8500:8500 -p 127.0.0.1:8501:8501 dmenet
#   docker run --rm --gpus all -p 127.0.0.1:8501:8501 dmenet:cuda
#   curl --data-binary @photo.jpg 127.0.0.1:8501/photo -o map.png
#
# Models of your own, exported before, and any other command:
#
#   docker run --rm -p 127.0.0.1:8501:8501 -v "$PWD/models:/models:ro" dmenet \
#       serve --models /models --address 0.0.0.0:8500
#   docker run --rm -v "$PWD:/photos" --user "$(id -u)" dmenet predict /photos -o /photos/maps
#
# TensorFlow's wheel for CUDA brings its libraries: the host needs the driver and the NVIDIA Container
# Toolkit alone, and both images have the same base.

ARG PYTHON=3.12

FROM python:${PYTHON}-slim AS build
ARG EXTRAS=serving,photos
WORKDIR /source
COPY pyproject.toml setup.py README.md LICENSE ./
COPY data_gen data_gen
COPY dmenet_tf dmenet_tf
COPY serving serving
RUN python -m venv /opt/dmenet \
    && /opt/dmenet/bin/pip install --no-cache-dir ".[${EXTRAS}]"
# Once, here: the container then starts without converting anything.
RUN /opt/dmenet/bin/dmenet export --out /opt/dmenet/models/dmenet

FROM python:${PYTHON}-slim
COPY --from=build /opt/dmenet /opt/dmenet
# What Matplotlib and others cache goes to /tmp, which --read-only with --tmpfs /tmp leaves writable.
ENV PATH=/opt/dmenet/bin:$PATH HOME=/tmp PYTHONUNBUFFERED=1
USER 65532:65532
WORKDIR /tmp
EXPOSE 8500 8501
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=120s \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8501/health', timeout=4)"]
ENTRYPOINT ["dmenet"]
CMD ["serve", "--models", "/opt/dmenet/models", "--address", "0.0.0.0:8500"]

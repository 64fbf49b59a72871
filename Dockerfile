# The server's image, and with --target train the one that trains (train-boosters: with XGBoost and LightGBM).
# `make base-image` renews the digest. Where there is no registry: --build-arg PYTHON_IMAGE=python:3.13-slim
ARG PYTHON_IMAGE=python:3.13-slim@sha256:70729b46c69b4f1e97c4822c1af3df53a1476cf5ddc6c087c0c10bc3a5678c2f

FROM ${PYTHON_IMAGE} AS environment
COPY requirements/serve.txt requirements/
RUN python3 -m venv /opt/venv \
    && /opt/venv/bin/pip install --no-cache-dir --require-hashes --requirement requirements/serve.txt

# What serving never imports goes: pip, the libraries' own tests, ONNX Runtime's tools for making models.
FROM environment AS serve-environment
RUN cd /opt/venv/lib/python3*/site-packages \
    && rm -rf pip pip-* onnxruntime/transformers onnxruntime/tools onnxruntime/quantization \
    && find . -type d -name tests -prune -exec rm -rf {} +

FROM environment AS train-environment
COPY requirements/train.txt requirements/
RUN /opt/venv/bin/pip install --no-cache-dir --require-hashes --requirement requirements/train.txt

FROM train-environment AS boosters-environment
COPY requirements/boosters.txt requirements/
RUN /opt/venv/bin/pip install --no-cache-dir --require-hashes --requirement requirements/boosters.txt

# No data and no pickle: what is served, as bundle/manifest.py lists it.
FROM ${PYTHON_IMAGE} AS served-models
COPY models models
RUN find models -type f ! -name model.toml ! -name bundle.json ! -name model.onnx ! -name additive.json ! -name '*.svg' \
        ! -name card.html -delete \
    && find models -type d -empty -delete

# What the server's image holds, for those who look for known faults in it.
FROM serve-environment AS sbom
WORKDIR /sbom
COPY requirements/sbom.txt requirements/
RUN python3 -m venv /opt/sbom \
    && /opt/sbom/bin/pip install --no-cache-dir --require-hashes --requirement requirements/sbom.txt
COPY requirements/serve.txt requirements/
COPY pyproject.toml ./
COPY tools/__init__.py tools/
COPY tools/sbom tools/sbom
COPY --from=served-models models models
ARG PYTHON_IMAGE
RUN /opt/sbom/bin/python -m tools.sbom --environment /opt/venv --image "${PYTHON_IMAGE}" --output sbom.cdx.json

FROM ${PYTHON_IMAGE} AS application
LABEL org.opencontainers.image.title="heart-disease-api" \
      org.opencontainers.image.description="A heart-disease prediction API that is monitored from its first request" \
      org.opencontainers.image.licenses="MIT"
ENV PATH=/opt/venv/bin:${PATH} PYTHONUNBUFFERED=1
WORKDIR /app
COPY pyproject.toml LICENSE ./
COPY bundle bundle
COPY registry registry
USER 10001:10001

FROM application AS train
COPY --from=train-environment /opt/venv /opt/venv
COPY training training
COPY models models
ENTRYPOINT ["python", "-m", "training"]

# XGBoost and LightGBM, which needs libgomp.
FROM train AS train-boosters
USER root
RUN apt-get update && apt-get install --yes --no-install-recommends libgomp1 && rm -rf /var/lib/apt/lists/*
USER 10001:10001
COPY --from=boosters-environment /opt/venv /opt/venv

FROM application AS server
COPY --from=serve-environment /opt/venv /opt/venv
COPY serving serving
COPY monitoring/panels monitoring/panels
COPY monitoring/runbooks monitoring/runbooks
COPY retrain_api retrain_api
COPY --from=served-models models models
COPY --from=sbom /sbom/sbom.cdx.json ./
COPY api_server.py ./
USER root
RUN python -m compileall -q api_server.py bundle monitoring registry retrain_api serving
USER 10001:10001
ENV HOST=0.0.0.0 PORT=8000
EXPOSE 8000
CMD ["python", "api_server.py"]

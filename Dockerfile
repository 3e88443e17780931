ARG PYTHON=python:3.13-slim

FROM ${PYTHON} AS build
RUN pip install --no-cache-dir --disable-pip-version-check --root-user-action=ignore uv==0.13.9
ENV UV_COMPILE_BYTECODE=1 \
    UV_LINK_MODE=copy \
    UV_NO_CACHE=1 \
    UV_PROJECT_ENVIRONMENT=/opt/tap \
    UV_PYTHON_DOWNLOADS=never
WORKDIR /src
# What uv.lock pins, in a layer of its own: it changes less often than the tap.
COPY pyproject.toml uv.lock ./
RUN uv sync --frozen --no-default-groups --no-install-project
COPY LICENSE README.md ./
COPY tap_stripe_conn tap_stripe_conn
# The version comes from git's tags, which are not in here.
ARG VERSION=
RUN SETUPTOOLS_SCM_PRETEND_VERSION="${VERSION}" uv sync --frozen --no-default-groups --no-editable

FROM ${PYTHON}
COPY --from=build /opt/tap /opt/tap
RUN install --directory --owner=10001 --group=10001 /state
ENV HOME=/state \
    PATH=/opt/tap/bin:$PATH \
    XDG_STATE_HOME=/state
# A number, so that Kubernetes can tell that it isn't root.
USER 10001:10001
WORKDIR /state
VOLUME /state
ENTRYPOINT ["tap-stripe-conn"]

# One image for every role: `mcpctl api`, `mcpctl worker`, `mcpctl migrate` (and `mcpctl simulate`, to try it out).
#
#   docker build --tag mcpctl .
#
# The least Rust this workspace promises to build with (`rust-version` in Cargo.toml); scripts/check-packaging holds
# the two together.
ARG RUST_VERSION=1.94

FROM rust:${RUST_VERSION}-slim-trixie AS build
WORKDIR /build

# Dependencies first, from the manifests alone: this layer, by far the longest, is kept until a manifest changes.
# Every member gets an empty source, and api the one test its manifest names.
COPY Cargo.toml Cargo.lock ./
COPY api/Cargo.toml api/
COPY cli/Cargo.toml cli/
COPY migrations/Cargo.toml migrations/
COPY shared/Cargo.toml shared/
COPY simulator/Cargo.toml simulator/
COPY worker/Cargo.toml worker/
RUN mkdir api/src cli/src migrations/src shared/src simulator/src worker/src \
    && touch api/src/lib.rs migrations/src/lib.rs shared/src/lib.rs simulator/src/lib.rs worker/src/lib.rs \
    && echo 'fn main() {}' > cli/src/main.rs \
    && cargo build --release --locked --package mcpctl

# The copied sources keep their old times, cargo compares times, and the empty sources were built just now: without
# `touch` they would count as up to date.
COPY api api
COPY cli cli
COPY migrations migrations
COPY shared shared
COPY simulator simulator
COPY worker worker
RUN find api cli migrations shared simulator worker -name '*.rs' -exec touch {} + \
    && cargo build --release --locked --package mcpctl

# glibc, libgcc and the certificates of public authorities; no shell, no package manager. The same Debian release as
# the build stage, so that the binary finds the glibc it was linked to.
FROM gcr.io/distroless/cc-debian13:nonroot
LABEL org.opencontainers.image.title="mcpctl" \
      org.opencontainers.image.description="A control plane for LLM work: API, worker and migration in one binary" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0"
COPY --from=build /build/target/release/mcpctl /usr/local/bin/mcpctl
# By number, so that Kubernetes can see that it is not root. No role writes a file: the root file system may be
# read-only.
USER 65532:65532
EXPOSE 8000
# The first one drains, a second one is urgent.
STOPSIGNAL SIGTERM
ENTRYPOINT ["mcpctl"]
CMD ["--help"]

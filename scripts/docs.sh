#!/bin/sh
# Regenerates what is generated in docs/. .ci/run fails when this changes anything.
set -eu
cd "$(dirname "$0")/.."

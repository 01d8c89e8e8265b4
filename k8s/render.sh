#!/usr/bin/env bash
# Renders every overlay and example into rendered/, which is committed: what is applied can be read
# and reviewed, and the tests need no kustomize. `render.sh --check` writes nothing and fails where
# a file differs.
set -euo pipefail
cd "$(dirname "$0")"

if command -v kustomize >/dev/null; then
  render=(kustomize build)
elif command -v kubectl >/dev/null; then
  render=(kubectl kustomize)
else
  echo "render.sh needs kustomize 5 or kubectl 1.27 and newer" >&2
  exit 2
fi

changed=0
mkdir -p rendered
for folder in overlays/* examples/* kserve; do
  target="rendered/$(basename "$folder").yaml"
  fresh="$("${render[@]}" "$folder")"
  if [[ ! -f $target || "$(cat "$target")" != "$fresh" ]]; then
    changed=1
    echo "${1:+differs: }$target"
    [[ ${1:-} == --check ]] || printf '%s\n' "$fresh" >"$target"
  fi
done
[[ ${1:-} != --check ]] || exit "$changed"

#!/bin/sh
# Runs nixos-staged-hive on the folder this file lies in, from wherever it is called.
# Made by `nixos-staged-hive init`; it is yours to change.
set -eu

self=$(readlink -f -- "$0")
here=${self%/*}
made_by='@binary@'

# The program of that name on PATH, but not this file, should the folder itself be on PATH.
find_program() {
  rest=$PATH:
  while [ -n "$rest" ]; do
    folder=${rest%%:*}
    rest=${rest#*:}
    candidate=${folder:-.}/nixos-staged-hive
    if [ -f "$candidate" ] && [ -x "$candidate" ] && [ "$(readlink -f -- "$candidate")" != "$self" ]; then
      program=$candidate
      return 0
    fi
  done
  program=$made_by
  [ -f "$program" ] && [ -x "$program" ]
}

if ! find_program; then
  echo "nixos-staged-hive is neither on PATH nor at $made_by" >&2
  exit 5
fi
exec "$program" -p "${here:-/}" "$@"

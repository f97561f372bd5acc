# shellcheck shell=bash
list_packages() { echo "$1"; }

#!/bin/sh
# Packages ask here whether they may start a service while they are installed:
# there is nothing that would look after it (101: not allowed).
exit 101

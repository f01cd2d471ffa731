#!/bin/sh
# A function's process that tells what it finds in its environment and waits to be killed. See function.rs.
env
echo "PID=$$"
exec tail -f /dev/null

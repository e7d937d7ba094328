"""Run a target's machine code on this machine: to check it and count its instructions, never to time it."""

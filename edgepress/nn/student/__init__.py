"""Entropic students: what a device encodes a network's input with, and what the server finishes the work with."""

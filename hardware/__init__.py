"""Devices, meters, the measuring protocol, and labelled estimates where nothing can be measured."""

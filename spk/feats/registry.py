"""The names of the front ends. Every argument of a front end is a key of a config's section `features`."""

from spk.registry import Registry

FRONT_ENDS = Registry("front end")
